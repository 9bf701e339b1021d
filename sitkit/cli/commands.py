"""The built-in subcommands, plugged in through the same hook as anybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sitkit.hookspecs import hookimpl

if TYPE_CHECKING:
    import click

    from sitkit.hookspecs import RegisterCommand


@hookimpl
def sitkit_commands(register: RegisterCommand) -> None:
    """Register what comes with sitkit, in the order in which it is shown."""
    register("run", _run, "Teach, refine and score a student; resumes where it was stopped.")
    register("matrix", _matrix, "Train on each task, refine on each, score all: the paper's Table 1.")
    register("lowresource", _lowresource, "Teach with 25% to 100% of the demonstrations: the paper's Figure 4.")
    register("plugins", _plugins, "List everything that is plugged in, and what is broken.")
    register("tasks", _tasks, "Find the lm-eval tasks, for use with plain lm_eval.")
    register("data", _data, "Count a benchmark's questions, beside the paper's counts.")
    register("settings", _settings, "List the settings of --set with their defaults.")
    register("report", _report, "Show a run's report again.")
    register("compare", _compare, "Lay two runs side by side, with the paired test.")
    register("judge", _judge, "Have a judge rate a run's answers, as in the paper's Appendix H.")
    register("export", _export, "Write a run's student as a folder transformers loads, with its model card.")
    register("runs", _runs, "List the runs of a workspace and what they take.")
    register("clean", _clean, "Remove what no run refers to, or a run.")


def _run() -> click.Command:
    from sitkit.cli.run import run

    return run


def _matrix() -> click.Command:
    from sitkit.cli.matrix import matrix

    return matrix


def _lowresource() -> click.Command:
    from sitkit.cli.lowresource import lowresource

    return lowresource


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


def _compare() -> click.Command:
    from sitkit.cli.compare import compare

    return compare


def _judge() -> click.Command:
    from sitkit.cli.judge import judge

    return judge


def _runs() -> click.Command:
    from sitkit.cli.runs import runs

    return runs


def _clean() -> click.Command:
    from sitkit.cli.clean import clean

    return clean
