"""The calls that manage batches, each repeated while what went wrong may pass."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sitkit.errors import TeacherError
from sitkit.types import Json
from sitkit_openai.api_keys import shown
from sitkit_openai.batch_files import STATE, Sent
from sitkit_openai.failures import judge_error
from sitkit_openai.options import Options
from sitkit_openai.outcomes import Verdict, read_body
from sitkit_openai.requests import retry_options

ENDPOINT = "/v1/chat/completions"

_MARK = "sitkit"
_UNENDED = ("validating", "in_progress", "finalizing", "cancelling")
_SLACK = 24 * 3600.0
"""Seconds by which the clocks here and at the provider may differ."""


class BatchCalls:
    """Upload, create, look up, download. Raises `TeacherError` where a call fails for good; batches then go on."""

    def __init__(self, client: Any, options: Options, hidden: Sequence[str]) -> None:
        self.client = client
        self.options = options
        self.hidden = hidden

    def upload(self, path: Path) -> str:
        """Upload a file of requests and return its id."""
        content = path.read_bytes()
        made = self._json(
            "upload a batch",
            lambda: self.client.files.with_raw_response.create(file=(path.name, content), purpose="batch"),
        )
        return self._text(made, "id", "upload a batch")

    def create(self, sent: Sent, file: str) -> str:
        """Create the batch and return its id; a creation whose reply was lost is found again, not repeated."""
        attempts = itertools.count()

        def made() -> Json | Verdict:
            if next(attempts) and (found := self.find(sent)) is not None:
                return {"id": found}
            return self._body(
                lambda: self.client.batches.with_raw_response.create(
                    input_file_id=file, endpoint=ENDPOINT, completion_window="24h", metadata={_MARK: sent.token}
                )
            )

        return self._text(self._retried("create a batch", made), "id", "create a batch")

    def find(self, sent: Sent) -> str | None:
        """Return the id of the batch that carries the token, None if the provider has none."""
        for batch in self._all():
            metadata = batch.get("metadata")
            if isinstance(metadata, dict) and metadata.get(_MARK) == sent.token:
                return self._text(batch, "id", "list batches")
            created = batch.get("created_at")
            if isinstance(created, int | float) and created < sent.created - _SLACK:
                return None
        return None

    def under_way(self) -> set[str]:
        """Return the ids of all batches of the account that have not ended, whoever sent them."""
        found = set()
        for batch in self._all():
            if batch.get("status") in _UNENDED:
                found.add(self._text(batch, "id", "list batches"))
            created = batch.get("created_at")
            if isinstance(created, int | float) and created < time.time() - 2 * _SLACK:
                break
        return found

    def _all(self) -> Iterator[Json]:
        listed = self.client.batches.with_raw_response.list
        after: dict[str, str] = {}
        while True:
            page = self._json("list batches", partial(listed, limit=100, **after))
            rows = [row for row in page.get("data") or () if isinstance(row, dict)]
            yield from rows
            if not page.get("has_more") or not rows or not isinstance(rows[-1].get("id"), str):
                return
            after = {"after": rows[-1]["id"]}

    def look(self, name: str) -> Json:
        """Return the batch as the provider describes it."""
        return self._json(
            f"look at batch {name}, which {STATE} notes as under way",
            lambda: self.client.batches.with_raw_response.retrieve(name),
        )

    def download(self, file: str) -> list[Json]:
        """Return the lines of a file of results; one that cannot be read is left out: its request counts as lost."""
        content: bytes = self._retried(
            f"download {file}", lambda: self._content(lambda: self.client.files.with_raw_response.content(file))
        )
        found = []
        for line in content.splitlines():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict) and isinstance(row.get("custom_id"), str):
                found.append(row)
        return found

    def _text(self, found: Json, name: str, what: str) -> str:
        value = found.get(name)
        if not isinstance(value, str) or not value:
            raise self._error(what, f"the reply has no {name}")
        return value

    def _json(self, what: str, call: Callable[[], Any]) -> Json:
        return self._retried(what, lambda: self._body(call))

    def _body(self, call: Callable[[], Any]) -> Json | Verdict:
        content = self._content(call)
        return content if isinstance(content, Verdict) else read_body(content)

    def _content(self, call: Callable[[], Any]) -> bytes | Verdict:
        try:
            content: bytes = call().content
        except Exception as error:
            return judge_error(error, self.options.model)
        return content

    def _retried(self, what: str, call: Callable[[], Any]) -> Any:
        """Return what ``call`` brings, tried again while that is a verdict that may pass."""
        from tenacity import Retrying

        found = Retrying(**retry_options(self.options))(call)
        if isinstance(found, Verdict):
            raise self._error(what, found.fatal or f"{found.outcome}: {found.detail}")
        return found

    def _error(self, what: str, why: str) -> TeacherError:
        why = shown(why, self.hidden)
        return TeacherError(f"openai:{self.options.model} at {self.options.host}: cannot {what}: {why}")
