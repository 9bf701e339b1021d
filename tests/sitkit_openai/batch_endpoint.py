"""The batch API of our endpoint: files, batches, and results in an order of their own."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.sitkit_openai.endpoint import completion, worked

Result = Callable[[dict[str, Any]], dict[str, Any] | None]


def well(asked: dict[str, Any]) -> dict[str, Any] | None:
    """A request's result when all is well."""
    return {"status_code": 200, "request_id": "r", "body": completion(worked(asked))}


@dataclass
class Batches:
    """``result``: what comes of a request's body (None: nothing); ``ends``: each batch's final status, in turn.

    ``looks`` is how often a batch is looked at before it has ended; ``lost`` counts creations whose reply gets lost;
    ``unlisted`` counts lists that do not hold the newest batch yet; ``room`` is how many requests the queue takes
    (None: any number).
    """

    result: Result = well
    ends: list[str] = field(default_factory=list)
    looks: int = 1
    lost: int = 0
    unlisted: int = 0
    room: int | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    created: list[list[str]] = field(default_factory=list)
    fail: dict[str, int] = field(default_factory=dict)

    def prompts(self) -> list[str]:
        """Every prompt of every batch, in order."""
        return [prompt for batch in self.created for prompt in batch]

    def __call__(self, method: str, path: str, body: bytes) -> tuple[int, Any] | None:
        parts = urlsplit(path)
        route = f"{method} {parts.path.removeprefix('/v1')}"
        for prefix, times in self.fail.items():
            if route.startswith(prefix) and times:
                self.fail[prefix] -= 1
                return 503, {"error": {"message": "busy"}}
        if route == "POST /files":
            return self._upload(body)
        if route == "POST /batches":
            return self._create(json.loads(body))
        if route == "GET /batches":
            return self._list(parse_qs(parts.query))
        if route.startswith("GET /batches/"):
            return self._look(route.rpartition("/")[2])
        if route.startswith("GET /files/"):
            found = self.files.get(route.split("/")[2])
            return (200, found) if found is not None else None
        return None

    def _upload(self, body: bytes) -> tuple[int, Any]:
        lines = [line for line in body.splitlines() if line.startswith(b"{")]
        name = f"file-{len(self.files)}"
        self.files[name] = b"\n".join(lines)
        return 200, {"id": name, "object": "file"}

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        assert asked["endpoint"] == "/v1/chat/completions"
        name = f"batch_{len(self.batches)}"
        lines = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        self.created.append([line["body"]["messages"][-1]["content"] for line in lines])
        self.batches[name] = {
            "id": name, "object": "batch", "status": "validating", "created_at": int(time.time()), "looks": self.looks,
            "metadata": asked.get("metadata"), "lines": lines, "request_counts": {"total": len(lines), "completed": 0},
        }  # fmt: skip
        if self.room is not None and len(lines) > self.room - sum(
            self._queued(one) for one in self.batches if one != name
        ):
            self._refuse(self.batches[name])
        if self.lost:
            self.lost -= 1
            return 500, {"error": {"message": "lost"}}
        return 200, self._shown(name)

    def _queued(self, name: str) -> int:
        batch = self.batches[name]
        return len(batch["lines"]) if batch["status"] in ("validating", "in_progress") else 0

    def _refuse(self, batch: dict[str, Any]) -> None:
        batch["status"] = "failed"
        batch["errors"] = {"data": [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}]}

    def _shown(self, name: str) -> dict[str, Any]:
        return {key: value for key, value in self.batches[name].items() if key not in ("lines", "looks")}

    def _list(self, query: dict[str, list[str]]) -> tuple[int, Any]:
        names = list(self.batches)[::-1]
        if self.unlisted and names:
            self.unlisted -= 1
            names = names[1:]
        start = names.index(query["after"][0]) + 1 if "after" in query else 0
        # Pages of two, so that there are several.
        page = names[start : start + 2]
        return 200, {"data": [self._shown(name) for name in page], "has_more": start + 2 < len(names)}

    def _look(self, name: str) -> tuple[int, Any] | None:
        if name not in self.batches:
            return None
        batch = self.batches[name]
        batch["looks"] -= 1
        if batch["looks"] < 0 and batch["status"] in ("validating", "in_progress"):
            self._finish(batch)
        elif batch["status"] == "validating":
            batch["status"] = "in_progress"
        return 200, self._shown(name)

    def _finish(self, batch: dict[str, Any]) -> None:
        batch["status"] = self.ends.pop(0) if self.ends else "completed"
        if batch["status"] == "failed":
            self._refuse(batch)
            return
        good, bad = list[bytes](), list[bytes]()
        for line in batch["lines"]:
            result = self.result(line["body"])
            if result is None:
                continue
            row = {"custom_id": line["custom_id"], "response": result, "error": None}
            (good if result["status_code"] == 200 else bad).append(json.dumps(row).encode())
        random.Random(5).shuffle(good)
        for kind, rows in (("output_file_id", good), ("error_file_id", bad)):
            if rows:
                batch[kind] = f"file-{len(self.files)}"
                self.files[batch[kind]] = b"\n".join(rows) + b"\n"
