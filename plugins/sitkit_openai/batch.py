"""The provider's batch API: half the price, an answer within a day, and never a batch paid for twice.

A kill may come between any two steps. A batch is noted under a token before it is uploaded, and carries the token at
the provider, so the next run finds it there whether or not its id was noted. Its results are read from the provider
until every one of them was handed on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sitkit.errors import TeacherError
from sitkit.plugin_support import NOTICES
from sitkit.types import Generation, Json, Reply
from sitkit_openai.api_keys import shown, without_keys
from sitkit_openai.batch_calls import ENDPOINT, BatchCalls
from sitkit_openai.batch_files import BatchFiles, Sent, size
from sitkit_openai.costs import Ledger, most_tokens
from sitkit_openai.failures import error_of, judge_body, refused
from sitkit_openai.options import Options
from sitkit_openai.outcomes import Outcome, Verdict
from sitkit_openai.requests import Ask, body, client_options, digest, http_options

_LOG = logging.getLogger(NOTICES)

MOST_REQUESTS = 50_000
MOST_BYTES = 100_000_000
"""Limits of one batch: OpenAI takes 50,000 requests and 200 MB (API reference, "Create batch"), others less."""

_LISTED = 60.0
"""Seconds after which a batch that was created is taken to be in the provider's list."""

_TOO_MUCH = "token_limit_exceeded"
"""Why a batch fails whose requests, with those of batches still under way, are more than an account may have queued."""

_MISSING = {
    "expired": Outcome.BATCH_EXPIRED,
    "failed": Outcome.BATCH_FAILED,
    "cancelled": Outcome.BATCH_CANCELLED,
    "completed": Outcome.BATCH_FAILED,
}
"""How a batch may end -> the outcome of a request that has no result in it."""


@contextmanager
def opened(options: Options, key: str, hidden: Sequence[str], ledger: Ledger, folder: Path) -> Iterator[Batches]:
    """Open the batches kept in ``folder``."""
    import openai

    settings = client_options(options, key)
    http = openai.DefaultHttpxClient(timeout=settings["timeout"], **http_options(options))
    with openai.OpenAI(**settings, http_client=http) as client:
        yield Batches(options, hidden, ledger, BatchFiles(folder), BatchCalls(client, options, hidden))


class Batches:
    """Requests sent as batches, and their results."""

    def __init__(
        self, options: Options, hidden: Sequence[str], ledger: Ledger, files: BatchFiles, calls: BatchCalls
    ) -> None:
        self.options = options
        self.hidden = hidden
        self.ledger = ledger
        self.files = files
        self.calls = calls
        self.wanted: dict[str, Ask] = {}
        self.lines: dict[str, Json] = {}
        self.worst: dict[str, float] = {}

    def replies(self, asks: Sequence[Ask], generation: Generation) -> Iterator[Reply]:
        """Yield a reply to every ask, in any order.

        Raises `TeacherError` if the budget does not allow all of them, after those it does allow have come back.
        """
        under_way, exhausted = self.send(asks, generation)
        for sent in under_way:
            yield from self._collect(sent)
        if exhausted:
            raise TeacherError(f"openai:{self.options.model} at {self.options.host}: {self.ledger.exhausted()}")

    def send(self, asks: Sequence[Ask], generation: Generation) -> tuple[list[Sent], bool]:
        """Return the batches that hold these asks, sent now or before, and whether the budget allowed no more.

        `replies`, later, gets what they bring.
        """
        for ask in asks:
            asked = body(self.options, ask, generation)
            # The id belongs to the digest: without seeds, equal questions make equal requests.
            name = f"sitkit-{digest({'id': ask.id, 'body': asked})}"
            self.lines[name] = {"custom_id": name, "method": "POST", "url": ENDPOINT, "body": asked}
            self.wanted[name] = ask
            self.worst[name] = self.ledger.worst(most_tokens(self.options, ask.text), generation.max_new_tokens)
        under_way = self._under_way()
        covered = {name for sent in under_way for name in sent.left}
        new = [line for name, line in self.lines.items() if name not in covered]
        taken, exhausted = self._affordable(new)
        for chunk in _chunks(taken):
            under_way.append(self._send(chunk))
        return under_way, exhausted

    def _under_way(self) -> list[Sent]:
        found = []
        for sent in list(self.files.batches):
            # A batch with nothing that is wanted now, for a smaller --limit, is kept for when it is.
            if not any(name in self.wanted for name in sent.left):
                continue
            if sent.id is None:
                sent.id = self._find(sent)
                if sent.id is None:
                    self.files.done(sent, list(sent.left))
                    continue
                self.files.save()
            self._hold(sent)
            found.append(sent)
        return found

    def _find(self, sent: Sent) -> str | None:
        found = self.calls.find(sent)
        early = _LISTED - (time.time() - sent.created)
        if found is None and early > 0:
            # Created a moment before a kill, it may be missing from the list for a while.
            time.sleep(min(early, self.options.poll))
            found = self.calls.find(sent)
        return found

    def _affordable(self, lines: Sequence[Json]) -> tuple[list[Json], bool]:
        taken, worst = list[Json](), 0.0
        for line in lines:
            more = worst + self.worst[line["custom_id"]]
            if not self.ledger.fits(more):
                return taken, True
            taken.append(line)
            worst = more
        return taken, False

    def _send(self, lines: Sequence[Json]) -> Sent:
        sent = self.files.add(lines)
        file = self.calls.upload(self.files.requests(sent))
        sent.id = self.calls.create(sent, file)
        self.files.save()
        self._hold(sent)
        _LOG.warning(
            "openai:%s: batch %s of %d requests is under way, for up to 24 hours; stopping loses nothing, the same"
            " command goes on with it",
            self.options.model,
            sent.id,
            len(lines),
        )
        return sent

    def _hold(self, sent: Sent) -> None:
        for name in sent.left:
            if name in self.wanted:
                self.ledger.hold(self.worst[name])

    def _collect(self, sent: Sent) -> Iterator[Reply]:
        batch = self._finished(str(sent.id))
        while _too_much(batch):
            # What filled the queue when it was sent may have ended since.
            sent = self._again(sent)
            batch = self._finished(str(sent.id))
            if _too_much(batch) and not self._room_made():
                break
        results = self._results(batch)
        mine = [name for name in sent.left if name in self.wanted]
        failed = list[Reply]()
        for name in mine:
            reply, spent = self._reply(name, results.get(name), batch)
            self.ledger.settle(self.worst[name], spent)
            if reply.failed:
                failed.append(reply)
            else:
                yield reply
        # Noted before they are handed on: were they kept, the next run would find the same failures here again.
        self.files.done(sent, mine)
        yield from failed

    def _room_made(self) -> bool:
        """Wait until one of the batches under way has ended; tell whether there was one."""
        others = self.calls.under_way()
        while others and others <= self.calls.under_way():
            time.sleep(self.options.poll)
        return bool(others)

    def _again(self, sent: Sent) -> Sent:
        mine = [name for name in sent.left if name in self.wanted]
        for name in mine:
            self.ledger.settle(self.worst[name], 0.0)
        # Nothing of it was done or paid: should the process die now, all of it is asked anew.
        self.files.done(sent, list(sent.left))
        return self._send([self.lines[name] for name in mine])

    def _finished(self, name: str) -> Json:
        while True:
            batch = self.calls.look(name)
            status = batch.get("status")
            if status in _MISSING:
                if status != "completed":
                    _LOG.warning("openai:%s: batch %s: %s", self.options.model, name, self._why(batch))
                return batch
            counts = batch.get("request_counts")
            done = f", {counts.get('completed')} of {counts.get('total')} done" if isinstance(counts, dict) else ""
            _LOG.info("openai:%s: batch %s: %s%s", self.options.model, name, status, done)
            time.sleep(self.options.poll)

    def _why(self, batch: Json) -> str:
        errors = batch.get("errors")
        rows = errors.get("data") if isinstance(errors, dict) else None
        said = [str(row.get("message")) for row in rows or () if isinstance(row, dict) and row.get("message")]
        return shown("; ".join([str(batch["status"]), *said[:3]]), self.hidden)

    def _results(self, batch: Json) -> dict[str, Json]:
        found: dict[str, Json] = {}
        for kind in ("error_file_id", "output_file_id"):
            file = batch.get(kind)
            if isinstance(file, str) and file:
                found |= {row["custom_id"]: row for row in self.calls.download(file)}
        return found

    def _reply(self, name: str, row: Json, batch: Json) -> tuple[Reply, float]:
        ask = self.wanted[name]
        if row is None:
            return Reply(ask.id, outcome=_MISSING[batch["status"]], detail=self._why(batch)), 0.0
        verdict = _judged(row)
        into, out = verdict.prompt_tokens or 0, verdict.completion_tokens or 0
        reply = Reply(
            id=ask.id,
            completion=without_keys(verdict.completion, self.hidden),
            outcome=verdict.outcome,
            detail=shown(verdict.detail, self.hidden),
            reasoning=without_keys(verdict.reasoning, self.hidden),
            prompt_tokens=into,
            completion_tokens=out,
        )
        return reply, self.ledger.worst(into, out)


def _too_much(batch: Json) -> bool:
    errors = batch.get("errors")
    rows = errors.get("data") if isinstance(errors, dict) else None
    return batch.get("status") == "failed" and any(
        isinstance(row, dict) and row.get("code") == _TOO_MUCH for row in rows or ()
    )


def _judged(row: Mapping[str, Any]) -> Verdict:
    response = row.get("response")
    if isinstance(response, dict):
        status, found = response.get("status_code"), response.get("body")
        if status == 200 and isinstance(found, dict):
            return judge_body(found)
        if isinstance(status, int) and status != 200:
            return refused(status, {}, "", error_of(found))
    error = row.get("error")
    if isinstance(error, dict):
        expired = error.get("code") == "batch_expired"
        return Verdict(
            Outcome.BATCH_EXPIRED if expired else Outcome.BATCH_FAILED,
            str(error.get("message") or error.get("code") or ""),
            billed=False,
        )
    return Verdict(Outcome.MALFORMED, "the result is not a completion")


def _chunks(lines: Sequence[Json]) -> Iterator[list[Json]]:
    chunk, total = list[Json](), 0
    for line in lines:
        length = size(line)
        if chunk and (len(chunk) >= MOST_REQUESTS or total + length > MOST_BYTES):
            yield chunk
            chunk, total = [], 0
        chunk.append(line)
        total += length
    if chunk:
        yield chunk
