"""What can be said of settings and objective before anything is loaded."""

from __future__ import annotations

from sitkit.errors import SettingError
from sitkit.settings import Settings
from sitkit.types import Objective
from sitkit_hf.refining import check_losses
from sitkit_hf.training import check_processes, check_scheduler


def check(settings: Settings, objective: Objective) -> None:
    """Raise `SettingError` for an unknown loss or schedule, and for a refining that would never stop."""
    check_scheduler("instruct", settings.instruct)
    check_scheduler("refine", settings.refine)
    check_processes("instruct", settings.instruct)
    check_processes("refine", settings.refine)
    check_losses(objective)
    if not settings.refine.epochs and not settings.refine.max_steps:
        raise SettingError("refine.epochs and refine.max_steps are both 0: one must say when to stop")
