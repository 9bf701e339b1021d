"""A teacher, a student, a strategy and a benchmark that stand in for those a plugin lacks; and a registry with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sitkit import answers
from sitkit.hookspecs import hookimpl
from sitkit.providers import Provider
from sitkit.registry import Registry, load_plugins
from sitkit.settings import Settings
from sitkit.testing.samples import BENCHMARK, COUNT, STUB, right_answer, sample
from sitkit.types import (
    COT_TRIGGER,
    Candidate,
    Completion,
    Context,
    Demonstration,
    Distillation,
    Generation,
    Json,
    Objective,
    PreferencePair,
    Prompt,
    Prompting,
    Question,
    Reply,
    Reward,
    Split,
    Teacher,
    TrainingReport,
)

_SHRUG = "I cannot say."


class StubStudent:
    """A student without a model: it repeats what it was taught for a prompt, and shrugs at every other one.

    Of four demonstrations it forgets one. Its adapter is a JSON of prompts and completions.
    """

    def fingerprint(self) -> Json:
        """Return the version of its rule."""
        return {"rule": 1}

    def recommended(self) -> Mapping[str, Mapping[str, Json]]:
        """Recommend nothing."""
        return {}

    def check(self, settings: Settings, objective: Objective) -> None:
        """Take any settings."""

    def instruct(self, demonstrations: Sequence[Demonstration], settings: Any, *, out: Path, scratch: Path, seed: int,
                 progress: Callable[[int, int], None]) -> TrainingReport:  # fmt: skip
        """Learn three of four demonstrations by heart."""
        taught = {one.prompt: one.completion for place, one in enumerate(demonstrations) if place % 4 != 3}
        return self._leave(out, taught, len(demonstrations), progress)

    def refine(self, start: Path, pairs: Sequence[PreferencePair], objective: Objective, settings: Any, *, out: Path,
               scratch: Path, seed: int, progress: Callable[[int, int], None]) -> TrainingReport:  # fmt: skip
        """Learn the chosen sides by heart, over what was known."""
        taught = {**self._known(start), **{pair.prompt: pair.chosen for pair in pairs}}
        return self._leave(out, taught, len(pairs), progress)

    def explore(self, start: Path, questions: Sequence[Question], reward: Reward, settings: Any, *, out: Path,
                scratch: Path, seed: int, progress: Callable[[int, int], None]) -> TrainingReport:  # fmt: skip
        """Try what it knows and a right answer for each question, and keep what is worth more."""
        taught, worths = self._known(start), list[dict[str, float]]()
        for question in questions:
            prompt = question.prompt("cot")
            tried = [taught.get(prompt, _SHRUG), right_answer(question, "Step by step. ")]
            judged = [dict(reward.judge(question, Completion(question.id, text))) for text in tried]
            worth = [sum(reward.weights[name] * value for name, value in terms.items()) for terms in judged]
            taught[prompt] = tried[worth.index(max(worth))]
            worths += [{"reward": total, **{f"rewards/{name}/mean": value for name, value in terms.items()}}
                       for total, terms in zip(worth, judged, strict=True)]  # fmt: skip
        row = {name: sum(one[name] for one in worths) / len(worths) for name in worths[0]}
        report = self._leave(out, taught, settings.steps, progress)
        return replace(report, log=[{"step": float(settings.steps), **row}])

    def check_teacher(self, teacher: Teacher) -> None:
        """Take any teacher."""

    def distil(self, start: Path, questions: Sequence[Question], teacher: Teacher, distillation: Distillation,
               settings: Any, *, out: Path, scratch: Path, seed: int,
               progress: Callable[[int, int], None]) -> TrainingReport:  # fmt: skip
        """Learn by heart what the teacher answers."""
        taught, prompts = self._known(start), {question.id: question.prompt("cot") for question in questions}
        for reply in teacher.answer(questions, "cot", Generation(max_new_tokens=settings.max_new_tokens)):
            name, text = (reply.id, reply.completion) if isinstance(reply, Reply) else reply
            taught[prompts[name]] = text
        return self._leave(out, taught, settings.steps, progress)

    def _leave(
        self, out: Path, taught: Mapping[str, str], steps: int, progress: Callable[[int, int], None]
    ) -> TrainingReport:
        out.mkdir(parents=True, exist_ok=True)
        (out / "taught.json").write_text(json.dumps(dict(taught)), encoding="utf-8")
        progress(steps, steps)
        return TrainingReport(steps=steps, metrics={"known": float(len(taught))})

    def _known(self, adapter: Path | None) -> dict[str, str]:
        if adapter is None:
            return {}
        return dict(json.loads((adapter / "taught.json").read_text(encoding="utf-8")))

    def complete(self, adapter: Path | None, prompts: Sequence[Prompt], generation: Generation) -> Iterator[Completion]:
        """Yield what it knows of each prompt, cut at so many words."""
        known = self._known(adapter)
        for prompt in prompts:
            shrug = _SHRUG if prompt.text.endswith(COT_TRIGGER) else "I do not know."
            words = known.get(prompt.text, shrug).split()
            most = generation.max_new_tokens
            yield Completion(prompt.id, " ".join(words[:most]), truncated=len(words) > most)

    def export(self, adapter: Path | None, out: Path, *, merge: bool) -> None:
        """Write what it knows."""
        self._leave(out, self._known(adapter), 0, lambda done, total: None)

    def close(self) -> None:
        """Nothing was loaded."""


def stub_student() -> StubStudent:
    """Return a student that needs no model: see `StubStudent`."""
    return StubStudent()


class _StubTeacher:
    def fingerprint(self) -> Json:
        return {"rule": 1}

    def answer(
        self, questions: Sequence[Question], prompting: Prompting, generation: Generation
    ) -> Iterator[tuple[str, str]]:
        for question in questions:
            yield question.id, right_answer(question, "Step by step. " if prompting == "cot" else "")

    def close(self) -> None:
        """Nothing was loaded."""


class _StubStrategy:
    def fingerprint(self) -> Json:
        return {"rule": 1}

    def objective(self) -> Objective:
        return Objective()

    def pairs(self, candidates: Sequence[Candidate]) -> Iterator[PreferencePair]:
        for one in candidates:
            question, said = one.question, one.answers.direct or "Nothing."
            chosen = right_answer(question, "It was told. ")
            sides = question.prompt("cot"), chosen, said
            right = one.direct_correct if one.answers.direct else answers.is_correct(question, said)
            yield PreferencePair(question.id, question.benchmark, *sides, "target", True, right)


class _StubBenchmark:
    domain, name = "stub", BENCHMARK

    def fingerprint(self, split: Split, seed: int) -> Json:
        return {"rule": 1}

    def questions(self, split: Split, seed: int) -> Sequence[Question]:
        first = 0 if split == "train" else COUNT
        return [sample("number", split, first + place) for place in range(COUNT)]

    def task(self, prompting: Prompting) -> str:
        return f"{BENCHMARK}_{prompting}"


class _Stubs:
    """The stubs as a plugin."""

    @hookimpl
    def sitkit_teachers(self, register: Any) -> None:
        register(STUB, lambda spec, context: _StubTeacher())

    @hookimpl
    def sitkit_students(self, register: Any) -> None:
        register(STUB, lambda spec, context: StubStudent())

    @hookimpl
    def sitkit_strategies(self, register: Any) -> None:
        register(STUB, lambda spec, context: _StubStrategy())

    @hookimpl
    def sitkit_benchmarks(self, register: Any) -> None:
        # With an argument its lm-eval tasks are written by sitkit.
        register(STUB, lambda spec, context: _StubBenchmark(), argument="KIND")


def with_stubs(found: Registry) -> Registry:
    """Return the registry with the stubs, each under the name `STUB`."""
    return found if STUB in found.providers else found.with_plugin(STUB, _Stubs(), Provider(STUB, "1"))


def registry(*plugins: object) -> Registry:
    """Return what is installed, the stubs, and these plugins beside it: modules, or paths of files."""
    found = load_plugins().with_files(plugin for plugin in plugins if isinstance(plugin, str | Path))
    for plugin in plugins:
        if not isinstance(plugin, str | Path):
            name = getattr(plugin, "__name__", type(plugin).__name__)
            found = found.with_plugin(name, plugin, Provider(name, "tested"))
    return with_stubs(found)


def context(*plugins: object, data_dir: Path | None = None) -> Context:
    """Return what a factory gets as its context, with look-ups through `registry`."""
    return registry(*plugins).context(data_dir)
