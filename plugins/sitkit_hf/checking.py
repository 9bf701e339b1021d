"""What can be said of settings and objective before anything is loaded."""

from __future__ import annotations

from sitkit.errors import SettingError
from sitkit.settings import Settings
from sitkit.types import Objective
from sitkit_hf.refining import check_losses
from sitkit_hf.trackers import check_trackers
from sitkit_hf.training import check_processes, check_scheduler


def check(settings: Settings, objective: Objective) -> None:
    """Raise `SettingError` for what is unknown (a loss, a schedule, a tracker) or cannot be (steps without an end)."""
    check_scheduler("instruct", settings.instruct)
    check_scheduler("refine", settings.refine)
    for stage, one in (("instruct", settings.instruct), ("refine", settings.refine)):
        check_processes(stage, one)
        check_trackers(stage, one)
    check_losses(objective)
    if not settings.refine.epochs and not settings.refine.max_steps:
        raise SettingError("refine.epochs and refine.max_steps are both 0: one must say when to stop")
