"""What lies behind a number: the rows of a stage's artifacts, found by key, and where they lie."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sitkit.errors import ArtifactError
from sitkit.stages.annotate import DEMONSTRATIONS
from sitkit.stages.evaluate import PREDICTIONS
from sitkit.stages.evaluate_task import DOCUMENTS
from sitkit.stages.pair import PAIRS
from sitkit.stages.sample import ANSWERS
from sitkit.stages.teacher_calls import read_replies
from sitkit.stages.training import LOG
from sitkit.store import Journal, Store
from sitkit.store.jsonl import read_dicts
from sitkit.types import Json, Reply

FILES: Mapping[str, str] = {
    "annotate": DEMONSTRATIONS,
    "instruct": LOG,
    "sample": ANSWERS,
    "pair": PAIRS,
    "refine": LOG,
    "evaluate": PREDICTIONS,
}
"""The file of a stage that a reader wants to see."""


def place(stage: str, key: str, name: str | None = None) -> str:
    """Return where a stage's rows lie, in the file ``name`` or that of `FILES`, from the workspace's folder on."""
    folder, file = Store(Path()).folder(stage, key), name or FILES.get(stage)
    return (folder if file is None else folder / file).as_posix()


@dataclass
class StoredRows:
    """Reads a workspace's artifacts. What is gone or damaged is None, and noted in ``unread`` with its reason."""

    workspace: Path
    unread: dict[str, str] = field(default_factory=dict)
    _correct: dict[str, Mapping[str, Mapping[str, bool]]] = field(default_factory=dict)

    def rows(self, stage: str, key: str, name: str | None = None) -> list[dict[str, Json]] | None:
        """Return the rows of a stage's file, by default the one of `FILES`."""
        path = self.workspace / place(stage, key)
        path = path if name is None else path.with_name(name)
        try:
            return list(read_dicts(path))
        except FileNotFoundError:
            reason = "it is not there any more"
        except (OSError, ArtifactError, UnicodeDecodeError) as error:
            reason = f"it cannot be read: {error}"
        self.unread[path.relative_to(self.workspace).as_posix()] = reason
        return None

    def correct(self, key: str, prompting: str) -> Mapping[str, bool]:
        """Return whether each question was answered right under a prompting, of an evaluate stage; empty if gone."""
        if key not in self._correct:
            found: dict[str, dict[str, bool]] = {}
            for row in self.rows("evaluate", key) or ():
                found.setdefault(str(row["prompting"]), {})[str(row["question_id"])] = bool(row["correct"])
            self._correct[key] = found
        return self._correct[key].get(prompting, {})

    def documents(self, key: str, tasks: Sequence[str], metric: str, chosen: str) -> Mapping[str, float]:
        """Return a metric of each document of these tasks that has it, after the filter ``chosen``; empty if gone."""
        return {
            f"{row['task']}|{row['document']}|{row['digest']}": row["metrics"][metric]
            for row in self.rows("evaluate", key, DOCUMENTS) or ()
            if row["task"] in tasks and row["filter"] == chosen and metric in row["metrics"]
        }

    def replies(self, journal: str) -> Mapping[str, Reply]:
        """Return what a teacher has replied, failures included, by question; empty if the journal is gone."""
        return read_replies(Journal.peek(Store(self.workspace).journal(journal)))

    def material(self, stage: str, key: str) -> Json:
        """Return what determined a stage, from its manifest; None if that is gone."""
        try:
            return json.loads(Store(self.workspace).manifest(stage, key).read_bytes())["determined_by"]
        except (OSError, ValueError, KeyError):
            return None
