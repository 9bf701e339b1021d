"""A user's own questions: what rows say is found out or told, what is wrong is named, ids and splits are stable."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitkit.errors import DataError, SitkitError, SpecError
from sitkit.registry import load_plugins
from sitkit.spec import parse_spec
from sitkit.types import Generation, Question
from sitkit_benchmarks.own import OwnBenchmark, file_benchmark
from tests.sitkit_benchmarks.real_data import DATA, needs_data

CUPS = {"question": "Two cups hold 3 coins each. How many coins?", "answer": "6"}
PENS = {"question": "Ada has 5 pens and loses 2. How many are left?", "answer": 3}
STEAM = {"question": "Hot water gives", "choices": ["ice", "steam", "sand"], "answer": "B"}
HALF = {"problem": "What is half of one?", "answer": "\\frac{1}{2}"}


def write(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())
    return path


def made(spec: str) -> OwnBenchmark:
    found = file_benchmark(parse_spec(spec))
    assert isinstance(found, OwnBenchmark)
    return found


def asked(path: Path, options: str = "") -> list[Question]:
    return list(made(f"file:{path},test=1{options}").questions("test", 0))


@pytest.mark.parametrize(
    ("row", "options", "kind", "target"),
    [
        (CUPS, "", "number", "6"),
        (PENS, "", "number", "3"),
        ({"Question": "q", "Target": 0.5}, "", "number", "0.5"),
        ({"prompt": "q", "final_ans": "1,250"}, "", "number", "1250"),
        ({"input": "q", "label": "7"}, ",kind=number", "number", "7"),
        ({"question": "q", "answer": "3*4 = <<3*4=12>>12.\n#### 12"}, "", "number", "12"),
        (HALF, "", "math", "\\frac{1}{2}"),
        ({"problem": "q", "solution": "So $x = \\boxed{x^2}$."}, "", "math", "x^2"),
        (CUPS, ",kind=math", "math", "6"),
        (STEAM, "", "choice", "B"),
        (STEAM | {"answer": "(b)"}, "", "choice", "B"),
        (STEAM | {"answer": "Steam"}, "", "choice", "B"),
        (STEAM | {"answer": 0}, "", "choice", "A"),
        (STEAM | {"answer": 3}, "", "choice", "C"),
        (STEAM | {"answer": 1}, ",target_as=0", "choice", "B"),
        (STEAM | {"answer": "1"}, ",target_as=1", "choice", "A"),
        (STEAM | {"choices": {"label": ["1", "2"], "text": ["ice", "steam"]}, "answer": "2"}, "", "choice", "B"),
        (STEAM | {"choices": [{"label": "X", "text": "ice"}, {"label": "Y", "text": "steam"}], "answer": "Y"},
         "", "choice", "B"),
        (STEAM | {"choices": {"A": "ice", "B": "steam"}}, "", "choice", "B"),
        (STEAM | {"choices": '["ice", "steam"]'}, "", "choice", "B"),
        (STEAM | {"choices": ["A) ice", "B) steam"]}, "", "choice", "B"),
        ({"goal": "q", "sol1": "ice", "sol2": "steam", "label": 0}, ",question=goal,choices=sol1+sol2", "choice", "A"),
        (STEAM | {"answer": "5"}, ",kind=number", "number", "5"),
    ],
)  # fmt: skip
def test_kind_and_target_are_found_out_or_told(
    tmp_path: Path, row: dict[str, Any], options: str, kind: str, target: str
) -> None:
    (question,) = asked(write(tmp_path / "mine.jsonl", [row]), options)
    assert (question.kind, question.target, question.benchmark) == (kind, target, "mine")
    if kind == "choice":
        assert [text for text in ("ice", "steam") if text not in (question.choices or ())] == []
    prompt = question.prompt("cot").splitlines()[0]
    assert prompt.startswith("Choose" if kind == "choice" else "Answer the following mathematical question")


def test_texts_of_several_fields_are_joined(tmp_path: Path) -> None:
    rows = [{"context": "Kim lent Alex an umbrella.", "question": "Was that kind?", "answer": 1}]
    (question,) = asked(write(tmp_path / "mine.jsonl", rows), ",question=context+question")
    assert question.question == "Kim lent Alex an umbrella. Was that kind?"


def test_what_is_worked_out_before_the_mark_is_a_solution_unless_there_is_one(tmp_path: Path) -> None:
    marked = {"question": "q", "answer": "3*4 = <<3*4=12>>12.\n#### 12"}
    rows = [marked, marked | {"question": "r", "solution": "Twelve: 12."}, {"question": "s", "answer": 1}]
    solutions = [question.solution for question in asked(write(tmp_path / "mine.jsonl", rows))]
    assert solutions == ["3*4 = 12.\nThe answer is 12.", "Twelve: 12.", None]


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([CUPS, "{"], "", "mine.jsonl, line 2: not valid JSON"),
        ([CUPS, "[1]"], "", "line 2: expected a JSON object, got list"),
        ([CUPS, {"question": "q"}], "", "line 2: field 'answer' is missing (fields: question)"),
        ([CUPS, {"question": " ", "answer": 1}], "", "line 2: field 'question': it is empty"),
        ([CUPS, {"question": ["q"], "answer": 1}], "", "line 2: field 'question': expected text, got list"),
        ([CUPS, {"question": "q", "answer": True}], "", "line 2: field 'answer': expected text, got bool"),
        ([CUPS, {"question": "q", "answer": float("nan")}], "", "line 2: field 'answer': expected a number, got nan"),
        (
            [CUPS] * 10 + [{"question": "q", "answer": "none"}],
            "",
            "line 11: field 'answer': expected a number, got 'none'",
        ),
        (
            [CUPS] * 10 + [{"question": "q"}] * 3,
            "",
            "line 11: field 'answer' is missing (fields: question); 2 more rows are wrong",
        ),
        ([{"question": "q", "answer": "1\n####"}], "", "line 1: field 'answer': no answer follows its mark"),
        (
            [{"problem": "q", "solution": "so 5"}],
            "",
            "line 1: field 'solution': expected the answer in a last \\boxed{…}",
        ),
        ([CUPS], ",kind=choice", "which field holds the options? Say choices=FIELD (fields: question, answer)"),
        ([STEAM, STEAM | {"answer": "D"}], "", "line 2: field 'answer': expected one of A, B, C, got 'D'"),
        (
            [STEAM, STEAM | {"answer": "fog"}],
            ",target_as=text",
            "line 1: field 'answer': expected the text of one of the options, got 'B'",
        ),
        ([STEAM | {"answer": 3}], ",target_as=0", "line 1: field 'answer': expected a number from 0 to 2, got '3'"),
        ([STEAM | {"answer": 0}], ",target_as=1", "line 1: field 'answer': expected a number from 1 to 3, got '0'"),
        ([STEAM | {"choices": ["ice"]}], "", "line 1: field 'choices': expected 2 to 26 options, got 1"),
        ([STEAM | {"choices": "ice, steam"}], "", "line 1: field 'choices': expected a list of options, got str"),
        ([STEAM | {"choices": "[1"}], "", "line 1: field 'choices': not valid JSON"),
        ([STEAM | {"choices": ["ice", ""]}], "", "line 1: field 'choices[1]': it is empty"),
        (
            [STEAM | {"choices": {"label": ["A", "A"], "text": ["x", "y"]}}],
            "",
            "expected a label of its own for each of 2 options",
        ),
        ([STEAM | {"answer": 1}], "", "answer counts the options from 0 or from 1: say target_as=0 or target_as=1"),
        (
            [CUPS | {"prompt": "p"}],
            "",
            "the question may be question or prompt: say question=question or question=prompt",
        ),
        ([CUPS | {"target": 6}], "", "the target may be answer or target: say target=answer or target=target"),
        ([{"text": "q", "n": 1}], "", "which field is the question? Say question=FIELD (fields: text, n)"),
        ([{"question": "q", "n": 1}], "", "which field is the answer? Say target=FIELD (fields: question, n)"),
        ([CUPS], ",question=stem", "question=stem: no row has a field 'stem' (fields: question, answer)"),
        (
            [{"question": "q", "answer": "Paris"}],
            "",
            "the answers are words ('Paris'), which no reader judges: say choices=FIELD",
        ),
        (
            [{"question": "q", "answer": "A"}, {"question": "r", "answer": "C"}],
            "",
            "the answers (answer) seem to be those of a choice",
        ),
        ([{"question": "q", "label": 2}], "", "the answers (label) seem to be those of a choice: say choices=FIELD"),
        ([], "", "mine.jsonl has no rows"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_it(tmp_path: Path, rows: list[Any], options: str, said: str) -> None:
    path = write(tmp_path / "mine.jsonl", rows)
    with pytest.raises(DataError) as caught:
        made(f"file:{path},test=0{options}")
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("mine.csv", "question,answer\nq,1,2\n", "line 2: more fields than its first line names"),
        ("mine.csv", "question,answer\nq,1\nr,\n", "line 3: field 'answer' is missing"),
        ("mine.csv", 'question,answer\n"q,1\n', "cannot be read"),
        ("mine.json", "[1]", "item 1: expected a JSON object, got int"),
        ("mine.json", "[{]", "not valid JSON"),
        ("mine.parquet", "no such thing", "cannot be read as Parquet"),
        ("mine.txt", "question", "expected a name that ends in .jsonl"),
        ("mine.jsonl.gz", "{}", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as caught:
        made(f"file:{tmp_path / name}")
    assert said in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "spec",
    ["file:x.jsonl,kind=text", "file:x.jsonl,test=2", "file:x.jsonl,name=a b", "file:x.jsonl,split=train", "file"],
)
def test_an_option_that_makes_no_sense_is_refused(spec: str) -> None:
    with pytest.raises(SpecError):
        made(spec)


def test_every_format_says_the_same_and_none_is_touched(tmp_path: Path) -> None:
    from datasets import Dataset

    rows = [
        {"question": f'What is {n} + 1,\n"please"?', "answer": str(n + 1), "id": f"n{n}", "note": None}
        for n in range(40)
    ]
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, ["question", "answer", "id", "note"])
    writer.writeheader()
    writer.writerows(rows)
    write(tmp_path / "mine.jsonl", rows)
    write(tmp_path / "gz/mine.jsonl.gz", rows)
    (tmp_path / "mine.json").write_text(json.dumps(rows))
    (tmp_path / "mine.csv").write_text(table.getvalue(), newline="")
    Dataset.from_list(rows).to_parquet(tmp_path / "mine.parquet")
    paths = list(tmp_path.rglob("mine.*"))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}
    found = [made(f"file:{path}") for path in paths]
    assert len(found) == 5
    for split in ("train", "test"):
        assert len({json.dumps(one.fingerprint(split, 0)) for one in found}) == 1
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths} == before
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(paths)


def test_the_digest_follows_the_questions_alone(tmp_path: Path) -> None:
    rows: list[Any] = [CUPS, PENS | {"note": "x"}]
    first = made(f"file:{write(tmp_path / 'a/mine.jsonl', rows)},test=0").fingerprint("train", 0)
    assert made(f"file:{write(tmp_path / 'b/mine.jsonl', [CUPS, PENS])},test=0").fingerprint("train", 5) == first
    edited = [CUPS, PENS | {"answer": 4}]
    assert made(f"file:{write(tmp_path / 'a/mine.jsonl', edited)},test=0").fingerprint("train", 0) != first
    assert str(tmp_path) not in json.dumps(first)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("questions.jsonl", "questions"),
        ("word_problems/train.jsonl.gz", "word_problems"),
        ("word_problems/test.csv", "word_problems"),
        ("a/dev-train.jsonl", "a"),
        ("My sums (2).jsonl", "My-sums-2"),
        ("my.train.jsonl", "my.train"),
        ("été.jsonl", "t"),
        ("äöü.jsonl", "questions"),
    ],
)
def test_a_benchmark_is_called_as_its_file_or_its_folder(tmp_path: Path, place: str, name: str) -> None:
    path = write(tmp_path / place, []) if place.endswith((".jsonl", ".gz")) else tmp_path / place
    if place.endswith(".csv"):
        path.parent.mkdir(parents=True)
        path.write_text("question,answer\nq,1\n")
    else:
        write(path, [CUPS])
    assert made(f"file:{path}").name == name
    assert made(f"file:{path},name=other").name == "other"


def test_a_home_folder_names_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "ada"))
    assert made(f"file:{write(tmp_path / 'ada/test.jsonl', [CUPS])}").name == "questions"
    assert made("file:~/test.jsonl").name == "questions"


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)
ROWS = st.lists(
    st.fixed_dictionaries({"question": TEXT, "answer": st.integers(0, 10**6)}), min_size=1, max_size=30
)  # fmt: skip


def _ids(benchmark: OwnBenchmark) -> dict[str, str]:
    return {one.question: one.id for split in ("train", "test") for one in benchmark.pool(split)}


@given(ROWS, ROWS, st.sampled_from([0.1, 0.5, 0.9]))
@settings(max_examples=60, deadline=None)
def test_rows_that_are_added_or_moved_change_no_other(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], more: list[Any], share: float
) -> None:
    folder = tmp_path_factory.mktemp("own")
    unique = list({row["question"].casefold(): row for row in rows}.values())
    known = {row["question"].casefold() for row in unique}
    others = [row for row in more if row["question"].casefold() not in known]
    one = made(f"file:{write(folder / 'a.jsonl', unique)},test={share},name=own")
    other = made(f"file:{write(folder / 'b.jsonl', [*others, *reversed(unique)])},test={share},name=own")
    ids, later = _ids(one), _ids(other)
    # What differs in case alone is one question by its digest, of which one of two is numbered.
    assert {key: later[key] for key in ids if not later[key].endswith("-2")} == {
        key: value for key, value in ids.items() if not later[key].endswith("-2")
    }
    asked = [*one.pool("train"), *one.pool("test")]
    assert len({question.id for question in asked}) == len(asked) == len(unique)


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_no_question_is_on_both_sides_and_none_is_lost(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any]
) -> None:
    path = write(tmp_path_factory.mktemp("own") / "mine.jsonl", [*rows, *rows])
    benchmark = made(f"file:{path},test=0.5")
    train, test = ([benchmark.identity(one) for one in benchmark.pool(split)] for split in ("train", "test"))
    assert not {*train} & {*test}
    assert len(train) + len(test) == 2 * len(rows)
    ids = [one.id for split in ("train", "test") for one in benchmark.pool(split)]
    assert len({*ids}) == len(ids)


@given(st.lists(TEXT, min_size=2, max_size=6, unique_by=str.casefold), st.data())
@settings(max_examples=60, deadline=None)
def test_a_choice_is_the_same_however_its_target_is_written(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], data: st.DataObject
) -> None:
    right = data.draw(st.integers(0, len(texts) - 1))
    told = {"letter": "ABCDEF"[right], "text": texts[right], "0": right, "1": right + 1}
    folder = tmp_path_factory.mktemp("own")
    for reading, target in told.items():
        path = write(folder / f"own{reading}.jsonl", [{"question": "q", "options": texts, "answer": target}])
        (question,) = asked(path, f",target_as={reading}")
        assert question.target == "ABCDEF"[right]


def test_an_id_is_taken_where_every_row_has_its_own(tmp_path: Path) -> None:
    rows = [CUPS | {"id": "a/1"}, PENS | {"id": 2}]
    ids = [one.id for one in asked(write(tmp_path / "mine.jsonl", rows))]
    assert [identity.partition("@")[0] for identity in ids] == ["mine/test/a/1", "mine/test/2"]
    repeated = [CUPS | {"id": 1}, PENS | {"id": 1}]
    assert all("@" not in one.id for one in asked(write(tmp_path / "mine.jsonl", repeated)))
    # Another question under a known id is another question.
    assert ids[1] not in [one.id for one in asked(write(tmp_path / "mine.jsonl", [CUPS | {"id": "a/1"}, STEAM_2]))]


STEAM_2 = {"question": "Another question?", "answer": 3, "id": 2}


def test_two_files_are_one_benchmark_and_each_may_number_its_rows(tmp_path: Path) -> None:
    train = write(tmp_path / "sums/train.jsonl", [CUPS | {"id": 1}, PENS | {"id": 2}])
    test = write(tmp_path / "sums/test.jsonl", [PENS | {"id": 1}])
    spec = made(f"file:{train}").with_test(made(f"file:{test}"))
    assert spec == f"file:{train},test={test}"
    both = made(spec)
    assert [one.id.partition("@")[0] for one in both.questions("train", 0)] == ["sums/train/1", "sums/train/2"]
    assert [one.id.partition("@")[0] for one in both.questions("test", 0)] == ["sums/test/1"]
    alone = both.without_duplicates()
    assert [one.target for one in alone.questions("train", 0)] == ["6"]
    assert isinstance(alone, OwnBenchmark)
    assert alone.left_out() == 1
    assert "1 left out of training" in alone.understood()
    assert both.left_out() == 0


def test_kinds_of_both_files_are_one(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", [{"question": "q", "answer": 1}])
    test = write(tmp_path / "test.jsonl", [HALF | {"question": "r"}])
    test.write_text(json.dumps({"question": "r", "answer": "\\frac{1}{2}"}))
    assert {one.kind for one in made(f"file:{train},test={test}").questions("train", 0)} == {"math"}


@pytest.mark.parametrize(
    ("options", "trained", "scored", "test"),
    [
        ("", True, True, "0.1"), ("", True, False, "0"), ("", False, True, "1"),
        (",test=0.3", True, False, "0.3"), (",test=0.3", False, True, "0.3"),
    ],
)  # fmt: skip
def test_a_file_is_divided_by_its_use_unless_told(
    tmp_path: Path, options: str, trained: bool, scored: bool, test: str
) -> None:
    path = write(tmp_path / "mine.jsonl", [CUPS])
    assert made(f"file:{path}{options}").divided(trained=trained, scored=scored) == f"file:{path},test={test}"


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [("kind=number", "kind=math", "kind=number and math"), ("test=0.2", "kind=number", "test=0.2 says which")],
)
def test_two_files_that_are_read_differently_are_not_one(tmp_path: Path, one: str, other: str, said: str) -> None:
    train, test = (write(tmp_path / f"{name}.jsonl", [CUPS]) for name in ("train", "test"))
    with pytest.raises(SpecError, match=said):
        made(f"file:{train},{one}").with_test(made(f"file:{test},{other}"))


def test_a_share_that_leaves_no_question_says_so(tmp_path: Path) -> None:
    few = made(f"file:{write(tmp_path / 'mine.jsonl', [CUPS])}")
    rule = "(test=0.1, held out by their text; another share may leave some)"
    assert few.understood().endswith(f"; 1 to train on, 0 to test on {rule}")


def test_a_hub_set_gives_its_own_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: list[Any] = []
    parts: dict[str, list[Any]] = {
        "train": [CUPS, PENS | {"answer": "3"}],
        "validation": [{"question": f"What is {n}?", "answer": str(n)} for n in range(3)],
    }

    def load(hub_id: str, config: str | None = None, *, revision: str | None = None) -> Any:
        asked.append((hub_id, config, revision))
        return datasets.DatasetDict({name: datasets.Dataset.from_list(rows) for name, rows in parts.items()})

    monkeypatch.setattr(datasets, "load_dataset", load)
    registry = load_plugins()
    both: Any = registry.benchmark("hub:some/sums-1,config=easy,revision=abc")
    assert (both.name, len(both.questions("train", 0)), len(both.questions("test", 0))) == ("sums-1-easy", 2, 3)
    assert asked == [("some/sums-1", "easy", "abc")]
    spec = both.divided(trained=True, scored=True)
    assert spec == "hub:some/sums-1,config=easy,revision=abc,split=train,test=validation"
    assert both.divided(trained=True, scored=False).endswith(",split=train,test=0")
    assert both.divided(trained=False, scored=True).endswith(",split=validation,test=1")
    one: Any = registry.benchmark("hub:some/sums-2,split=train")
    assert len(one.pool("train")) + len(one.pool("test")) == 2
    assert one.divided(trained=True, scored=False) == "hub:some/sums-2,split=train,test=0"
    test: Any = registry.benchmark("hub:some/sums-2,split=validation")
    usual: Any = registry.benchmark("hub:some/sums-2")
    for train, scored in ((one, test), (usual, test), (one, usual)):
        assert train.with_test(scored) == "hub:some/sums-2,split=train,test=validation"
    with pytest.raises(SpecError, match="lie in two sets: add ,name=NAME to one"):
        one.with_test(registry.benchmark("hub:other/sums-2,split=validation"))
    with pytest.raises(DataError, match=r"has no split 'tset' \(splits: train, validation\): say split=SPLIT"):
        registry.benchmark("hub:some/sums-2,split=tset")


def test_a_hub_set_that_cannot_be_had_says_what_else_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def load(*arguments: Any, **keywords: Any) -> Any:
        raise ConnectionError("no\nnetwork")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(SitkitError, match=r"ConnectionError: no network\); with the files at hand, use file:PATH"):
        load_plugins().benchmark("hub:some/where")


@needs_data
@pytest.mark.parametrize(
    ("name", "file", "options"),
    [
        ("gsm8k", "gsm8k/test", ""),
        ("multiarith", "MultiArith/test", ""),
        ("openbookqa", "openbookqa/validation", ""),
        ("commonsense_qa", "commonsense_qa/validation", ""),
        ("piqa", "piqa/validation", ",question=goal,choices=sol1+sol2"),
        ("social_i_qa", "social_i_qa/validation", ",question=context+question,choices=answerA+answerB+answerC"),
        ("math", "hendrycks_math/test", ""),
    ],
)
def test_public_sets_are_understood_as_they_are_known(name: str, file: str, options: str) -> None:
    known = load_plugins().benchmark(name, DATA)
    found = asked(DATA / f"{file}.jsonl.gz", f"{options},name={name}")
    what = attrgetter("kind", "instruction", "question", "choices", "target", "solution")
    assert Counter(map(what, found)) == Counter(map(what, known.questions("test", 0)))


@needs_data
def test_demonstrations_made_elsewhere_are_found_by_the_question(tmp_path: Path) -> None:
    words = DATA / "word_problems"
    benchmark = made(f"file:{words / 'train.jsonl.gz'},test={words / 'test.jsonl.gz'}")
    train, test = benchmark.questions("train", 0), benchmark.questions("test", 0)
    assert (benchmark.name, len(train), len(test)) == ("word_problems", 1435, 356)
    assert {one.kind for one in train} == {"number"}
    teacher = load_plugins().teacher(parse_spec(f"file:{DATA}/demonstrations/word_problems.text-davinci-002.jsonl"))
    answered = dict(teacher.answer(train, "cot", Generation(512)))  # type: ignore[arg-type]
    assert answered.keys() == {one.id for one in train}
