"""What is wrong with one part of a plugin, found by using it as a run does."""

from __future__ import annotations

import contextlib
import inspect
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from sitkit import answers
from sitkit.capabilities import ExploringStudent, PaidEndpoint, QuestionIdentifier, plain_identity
from sitkit.components import Component, QuestionSet, objective, recommended, task_name
from sitkit.conformance import adapter_fault, judged_fault, questions_fault, report_fault
from sitkit.errors import SitkitError, reason
from sitkit.plugin_import import line_of
from sitkit.plugin_support import folder_digests
from sitkit.settings import PairSettings, resolve
from sitkit.stages import Budget, Pair, Work
from sitkit.stages.annotate import Taken
from sitkit.stages.explore import distillation_of, is_distilled, is_online, reward_of
from sitkit.testing.samples import demonstration, right_answer
from sitkit.types import (
    ANSWERED,
    PROMPTINGS,
    Benchmark,
    Candidate,
    Completion,
    Generation,
    Objective,
    PreferencePair,
    Prompt,
    Prompting,
    Question,
    Reward,
    Split,
    Strategy,
    Student,
    Teacher,
    TrainingReport,
)

GREEDY = Generation(max_new_tokens=64)
SPLITS: tuple[Split, ...] = ("train", "test")
_SHOWN = 3
_BRIEF = {"steps": 1, "prompts": 2, "samples": 2, "max_new_tokens": 16, "save_steps": 1}


@dataclass(frozen=True)
class Finding:
    """Something found: where (``file:line``, or empty), what, and whether it is wrong or only worth knowing."""

    text: str
    where: str = ""
    fault: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.text}" if self.where and self.where not in self.text else self.text


class _Findings(list[Finding]):
    """What was found of one part; what its code raises is a finding with the line that raised it."""

    def __init__(self, part: Component[Any]) -> None:
        self.part = part

    def _add(self, finding: Finding) -> None:
        if finding not in self:
            self.append(finding)

    def wrong(self, method: str, text: str) -> None:
        self._add(Finding(f"{self.part.kind} {self.part.spec}: {method}: {text}", line(self.part, method)))

    def note(self, method: str, text: str) -> None:
        self._add(Finding(f"{self.part.kind} {self.part.spec}: {method}: {text}", line(self.part, method), fault=False))

    @contextlib.contextmanager
    def calling(self, method: str) -> Iterator[None]:
        """Note whatever is raised inside, a call of the part's method, and go on after the block."""
        try:
            with self.part.calling(method):
                yield
        except SitkitError as error:
            self._add(raised(self.part, method, error))


def raised(part: Component[Any], method: str, error: SitkitError) -> Finding:
    """Return what a part's method raised as a finding, with the line of the plugin that raised it where it is known."""
    path, cause, text = inspect.getsourcefile(type(part.made)), error.__cause__, str(error)
    told = re.match(rf"{re.escape(str(part))}(?:, (\S+:\d+))?: ", text)
    where = line(part, method) if told is None or told[1] is None else told[1]
    if cause is not None and path is not None:
        deeper = line_of(cause, Path(path))
        where, text = (where if deeper == path else deeper), f"{method}: {reason(cause)}"
    elif told is not None:
        text = text[told.end() :]
    return Finding(f"{part.kind} {part.spec}: {text}", where)


def line(part: Component[Any], method: str) -> str:
    """Return ``file:line`` of a part's method, "" where it is not Python."""
    place = part.at(method).removeprefix(str(part))
    return place.removeprefix(", ")


def teacher_findings(part: Component[Teacher], asked: Sequence[Question]) -> Iterator[Finding]:
    """Ask a teacher in both promptings, for a part of the questions, and in reverse."""
    found = _Findings(part)
    if isinstance(part.made, PaidEndpoint):
        found.note("answer", "not asked: it may cost money")
    else:
        for prompting in PROMPTINGS:
            with found.calling("answer"):
                whole, *others = (
                    _replies(found, some, prompting)
                    for some in (asked, asked[: len(asked) // 2], list(reversed(asked)))
                )
                if any(whole.get(name, text) != text for other in others for name, text in other.items()):
                    text = "answers change with the questions beside them, so an interrupted run ends with others"
                    found.note("answer", f"{prompting} {text}")
    with found.calling("close"):
        part.made.close()
    yield from found


def _replies(found: _Findings, asked: Sequence[Question], prompting: Prompting) -> dict[str, str]:
    part: Component[Teacher] = found.part
    replies = list(part.replies("answer", part.made.answer(asked, prompting, GREEDY)))
    known, counted = {question.id for question in asked}, Counter(reply.id for reply in replies)
    empty = [reply.id for reply in replies if reply.outcome == ANSWERED and not reply.completion.strip()]
    for names, text in (
        ([name for name in counted if name not in known], "answers what it was not asked"),
        ([name for name in counted if counted[name] > 1], "answers a question more than once"),
        (empty, "gives an empty answer; a Reply with the outcome 'empty reply' is asked again"),
    ):
        if names:
            found.wrong("answer", f"asked for {prompting} answers, {text} ({min(names)!r})")
    if asked and not replies:
        found.note("answer", f"answers none of {len(asked)} questions ({prompting})")
    return {reply.id: reply.completion for reply in replies}


class _GridPair(Pair):
    """The pair stage, with candidates that are given."""

    given: Sequence[Candidate] = ()

    def _candidates(self, work: Work) -> list[Candidate]:
        return list(self.given)


def strategy_findings(part: Component[Strategy], given: Sequence[Candidate]) -> Iterator[Finding]:
    """Let a strategy choose among the candidates, and hold its pairs against them as the pair stage does."""
    found = _Findings(part)
    if is_online(part):
        yield from _online_findings(found, given)
        return
    with found.calling("objective"):
        objective(part)
    with found.calling("pairs"):
        first, second = list(part.made.pairs(given)), list(part.made.pairs(given))
        if first != second:
            found.wrong("pairs", "the same candidates give other pairs when asked again")
    if not any(finding.fault for finding in found):
        with found.calling("pairs"), tempfile.TemporaryDirectory() as folder:
            stage = _GridPair(part, (), (), (), Taken("all"), PairSettings(), 0)
            object.__setattr__(stage, "given", given)
            counts = stage.run(_work(Path(folder)))
            if not counts["total"]:
                reasons = ", ".join(counts["left_out_reasons"])
                found.note(
                    "pairs", f"makes no pair of {len(given)} candidates, whatever was right or wrong ({reasons})"
                )
    yield from found


def _online_findings(found: _Findings, given: Sequence[Candidate]) -> _Findings:
    """Judge the student's own answers among the candidates, each twice, in place of pairs."""
    if is_distilled(found.part):
        with found.calling("distillation"):
            distillation_of(found.part)
        return found
    with found.calling("reward"):
        reward = reward_of(found.part)
        for one in given:
            for answer in one.samples:
                completion = Completion(one.question.id, answer.text, answer.truncated)
                terms, again = (reward.judge(one.question, completion) for _ in range(2))
                if fault := judged_fault(reward, terms):
                    found.wrong("reward", fault)
                elif terms != again:
                    found.wrong("reward", "judge gives the same answer another value when asked again")
    return found


def _work(folder: Path) -> Work:
    return Work(
        folder=folder,
        scratch=folder / "scratch",
        artifacts={},
        journal=lambda name: contextlib.nullcontext(cast(Any, None)),
        progress=lambda done, total: None,
        notice=lambda text: None,
        budget=Budget(None),
        data_dir=None,
        task_folders={},
    )


def benchmark_findings(part: Component[Benchmark]) -> Iterator[Finding]:
    """Look at the questions of both splits."""
    found, splits = _Findings(part), dict[Split, list[Question]]()
    for split in SPLITS:
        with found.calling("questions"):
            splits[split] = list(QuestionSet(part, split, 0).questions)
            again = list(part.made.questions(split, 0))
            if again != splits[split]:
                found.wrong("questions", f"the {split} questions differ when they are asked for again")
            fault = questions_fault(again, part.spec)
            if fault:
                found.wrong("questions", fault)
        with found.calling("fingerprint"):
            said = [QuestionSet(part, split, 0).fingerprint for _ in range(2)]
            if said[0] != said[1]:
                found.wrong("fingerprint", f"that of the {split} split differs when it is asked for again")
    unread = [one.id for asked in splits.values() for one in asked if not answers.is_correct(one, right_answer(one))]
    if unread:
        text = f"{len(unread)} targets are not read back from 'The answer is …' as right ({', '.join(unread[:_SHOWN])})"
        found.wrong("questions", text)
    identity = part.made.identity if isinstance(part.made, QuestionIdentifier) else plain_identity
    train = {identity(one) for one in splits.get("train", ())}
    leaked = [one.id for one in splits.get("test", ()) if identity(one) in train]
    if leaked:
        text = f"{len(leaked)} test questions are also in the training set ({', '.join(leaked[:_SHOWN])})"
        found.note("questions", text)
    with found.calling("task"):
        for prompting in PROMPTINGS:
            task_name(part, prompting)
    yield from found


def task_findings(part: Component[Benchmark], folders: Sequence[Path]) -> Iterator[Finding]:
    """Load a benchmark's lm-eval tasks and have them judge right answers, and none; lm-eval takes seconds to load."""
    from sitkit.harness.check import TaskCheck, check_tasks
    from sitkit.harness.folders import broken_files

    found = _Findings(part)
    found += [Finding(text) for folder in folders for text in broken_files(folder)]
    for prompting in PROMPTINGS:
        with found.calling("task"):
            check = TaskCheck(
                who=str(part),
                benchmark=part.spec,
                task=task_name(part, prompting),
                prompting=prompting,
                questions=QuestionSet(part, "test", 0).questions,
                limit=None,
                folders=folders,
                provider=part.provider,
                metadata={"data_dir": None, "seed": 0},
            )
            check_tasks([check], right_answer)
    yield from found


def student_findings(part: Component[Student], asked: Sequence[Question]) -> Iterator[Finding]:
    """Ask a student, train it for a step on demonstrations and on pairs, and export it."""
    found, made = _Findings(part), part.made
    shown = [demonstration(question, right=True) for question in asked]
    pairs = [
        PreferencePair(
            one.question_id, one.benchmark, one.prompt, one.completion, "I do not know.", "teacher", one.correct, False
        )
        for one in shown
    ]
    settings = resolve({})
    with found.calling("recommended"):
        settings = resolve(recommended(part), {"train": {"max_steps": 1, "save_steps": 1}, "explore": _BRIEF})
    with found.calling("check"):
        made.check(settings, Objective())
    with tempfile.TemporaryDirectory() as folder:
        trained = _Trained(found, Path(folder), asked)
        untouched = trained.completions(None)
        empty = trained.train("instruct", lambda **given: made.instruct([], settings.instruct, **given))
        if empty is not None and trained.completions(empty) != untouched:
            found.wrong("instruct", "with no demonstrations it has to leave an adapter that changes nothing")
        taught = trained.train("instruct", lambda **given: made.instruct(shown, settings.instruct, **given))
        if taught is not None:
            before = folder_digests(taught)
            trained.completions(taught)
            refine = lambda **given: made.refine(taught, pairs, Objective(), settings.refine, **given)  # noqa: E731
            refined = trained.train("refine", refine)
            if folder_digests(taught) != before:
                found.wrong("refine", "the adapter it started from, or was asked with, is not what it was")
            if refined is not None:
                trained.completions(refined)
                with found.calling("export"):
                    out = Path(folder) / "export"
                    made.export(refined, out, merge=False)
                    if adapter_fault(out):
                        found.wrong("export", "left nothing in the folder it was given")
            if isinstance(made, ExploringStudent):
                exploring, reward = made, Reward({"right": 1.0}, _right)
                explore = lambda **given: exploring.explore(taught, asked, reward, settings.explore, **given)  # noqa: E731
                trained.train("explore", explore, "reward", "rewards/right/mean")
    with found.calling("close"):
        made.close()
    yield from found


def _right(question: Question, completion: Completion) -> Mapping[str, float]:
    return {"right": float(not completion.truncated and answers.is_correct(question, completion.text))}


class _Trained:
    """Trains a student in folders of its own and asks it in several ways."""

    def __init__(self, found: _Findings, folder: Path, asked: Sequence[Question]) -> None:
        self.found, self.folder = found, folder
        self.prompts = [
            Prompt(f"{prompting}|{one.id}", one.prompt(prompting)) for one in asked for prompting in PROMPTINGS
        ]
        self.count = 0

    def train(self, method: str, call: Callable[..., TrainingReport], *columns: str) -> Path | None:
        self.count += 1
        out, scratch = self.folder / f"out{self.count}", self.folder / f"scratch{self.count}"
        scratch.mkdir()
        with self.found.calling(method):
            report = call(out=out, scratch=scratch, seed=0, progress=lambda done, total: None)
            for fault in (report_fault(report), adapter_fault(out)):
                if fault:
                    self.found.wrong(method, fault)
            missing = [name for name in columns if not any(name in row for row in report.log)]
            if missing:
                self.found.wrong(method, f"no row of its log tells {' and '.join(missing)}")
        return out if adapter_fault(out) is None else None

    def completions(self, adapter: Path | None) -> dict[str, str]:
        whole = dict[str, str]()
        for generation in (replace(GREEDY, temperature=0.7, seed=3), GREEDY):
            with self.found.calling("complete"):
                whole = self._asked(adapter, self.prompts, generation)
                back = self._asked(adapter, list(reversed(self.prompts)), generation)
                single = dict[str, str]()
                for prompt in self.prompts[:2]:
                    single |= self._asked(adapter, [prompt], generation)
                named = f"at temperature {generation.temperature:g}"
                if back != whole:
                    self.found.wrong("complete", f"{named} the answers depend on the order of the prompts")
                elif any(whole.get(name) != text for name, text in single.items()):
                    self.found.wrong("complete", f"{named} an answer depends on which prompts are asked with it")
        return whole

    def _asked(self, adapter: Path | None, prompts: Sequence[Prompt], generation: Generation) -> dict[str, str]:
        part: Component[Student] = self.found.part
        given = list(part.completions("complete", part.made.complete(adapter, prompts, generation)))
        if sorted(one.id for one in given) != sorted(prompt.id for prompt in prompts):
            self.found.wrong(
                "complete", f"{len(prompts)} prompts gave {len(given)} completions: one for each, by its id"
            )
        return {one.id: one.text for one in given}
