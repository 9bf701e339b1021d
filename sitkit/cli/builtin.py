"""The built-in subcommands, plugged in through the same hook as anybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sitkit.hookspecs import hookimpl

if TYPE_CHECKING:
    from sitkit.hookspecs import RegisterCommand


@hookimpl
def sitkit_commands(register: RegisterCommand) -> None:
    """Register what comes with sitkit, in the order in which it is shown."""
    register("run", "sitkit.cli.run:run", "Teach, refine and score a student; resumes where it was stopped.")
    register("matrix", "sitkit.cli.run:matrix", "Train on each task, refine on each, score all: the paper's Table 1.")
    register(
        "lowresource",
        "sitkit.cli.run:lowresource",
        "Teach with 25% to 100% of the demonstrations: the paper's Figure 4.",
    )
    register("contest", "sitkit.cli.run:contest", "Hold strategies against a control, on what they share.")
    register("presets", "sitkit.cli.catalog:presets", "List the recipes that plugins ship, or print one.")
    register("plugins", "sitkit.cli.catalog:plugins", "List everything that is plugged in, and what is broken.")
    register("doctor", "sitkit.cli.doctor:doctor", "Say what this installation is, for a bug report.")
    register("new-plugin", "sitkit.cli.plugin_author:new_plugin", "Begin a plugin of your own.")
    register("check-plugin", "sitkit.cli.plugin_author:check_plugin", "Check a plugin of your own, part by part.")
    register("tasks", "sitkit.cli.catalog:tasks", "Find the lm-eval tasks, for use with plain lm_eval.")
    register("settings", "sitkit.cli.catalog:settings", "List the settings of --set with their defaults.")
    register("data", "sitkit.cli.data:data", "Count a benchmark's questions, beside the paper's counts.")
    register("report", "sitkit.cli.report:report", "Show a run's report again.")
    register("compare", "sitkit.cli.compare:compare", "Lay two runs side by side, with the paired test.")
    register("judge", "sitkit.cli.judge:judge", "Have a judge rate a run's answers, as in the paper's Appendix H.")
    register(
        "export", "sitkit.cli.export:export", "Write a run's student as a folder transformers loads, with its card."
    )
    register(
        "export-data",
        "sitkit.cli.export:export_data",
        "Write what a student was trained on as a data set, with its card.",
    )
    register("runs", "sitkit.cli.runs:runs", "List the runs of a workspace and the disk space they take.")
    register("clean", "sitkit.cli.clean:clean", "Remove what no run refers to, or a run.")
