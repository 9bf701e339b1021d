"""A training as a file: how the process that runs stages hands one to the processes that train. JSON, no pickles."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sitkit.settings import InstructSettings, RefineSettings
from sitkit.types import Demonstration, Objective, PreferencePair
from sitkit_hf.options import Options


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """The arguments of `sitkit.types.Student.instruct` or ``refine``, without the callbacks.

    ``rows`` are demonstrations or pairs; ``start`` and ``objective`` belong to a refining.
    """

    stage: Literal["instruct", "refine"]
    options: Options
    settings: InstructSettings | RefineSettings
    rows: tuple[Demonstration | PreferencePair, ...]
    out: Path
    scratch: Path
    seed: int
    start: Path | None = None
    objective: Objective | None = None


def write_job(job: TrainingJob, path: Path) -> None:
    """Write the job; paths are made absolute."""
    path.write_text(json.dumps(dataclasses.asdict(job), default=_plain), encoding="utf-8")


def read_job(path: Path) -> TrainingJob:
    """Read what `write_job` wrote."""
    plain: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    refines = plain["stage"] == "refine"
    settings, row = (RefineSettings, PreferencePair) if refines else (InstructSettings, Demonstration)
    folder = plain["options"].pop("folder")
    objective = plain["objective"]
    return TrainingJob(
        stage=plain["stage"],
        options=Options(**plain["options"], folder=None if folder is None else Path(folder)),
        settings=settings(**plain["settings"]),
        rows=tuple(row(**one) for one in plain["rows"]),
        out=Path(plain["out"]),
        scratch=Path(plain["scratch"]),
        seed=plain["seed"],
        start=None if plain["start"] is None else Path(plain["start"]),
        objective=None
        if objective is None
        else Objective(tuple(objective["loss"]), tuple(objective["weights"]), objective["beta"]),
    )


def _plain(value: object) -> str:
    if isinstance(value, Path):
        return str(value.absolute())
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
