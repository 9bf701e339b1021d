"""What is under way at a batch API, on disk: a batch is noted before it is sent, so that none is paid twice."""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sitkit.errors import TeacherError
from sitkit.types import Json

STATE = "batches.json"


@dataclass
class Sent:
    """A batch: ``token`` marks it at the provider, ``id`` is the provider's name for it (None: not known to be there).

    ``left`` holds the custom ids whose results were not handed on yet; ``created`` is a Unix time.
    """

    token: str
    left: list[str]
    id: str | None = None
    created: float = field(default_factory=time.time)


class BatchFiles:
    """The batches of one folder: ``batches.json``, and each batch's requests as they are uploaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / STATE
        self.batches = self._read()

    def _read(self) -> list[Sent]:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        try:
            return [Sent(**one) for one in json.loads(text)["batches"]]
        except (ValueError, TypeError, KeyError) as error:
            raise TeacherError(
                f"{self.path} is damaged, so it is not known which batches are paid for already: look them up at the"
                " provider, then delete the file to ask again"
            ) from error

    def save(self) -> None:
        """Write down what is under way; on disk when this returns."""
        self.batches = [one for one in self.batches if one.left]
        text = json.dumps({"batches": [asdict(one) for one in self.batches]}, indent=1)
        _write(self.path, text.encode("ascii"))

    def add(self, lines: Sequence[Json]) -> Sent:
        """Note a batch of these requests before it is sent, and return it."""
        sent = Sent(uuid.uuid4().hex, [line["custom_id"] for line in lines])
        _write(self.requests(sent), b"".join(_line(line) for line in lines))
        self.batches.append(sent)
        self.save()
        return sent

    def requests(self, sent: Sent) -> Path:
        """Return the file of a batch's requests."""
        return self.folder / f"batch-{sent.token}.jsonl"

    def done(self, sent: Sent, ids: Iterable[str]) -> None:
        """Note results as handed on; a batch without any left is forgotten."""
        gone = set(ids)
        sent.left = [one for one in sent.left if one not in gone]
        self.save()
        if not sent.left:
            with contextlib.suppress(FileNotFoundError):
                self.requests(sent).unlink()


def _line(line: Json) -> bytes:
    return json.dumps(line, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"


def size(line: Json) -> int:
    """Return the bytes of a request in the file."""
    return len(_line(line))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(path.suffix + ".part")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
