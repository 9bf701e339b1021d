"""Model files that arguments name: what they hold determines answers, not where they lie."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sitkit.errors import ModelError
from sitkit.types import Json

WHOLE = 64 * 2**20
"""Files up to this size, in bytes, are hashed whole."""

EDGE = 2**20
"""Of larger files the first and the last so many bytes are hashed, beside size and time of change."""


def identity(value: str) -> Json:
    """Return a digest of every file where the value is a file or folder that lies here, else the value itself.

    Hidden files are left out. Raises `ModelError` for files that cannot be read.
    """
    path = Path(value).expanduser()
    try:
        if path.is_file():
            return {"file": _digest(path)}
        if not path.is_dir():
            return value
        files = sorted(
            one
            for one in path.rglob("*")
            if one.is_file() and not any(part.startswith(".") for part in one.relative_to(path).parts)
        )
        return {"files": {one.relative_to(path).as_posix(): _digest(one) for one in files}}
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error}") from error


def _digest(path: Path) -> str:
    status = path.stat()
    with path.open("rb") as file:
        if status.st_size <= WHOLE:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256(file.read(EDGE))
        file.seek(-EDGE, 2)
        digest.update(file.read())
    return f"{status.st_size}-{status.st_mtime_ns}-{digest.hexdigest()}"
