"""The built-in subcommands, plugged in through the same hook as anybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sitkit.hookspecs import hookimpl

if TYPE_CHECKING:
    import click

    from sitkit.hookspecs import RegisterCommand


@hookimpl
def sitkit_commands(register: RegisterCommand) -> None:
    """Register run, plugins, tasks, data, report and export."""
    register("run", _run, "Teach, refine and score a student; resumes where it was stopped.")
    register("plugins", _plugins, "List everything that is plugged in, and what is broken.")
    register("tasks", _tasks, "Find the lm-eval tasks, for use with plain lm_eval.")
    register("data", _data, "Count a benchmark's questions, beside the paper's counts.")
    register("settings", _settings, "List the settings of --set with their defaults.")
    register("report", _report, "Show a run's report again.")
    register("export", _export, "Write a run's student as a folder transformers loads.")


def _run() -> click.Command:
    from sitkit.cli.run import run

    return run


def _plugins() -> click.Command:
    from sitkit.cli.plugins import plugins

    return plugins


def _tasks() -> click.Command:
    from sitkit.cli.tasks import tasks

    return tasks


def _data() -> click.Command:
    from sitkit.cli.data import data

    return data


def _settings() -> click.Command:
    from sitkit.cli.settings import settings

    return settings


def _report() -> click.Command:
    from sitkit.cli.report import report

    return report


def _export() -> click.Command:
    from sitkit.cli.export import export

    return export
