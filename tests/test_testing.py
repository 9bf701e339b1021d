"""`sitkit.testing` and `sitkit check-plugin`: what is sound passes, each way of being wrong is named with its line."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sitkit import answers, testing
from sitkit.registry import Registry
from sitkit.testing.samples import BENCHMARK, STUB
from sitkit.types import Completion, LeftOut, Objective, PreferencePair, Question, Reply
from tests.conftest import EXAMPLE
from tests.installed import distribution, register, sitkit_here

PAGE = (Path(__file__).parents[1] / "docs" / "plugin-hooks.md").read_text(encoding="utf-8")
DOCUMENTED = dict(re.findall(r"^```(?:python|yaml)\n# file: (\S+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))


def wrong(check: Callable[..., None], *arguments: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        check(*arguments)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["number", "choice", "math"])
def test_the_grid_holds_every_state_and_says_of_each_what_it_is(kind: Any) -> None:
    found = testing.candidates(kind)
    assert len({one.question.id for one in found}) == len(found) >= 48
    for one in found:
        for text, cut, right in (
            (one.answers.direct, one.answers.direct_truncated, one.direct_correct),
            (one.answers.cot, one.answers.cot_truncated, one.cot_correct),
        ):
            assert right == (not cut and answers.is_correct(one.question, text))
        if one.demonstration is not None:
            assert one.demonstration.correct == answers.is_correct(one.question, one.demonstration.completion)
    states = {(one.cot_correct, one.direct_correct, one.answers.cot == "", one.demonstration is None) for one in found}
    assert len(states) == 12
    assert any(one.answers.cot == one.answers.direct != "" for one in found)


def test_the_parts_of_the_example_are_sound(example: Registry) -> None:
    testing.check_benchmark(example.benchmark("letters"), "letters")
    from sitkit.spec import parse_spec

    asked = example.benchmark("letters").questions("train", 0)
    testing.check_teacher(example.teacher(parse_spec("speller,slips=3")), asked)
    testing.check_student(example.student(parse_spec("counter")), asked[:4])
    testing.check_strategy(example.strategy(parse_spec("spelled-first")))
    testing.check_student(testing.stub_student())


def test_a_context_looks_parts_up_among_what_is_installed_and_the_stubs(example: Registry) -> None:
    import sitkit_example  # type: ignore[import-not-found]
    from sitkit.spec import Spec

    found = testing.context(sitkit_example)
    assert found.benchmark("letters").domain == "words"
    assert isinstance(found.student(Spec(STUB)), testing.StubStudent)
    assert [question.benchmark for question in testing.questions(count=2)] == [BENCHMARK] * 2


class Teacher:
    def __init__(self, answer: Callable[[Question, str], Any]) -> None:
        self.one = answer

    def fingerprint(self) -> Any:
        return {}

    def answer(self, questions: Any, prompting: str, generation: Any) -> Iterator[Any]:
        for question in questions:
            yield from self.one(question, prompting)

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda question, prompting: [(question.id, "1")] * 2, "answers a question more than once"),
        (lambda question, prompting: [("other", "1")], "answers what it was not asked ('other')"),
        (lambda question, prompting: [(question.id, " ")], "gives an empty answer"),
        (lambda question, prompting: [(question.id, 3)], "in place of (id, text) or a Reply"),
        (lambda question, prompting: [Reply(question.id, "1", prompt_tokens=-1)], "prompt_tokens is -1"),
        (lambda question, prompting: [(question.id, {"cot": "1"}[prompting])], "KeyError: 'direct'"),
    ],
)
def test_what_is_wrong_with_a_teacher_is_named_with_its_line(answer: Any, said: str) -> None:
    found = wrong(testing.check_teacher, Teacher(answer))
    assert said in found
    assert re.match(r"\S+test_testing.py:\d+: teacher Teacher: ", found)


class Strategy:
    def __init__(self, pair: Callable[[Any], Any], loss: Any = ("sigmoid",)) -> None:
        self.pair, self.loss = pair, loss

    def fingerprint(self) -> Any:
        return {}

    def objective(self) -> Objective:
        return Objective(self.loss)

    def pairs(self, candidates: Any) -> Iterator[Any]:
        for one in candidates:
            yield from self.pair(one)


def left(one: Any) -> LeftOut:
    return LeftOut(one.question.id, one.question.benchmark, "no reason")


def pair(one: Any, chosen: str, right: bool) -> PreferencePair:
    question = one.question
    return PreferencePair(question.id, BENCHMARK, "?", chosen, "I do not know.", "student", right, False)


@pytest.mark.parametrize(
    ("choose", "said"),
    [
        (lambda one: [], "returned no result for"),
        (lambda one: [LeftOut("other", BENCHMARK, "no")], "not"),
        (
            lambda one: [pair(one, one.answers.cot or "x", True)],
            "cut at sample.max_new_tokens|says that its chosen side",
        ),
        (lambda one: [pair(one, "", True)], "its chosen is ''"),
        (lambda one: [left(one)] if one.demonstration.correct else [], "AttributeError: 'NoneType'"),
    ],
)
def test_what_is_wrong_with_a_strategy_is_named_with_its_line(choose: Any, said: str) -> None:
    found = wrong(testing.check_strategy, Strategy(choose))
    assert re.search(said, found)
    assert found.startswith(f"{__file__}:") or "returned no result" in found or "was cut" in found


def test_an_objective_that_is_none_is_named() -> None:
    assert "is not a valid objective" in wrong(testing.check_strategy, Strategy(lambda one: [left(one)], loss=()))


class Student(testing.StubStudent):
    def __init__(self, fault: str) -> None:
        self.fault = fault

    def instruct(self, demonstrations: Any, settings: Any, *, out: Path, **given: Any) -> Any:  # type: ignore[override]
        if self.fault == "nothing taught":
            demonstrations[0]
        report = super().instruct(demonstrations, settings, out=out, **given)
        if self.fault == "learns of nothing" and not demonstrations:
            (out / "taught.json").write_text(json.dumps({testing.questions()[0].prompt("cot"): "42"}), encoding="utf-8")
        if self.fault == "no adapter":
            shutil.rmtree(out)
        return report

    def refine(self, start: Path, *arguments: Any, **given: Any) -> Any:
        if self.fault == "touches":
            (start / "more").touch()
        return super().refine(start, *arguments, **given)

    def complete(self, adapter: Any, prompts: Any, generation: Any) -> Iterator[Completion]:
        for place, one in enumerate(super().complete(adapter, prompts, generation)):
            if self.fault == "forgets" and place == 1:
                continue
            neighbours = f" {place}" * (self.fault == "order") + f" {len(prompts)}" * (self.fault == "batch")
            yield Completion(one.id, f"{one.text}{neighbours}")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("nothing taught", "instruct: IndexError"),
        ("learns of nothing", "with no demonstrations it has to leave an adapter that changes nothing"),
        ("no adapter", "instruct: left nothing in"),
        ("touches", "the adapter it started from"),
        ("forgets", "8 prompts gave 7 completions"),
        ("order", "depend on the order of the prompts"),
        ("batch", "depends on which prompts are asked with it"),
    ],
)
def test_what_is_wrong_with_a_student_is_named_with_its_line(fault: str, said: str) -> None:
    found = wrong(testing.check_student, Student(fault))
    assert said in found
    assert re.match(r"\S+\.py:\d+: student Student: ", found)


def test_what_is_wrong_with_a_benchmark_is_named(example: Registry) -> None:
    made: Any = example.benchmark("letters")
    assert "it names the benchmark 'letters'" in wrong(testing.check_benchmark, made, "other")
    calls: list[str] = []

    def shuffled(split: Any, seed: int) -> Any:
        calls.append(split)
        questions = type(made).questions(made, split, seed)
        return questions[:: -1 if len(calls) % 2 else 1]

    made.questions = shuffled
    assert "the train questions differ when they are asked for again" in wrong(testing.check_benchmark, made, "letters")


def test_an_installed_plugin_is_checked_from_its_discovery_to_ten_questions(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE / "sitkit_example", tmp_path / "sitkit_example")
    register(tmp_path, "sitkit-example", ["sitkit_example"])
    done = sitkit_here("check-plugin", "sitkit_example", "--json", path=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [check["check"] for check in json.loads(done.stdout)] == [
        "discovery",
        "fingerprints",
        "teacher speller",
        "student counter",
        "strategy spelled-first",
        "strategy spelled-samples",
        "benchmark letters",
        "ten questions end to end",
    ]
    task = tmp_path / "sitkit_example" / "tasks" / "letters_cot.yaml"
    task.write_text(task.read_text(encoding="utf-8").replace("prompt_cot", "prompt_direct"), encoding="utf-8")
    (task.parent / "spare.yaml").write_text("task: [", encoding="utf-8")
    done = sitkit_here("check-plugin", "sitkit-example", path=tmp_path)
    assert done.returncode == 1
    assert "is not the cot prompt" in done.stdout
    assert "spare.yaml, line 1" in done.stdout
    unknown = sitkit_here("check-plugin", "sitkit-exampel", path=tmp_path)
    assert (unknown.returncode, "did you mean 'sitkit-example'" in unknown.stderr) == (2, True)


CARELESS = """
import sys

from sitkit import hookimpl
from sitkit.spec import boolean

import numpy


class Careless:
    def __init__(self, loud=False):
        self.loud = loud

    def fingerprint(self):
        return list({"a", "b", "c", "d", "e"})

    def answer(self, questions, prompting, generation):
        for question in questions:
            yield question.id, question.target + "!" * self.loud

    def close(self):
        pass


def careless(spec, context):
    return Careless(**spec.parse_options({"loud": boolean}))


@hookimpl
def sitkit_teachers(register):
    print("hello")
    register("careless", careless)


def sitkit_students(register):
    register("nobody", careless)
"""


def test_what_is_wrong_with_discovery_and_fingerprints_is_named(tmp_path: Path) -> None:
    distribution(tmp_path, "careless", CARELESS)
    done = sitkit_here("check-plugin", "careless", path=tmp_path)
    assert done.returncode == 1
    for said in (
        "sitkit_students: is not marked with @hookimpl",
        "careless printed in sitkit_teachers: hello",
        "note: " + str(tmp_path / "careless.py:25") + ": teacher careless: its factory has no docstring",
        "importing the plugin imports numpy",
        "careless.py:14: teacher careless: fingerprint: it is another one in another process",
        "option loud=true changes what it does, and its fingerprint does not say so",
    ):
        assert said in done.stdout, done.stdout
    assert done.stdout.splitlines()[-1] == "5 faults"


@pytest.mark.parametrize(
    "name", ["sitkit_parrot.py", "sitkit_mimic.py", "sitkit_mistakes.py", "sitkit_brief.py", "sitkit_evens.py"]
)
def test_the_documented_parts_are_sound_as_files(tmp_path: Path, name: str) -> None:
    for file, code in DOCUMENTED.items():
        if file == name or file.startswith("evens_tasks"):
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).write_text(code, encoding="utf-8")
    done = sitkit_here("check-plugin", str(tmp_path / name), path=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_file_that_cannot_be_imported_is_a_fault_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("x = 1\nimport nothing_like_it\n", encoding="utf-8")
    done = sitkit_here("check-plugin", str(tmp_path / "broken.py"), path=tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path / 'broken.py'}:2: the plugin cannot be imported" in done.stdout
