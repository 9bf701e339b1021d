"""A judge that rates by rule, for the tests of ``sitkit judge``; they install it as a distribution of its own.

``rule:FOLDER[,price=P]``: a worked answer (more than one sentence) is a 3, any other a 1. FOLDER keeps the ids that
were asked, in order, in ``asked``; a file ``slow`` in it holds the seconds each reply takes, while ``down`` is there
every third prompt fails, and while ``dead`` is, all do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sitkit import hookimpl
from sitkit.answers import is_worked
from sitkit.errors import TeacherError
from sitkit.types import Estimate, Generation, Json, Prompt, Prompting, Question, Reply

RESPONSE = "[AI assistant’s response]\n"
TOKENS = (100, 20)


@dataclass
class Rule:
    folder: Path

    def fingerprint(self) -> Json:
        return {"rule": 1}

    def answer(
        self, questions: Sequence[Question], prompting: Prompting, generation: Generation
    ) -> Iterator[tuple[str, str]]:
        raise TeacherError("the rule judges, it does not teach")

    def complete(self, prompts: Sequence[Prompt], generation: Generation) -> Iterator[tuple[str, str] | Reply]:
        slow = self.folder / "slow"
        seconds = float(slow.read_text(encoding="utf-8")) if slow.exists() else 0.0
        for index, prompt in enumerate(reversed(prompts)):
            with (self.folder / "asked").open("a", encoding="utf-8") as file:
                file.write(prompt.id + "\n")
            time.sleep(seconds)
            if (self.folder / "dead").exists() or (index % 3 == 1 and (self.folder / "down").exists()):
                yield Reply(prompt.id, outcome="time-out", detail="no reply in 1 s", prompt_tokens=TOKENS[0])
            else:
                yield Reply(prompt.id, rated(prompt.text), prompt_tokens=TOKENS[0], completion_tokens=TOKENS[1])

    def close(self) -> None:
        """Nothing was loaded."""


@dataclass
class PricedRule(Rule):
    price: float = 0.0
    budget: float | None = None

    def estimate(self, prompts: Sequence[Prompt], generation: Generation) -> Estimate:
        calls = len(prompts)
        return Estimate(calls, calls * TOKENS[0], calls * generation.max_new_tokens, calls * self.price)

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        return prompt_tokens / TOKENS[0] * self.price

    def begin(self, folder: Path, *, budget: float | None) -> None:
        self.budget = budget

    def spent(self) -> float:
        return 0.0

    def complete(self, prompts: Sequence[Prompt], generation: Generation) -> Iterator[tuple[str, str] | Reply]:
        spent = 0.0
        for reply in super().complete(prompts, generation):
            spent += self.price
            if self.budget is not None and spent > self.budget:
                raise TeacherError(f"the next reply would pass --max-cost: ${self.budget:g} are left")
            yield reply


def rated(text: str) -> str:
    response = text.rpartition(RESPONSE)[2]
    return f"It has {len(response)} characters. Rating: [[{3 if is_worked(response) else 1}]]"


def rule(spec: Any, context: Any) -> Rule:
    """Rates worked answers 3, others 1."""
    options = spec.parse_options({"price": float})
    folder = Path(spec.require_argument("a folder"))
    return PricedRule(folder, **options) if "price" in options else Rule(folder, **options)


@hookimpl
def sitkit_teachers(register: Any) -> None:
    register("rule", rule)
