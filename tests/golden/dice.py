"""A student without a model: its answers are drawn from digests, so that each number of a run is known for good."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sitkit import hookimpl
from sitkit.providers import Provider
from sitkit.registry import Registry, build_registry, load_plugins
from sitkit.spec import Spec
from sitkit.types import COT_TRIGGER, Completion, Context, Prompt, Question, TrainingReport

SKILL = {"baseline": (0.1, 0.3), "instruct": (0.2, 0.55), "refine": (0.3, 0.8)}
"""Phase -> the share of right answers without the trigger and with it."""


def share(*what: object) -> float:
    """A number from 0 to 1 that depends on ``what`` alone."""
    digest = hashlib.sha256("|".join(map(str, what)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


class Dice:
    """Answers rightly as often as its phase allows, which question depends on the seed it was trained with."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._questions: dict[str, Question] = {}
        for benchmark in ("tiny_chain", "tiny_cups", "tiny_shop"):
            made = load_plugins().benchmark(benchmark)
            for split in ("train", "test"):
                for question in made.questions(split, 0):  # type: ignore[arg-type]
                    self._questions[question.prompt("direct")] = question

    def fingerprint(self) -> Any:
        return {"dice": self.name, "skill": SKILL}

    def recommended(self) -> Mapping[str, Mapping[str, Any]]:
        return {"sample": {"temperature": 0.0}}

    def check(self, settings: Any, objective: Any) -> None:
        """Any settings will do."""

    def instruct(self, demonstrations: Sequence[Any], settings: Any, *, out: Path, seed: int, progress: Any,
                 scratch: Path) -> TrainingReport:  # fmt: skip
        return self._learn(out, "instruct", seed, len(demonstrations))

    def refine(self, start: Path, pairs: Sequence[Any], objective: Any, settings: Any, *, out: Path, seed: int,
               progress: Any, scratch: Path) -> TrainingReport:  # fmt: skip
        return self._learn(out, "refine", seed, len(pairs))

    def complete(self, adapter: Path | None, prompts: Sequence[Prompt], generation: Any) -> Iterator[Completion]:
        learnt = {"phase": "baseline", "seed": 0, "rows": 0}
        if adapter is not None:
            learnt = json.loads((adapter / "dice.json").read_text(encoding="utf-8"))
        for prompt in prompts:
            cot = prompt.text.endswith(COT_TRIGGER)
            question = self._questions[prompt.text.removesuffix(f" {COT_TRIGGER}")]
            told = (self.name, *learnt.values(), question.id, cot)
            chance = SKILL[learnt["phase"]][cot] + (0.05 if learnt["rows"] > 8 else 0.0)
            right = question.benchmark != "tiny_shop" and share(*told) < chance
            worked = "First one thing, then another. " if share("worked", *told) < (0.7 if cot else 0.1) else ""
            unread = share("unread", *told) < 0.04
            other = "Z" if question.kind == "choice" else "-77"
            said = "I cannot say" if unread else f"The answer is {question.target if right else other}"
            yield Completion(prompt.id, f"{worked}{said}")

    def export(self, adapter: Path | None, out: Path, *, merge: bool) -> None:
        """Nothing to write."""

    def close(self) -> None:
        """Nothing was loaded."""

    def _learn(self, out: Path, phase: str, seed: int, rows: int) -> TrainingReport:
        out.mkdir(parents=True, exist_ok=True)
        (out / "dice.json").write_text(json.dumps({"phase": phase, "seed": seed, "rows": rows}), encoding="utf-8")
        log = [{"step": step, "loss": 1.0 / step, "logps/chosen": -5.0 - step} for step in (1, 2, 3)]
        return TrainingReport(steps=3, metrics={"first_loss": 1.0, "last_loss": 1 / 3, "held_out": 2.0}, log=log)


def dice(spec: Spec, context: Context) -> Any:
    """Rolls dice."""
    spec.parse_options({})
    return Dice(spec.argument or "one")


class Plugin:
    """The plugin that registers it."""

    @staticmethod
    @hookimpl
    def sitkit_students(register: Any) -> None:
        register("dice", dice)


def registry() -> Registry:
    """All that is installed, and the student "dice"."""
    found = load_plugins()
    found.manager.register(Plugin(), name="dice")
    return build_registry(found.manager, {**found.providers, "dice": Provider("dice", "1")})
