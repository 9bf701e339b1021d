"""Ask a teacher: each reply on disk before it counts, only what is missing asked again, money and failures watched."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sitkit.capabilities import PaidEndpoint
from sitkit.components import Component
from sitkit.conformance import cost_fault
from sitkit.errors import PluginError, TeacherError
from sitkit.store import Journal
from sitkit.types import Json, Progress, Reply, Teacher

_FIELDS = ("completion", "outcome", "detail", "reasoning", "prompt_tokens", "completion_tokens")


@dataclass
class Budget:
    """What a run may spend on teachers, in US dollars: ``limit`` (None: no limit) and what was ``spent`` of it.

    ``held``: what work that was handed in and not waited for yet has used and may still take, by its journal.
    ``counted``: the ids whose replies are in ``spent``, by journal: several stages may share replies.
    """

    limit: float | None = None
    spent: float = 0.0
    held: dict[Path, float] = field(default_factory=dict)
    counted: dict[Path, set[str]] = field(default_factory=dict)

    def left(self) -> float | None:
        """Return what is left, 0 at least."""
        return None if self.limit is None else max(0.0, self.limit - self.spent - sum(self.held.values()))


@dataclass(frozen=True)
class Usage:
    """Tokens and, where a price is known, US dollars."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None

    def as_json(self) -> Json:
        """Return it as plain data."""
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens, "cost": self.cost}


@dataclass
class TeacherSession:
    """One teacher asked for the answers to some ids, through a journal.

    ``what`` names it in messages; ``folder`` is where a teacher behind an endpoint keeps what it has under way;
    ``max_failures`` is the share of ``ids`` that may fail, and ``limit`` what the user calls it.
    """

    part: Component[Teacher]
    journal: Journal
    ids: Sequence[str]
    what: str
    folder: Path
    budget: Budget
    max_failures: float
    progress: Progress
    limit: str = "annotate.max_failures"
    replies: dict[str, Reply] = field(default_factory=dict)

    def ask(self, method: str, call: Callable[[frozenset[str]], Iterable[Any]]) -> dict[str, Reply]:
        """Return id -> reply, failures among them, for everything answered; ``call`` asks the ids it is given.

        Raises `TeacherError` once more than ``max_failures`` have failed, and whatever the teacher raises; replies
        that came before are kept. Raises `PluginError` for a reply to what was not asked.
        """
        wanted, missing = set(self.ids), self._missing()
        self.budget.held.pop(self.journal.path, None)
        self.budget.spent += self._uncounted().cost or 0.0
        self.budget.counted.setdefault(self.journal.path, set()).update(wanted)
        done, failed, came = len(wanted) - len(missing), 0, set[str]()
        self.progress(done, len(wanted))
        if not missing:
            return self.replies
        before = self.budget.spent
        self._begin(self.budget.left())
        try:
            for reply in self._replies(method, call(missing)):
                if reply.id not in missing or reply.id in came:
                    how = "twice" if reply.id in came else "which was not asked"
                    raise PluginError(f"{self.part.at(method)}: answered {reply.id!r}, {how}")
                came.add(reply.id)
                self._keep(reply)
                done += 1
                failed += reply.failed
                self.progress(min(done, len(wanted)), len(wanted))
                if failed > self.max_failures * len(wanted):
                    raise TeacherError(
                        f"{self.what}: {failed} of {len(wanted)} replies failed ({self.reasons()}), more than"
                        f" {self.limit}={self.max_failures:g} allows; what was answered is kept:"
                        " the same command asks only for the rest"
                    )
        finally:
            self._count_lost(before)
        return self.replies

    def hand_in(self, call: Callable[[frozenset[str]], float]) -> None:
        """Have what is missing answered without waiting for it; `ask` gets the replies.

        ``call`` hands in the ids it is given and returns what they may cost, which is kept from others until then.
        """
        missing = self._missing()
        self.budget.held.pop(self.journal.path, None)
        if missing:
            used, left = self._uncounted().cost or 0.0, self.budget.left()
            self._begin(None if left is None else max(0.0, left - used))
            self.budget.held[self.journal.path] = used + call(missing)

    def _missing(self) -> frozenset[str]:
        wanted = set(self.ids)
        self.replies = {name: reply for name, reply in read_replies(self.journal).items() if name in wanted}
        return frozenset(wanted - {name for name, reply in self.replies.items() if not reply.failed})

    def _begin(self, budget: float | None) -> None:
        if isinstance(self.part.made, PaidEndpoint):
            with self.part.calling("begin"):
                self.part.made.begin(self.folder, budget=budget)

    def _count_lost(self, before: float) -> None:
        # A call whose reply was lost on the way was paid for, but no reply tells its tokens.
        if isinstance(self.part.made, PaidEndpoint):
            with self.part.calling("spent"):
                lost = self.part.made.spent() - (self.budget.spent - before)
            self.budget.spent += max(0.0, lost)

    def _replies(self, method: str, given: Iterable[Any]) -> Iterator[Reply]:
        return self.part.replies(method, given)

    def _keep(self, reply: Reply) -> None:
        reply = _whole(reply)
        earlier = self.replies.get(reply.id)
        self.budget.spent += cost(self.part, reply.prompt_tokens, reply.completion_tokens) or 0.0
        if earlier is not None:
            # What the attempts before this one used was paid for too.
            reply = replace(
                reply,
                prompt_tokens=reply.prompt_tokens + earlier.prompt_tokens,
                completion_tokens=reply.completion_tokens + earlier.completion_tokens,
            )
        plain = {name: getattr(reply, name) for name in _FIELDS if getattr(reply, name)}
        self.journal.append(reply.id, json.dumps(plain, ensure_ascii=True))
        self.replies[reply.id] = reply

    def failures(self) -> list[Reply]:
        """Return the replies that failed."""
        return [reply for reply in self.replies.values() if reply.failed]

    def reasons(self) -> str:
        """Return why replies failed, counted: ``8 time-out, 4 refusal``."""
        counts = Counter(reply.outcome for reply in self.failures())
        return ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())

    def usage(self) -> Usage:
        """Return what all replies used, failed attempts included."""
        return usage_of(self.part, self.replies.values())

    def _uncounted(self) -> Usage:
        """Return what the replies used that no stage of this run has counted yet."""
        counted = self.budget.counted.get(self.journal.path, set())
        return usage_of(self.part, [reply for name, reply in self.replies.items() if name not in counted])


def usage_of(part: Component[Teacher], replies: Collection[Reply]) -> Usage:
    """Return what these replies of a teacher used, failed attempts included."""
    into = sum(reply.prompt_tokens for reply in replies)
    out = sum(reply.completion_tokens for reply in replies)
    return Usage(into, out, cost(part, into, out))


def cost(part: Component[Any], prompt_tokens: int, completion_tokens: int) -> float | None:
    """Return what so many tokens cost, None where the part names no price."""
    if not isinstance(part.made, PaidEndpoint):
        return None
    with part.calling("cost"):
        found = part.made.cost(prompt_tokens, completion_tokens)
    part.refuse("cost", cost_fault(found))
    return found


def read_replies(journal: Journal) -> dict[str, Reply]:
    """Return the replies a journal holds; a row that is none is as if it had never been written."""
    found = {}
    for name, text in journal.rows.items():
        try:
            plain: Mapping[str, Any] = json.loads(text)
            found[name] = _whole(Reply(name, **{key: plain[key] for key in _FIELDS if key in plain}))
        except (ValueError, TypeError, AttributeError):
            continue
    return found


def _whole(reply: Reply) -> Reply:
    """Return the reply with U+FFFD for each half of a surrogate pair: endpoints send them, tokenizers refuse them."""
    texts = {
        name: text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        for name in ("completion", "detail", "reasoning")
        if not (text := getattr(reply, name)).isascii()
    }
    return replace(reply, **texts) if texts else reply
