"""The student "counter": it guesses, then learns to spell out words, short ones first. Its adapter is a small JSON."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sitkit.errors import ModelError
from sitkit.settings import InstructSettings, RefineSettings, Settings
from sitkit.types import (
    COT_TRIGGER,
    Completion,
    Demonstration,
    Generation,
    Json,
    Objective,
    PreferencePair,
    Progress,
    Prompt,
    TrainingReport,
)
from sitkit_example.benchmark import spelled, word

GUESS = 3


class Counter:
    """Spells out words of up to ``reach`` letters when asked to think, and guesses everything else.

    Demonstrations take it to the middle of the lengths it was shown, refining to the longest.
    """

    def fingerprint(self) -> Json:
        """Return what the untouched student does: guess."""
        return {"guess": GUESS}

    def recommended(self) -> Mapping[str, Mapping[str, Json]]:
        """Recommend greedy answers."""
        return {"sample": {"temperature": 0.0}}

    def check(self, settings: Settings, objective: Objective) -> None:
        """Take any settings: none of them matters to a rule."""

    def instruct(
        self,
        demonstrations: Sequence[Demonstration],
        settings: InstructSettings,
        *,
        out: Path,
        scratch: Path,
        seed: int,
        progress: Progress,
    ) -> TrainingReport:
        """Learn to spell words up to the middle of the lengths shown."""
        lengths = sorted(len(word(one.prompt)) for one in demonstrations)
        progress(len(lengths), len(lengths))
        return _learn(out, lengths[len(lengths) // 2] if lengths else 0, steps=len(lengths))

    def refine(
        self,
        start: Path,
        pairs: Sequence[PreferencePair],
        objective: Objective,
        settings: RefineSettings,
        *,
        out: Path,
        scratch: Path,
        seed: int,
        progress: Progress,
    ) -> TrainingReport:
        """Learn to spell words up to the longest that is spelled on a chosen side."""
        preferred = [len(word(pair.prompt)) for pair in pairs if "-" in pair.chosen and "-" not in pair.rejected]
        progress(len(pairs), len(pairs))
        words = sum(len(f"{pair.prompt} {pair.chosen} {pair.prompt} {pair.rejected}".split()) for pair in pairs)
        return _learn(out, max([_reach(start), *preferred]), steps=len(pairs), tokens=words)

    def complete(self, adapter: Path | None, prompts: Sequence[Prompt], generation: Generation) -> Iterator[Completion]:
        """Yield an answer a prompt, the last first: no caller may rely on the order."""
        reach = 0 if adapter is None else _reach(adapter)
        for prompt in reversed(prompts):
            asked = word(prompt.text)
            worked = prompt.text.endswith(COT_TRIGGER) and len(asked) <= reach
            # Above temperature 0 it miscounts now and then, by the noise that belongs to the prompt's id and the seed.
            noise = zlib.crc32(f"{generation.seed}|{prompt.id}".encode()) % 3 if generation.temperature else 0
            said = spelled(asked, len(asked) + noise) if worked else f"The answer is {GUESS}"
            yield Completion(prompt.id, said, tokens=len(said.split()))

    def export(self, adapter: Path | None, out: Path, *, merge: bool) -> None:
        """Write what was learnt; there is nothing to merge it into."""
        _learn(out, 0 if adapter is None else _reach(adapter), steps=0)

    def close(self) -> None:
        """Nothing was loaded."""


def _learn(out: Path, reach: int, *, steps: int, tokens: int = 0) -> TrainingReport:
    out.mkdir(parents=True, exist_ok=True)
    (out / "counter.json").write_text(json.dumps({"reach": reach}), encoding="utf-8")
    return TrainingReport(steps=steps, metrics={"reach": float(reach), "tokens": tokens})


def _reach(adapter: Path) -> int:
    path = adapter / "counter.json"
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["reach"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: no adapter of this student ({error})") from error
