"""Own questions from a flag to an export: one benchmark in files, divided by use, scored by tasks made for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

import sitkit
from sitkit import hookimpl
from sitkit.cli.main import run as sitkit_command
from sitkit.errors import PluginError, RecipeError, SitkitError
from sitkit.execution.events import Notice
from sitkit.plan import Plan, build_plan
from sitkit.recipe import Recipe, make_recipe
from sitkit.registry import Registry, build_registry
from sitkit.results.questions import TestQuestions
from sitkit.results.rows import StoredRows
from sitkit.spec import Spec
from sitkit.survey import duplicates
from sitkit.types import Completion, Generation, Json, Prompt, Prompting, Question, Split
from tests.example_runs import PARTS, example_registry

WORDS = "ant bee fox goat horse monkey dolphin elephant alligator cup pear ship"
TESTED = "cow tiger spider cup pear eagle"


def rows(words: str) -> list[dict[str, Any]]:
    return [{"question": f"How many letters are in the word {word}?", "answer": len(word)} for word in words.split()]


def write(path: Path, given: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in given))
    return path


@contextmanager
def registry(*more: Any) -> Iterator[Registry]:
    """The example plugin's parts, and sitkit's own benchmarks."""
    import sitkit_benchmarks
    from sitkit.providers import Provider

    with example_registry() as found:
        providers = dict(found.providers)
        for at, plugin in enumerate((sitkit_benchmarks, *more)):
            found.manager.register(plugin, name=f"more{at}")
            providers[f"more{at}"] = Provider("sitkit" if at == 0 else "other", "1")
        yield build_registry(found.manager, providers)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Twelve training questions and six test questions, of which two stand in both."""
    return write(tmp_path / "words/train.jsonl", rows(WORDS)), write(tmp_path / "words/test.jsonl", rows(TESTED))


def plan(found: Registry, **recipe: Any) -> Plan:
    parts = {"student": "counter", "strategy": "spelled-first", "teacher": "speller"}
    return build_plan(make_recipe({**parts, **recipe}), found)


def sizes(made: Plan) -> dict[str, int]:
    return {f"{one.benchmark.spec} {one.split}": len(one.questions) for one in made.question_sets}


def test_a_file_to_train_on_and_one_to_score_are_one_benchmark_in_whole(files: tuple[Path, Path]) -> None:
    train, test = files
    with registry() as found:
        made = plan(found, train_on=f"file:{train}", eval_on=f"file:{test},letters")
        assert sizes(made) == {"words train": 10, "words test": 6, "letters test": 14}
        assert (made.recipe.train_on, made.recipe.eval_on) == (("words",), ("words", "letters"))
        assert made.recipe.questions == {"words": f"file:{train},test={test}"}
        again = build_plan(make_recipe({}, below=made.full_recipe().as_mapping()), found)
    assert [node.key for node in again.nodes] == [node.key for node in made.nodes]


@pytest.mark.parametrize("flags", [{}, {"eval_on": "{}"}, {"refine_on": "{}", "eval_on": "{},letters"}])
def test_of_one_file_the_test_is_held_out(tmp_path: Path, flags: dict[str, str]) -> None:
    path = write(tmp_path / "words.jsonl", rows(" ".join(f"w{'x' * at}" for at in range(60))))
    spec = f"file:{path}"
    with registry() as found:
        made = plan(found, train_on=spec, **{key: value.format(spec) for key, value in flags.items()})
    counts = sizes(made)
    assert counts["words train"] + counts["words test"] == 60
    assert 1 <= counts["words test"] <= 15
    assert made.recipe.questions == {"words": f"file:{path},test=0.1"}


def test_what_is_used_once_is_used_whole(files: tuple[Path, Path]) -> None:
    train, test = files
    with registry() as found:
        assert sizes(plan(found, train_on=f"file:{train}", eval_on="letters")) == {
            "words train": 12,
            "letters test": 14,
        }
        made = plan(found, train_on="letters", eval_on=f"file:{test},name=mine")
    assert sizes(made) == {"letters train": 14, "mine test": 6}
    assert made.recipe.questions == {"mine": f"file:{test},name=mine,test=1"}


def test_files_of_two_names_are_two_benchmarks_that_share_no_question(files: tuple[Path, Path]) -> None:
    train, test = files
    with registry() as found:
        made = plan(found, train_on=f"file:{train}", eval_on=f"file:{test},name=other")
    assert sizes(made) == {"words train": 10, "other test": 6}


def test_what_stands_in_a_public_test_is_counted_and_dropped_where_that_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "words.jsonl", rows("hat oak ant bee"))
    with registry() as found:
        for drop, count in ((False, 4), (True, 2)):
            made = plan(found, train_on=f"file:{path}", eval_on="letters", drop_duplicates=drop)
            assert sizes(made)["words train"] == count
            expected = [] if drop else [{"benchmark": "letters", "n": 14, "in_train": 2}]
            assert duplicates(made.question_sets) == expected


def test_where_a_file_lies_and_its_format_change_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def keys(text: str) -> list[str]:
        made = plan(found, train_on=text)
        assert str(tmp_path) not in json.dumps([node.material for node in made.nodes])
        return [node.key for node in made.nodes]

    many = rows(" ".join(f"w{'x' * at}" for at in range(60)))
    first = write(tmp_path / "a/words.jsonl", many)
    (tmp_path / "words.json").write_text(json.dumps(many))
    monkeypatch.chdir(tmp_path)
    with registry() as found:
        expected = keys(f"file:{first}")
        assert keys("file:./a/words.jsonl") == expected
        assert keys("file:words.json,question=question") == expected
        write(first, [many[0] | {"answer": 99}, *many[1:]])
        assert keys(f"file:{first}") != expected


@pytest.mark.parametrize(
    ("train_on", "eval_on", "said"),
    [
        ("file:a/q.jsonl,file:b/q.jsonl", None, "would both be called q: add ,name=NAME to one of them"),
        ("file:letters.jsonl", None, "would be called letters, which means another benchmark: add ,name=NAME to it"),
        ("file:all.jsonl", None, "would be called all, which means another benchmark"),
        ("file:a/q.jsonl,kind=number", "file:a/q.jsonl,kind=math", "kind=number and math"),
        ("file", None, "needs the path of a file of questions after a colon: file:"),
        ("letters:x", None, "takes no argument"),
        ("nothing:x", None, "no benchmark is called 'nothing'"),
        ("file:gone.jsonl", None, "gone.jsonl cannot be read"),
        (
            "file:a/q.jsonl,test=1",
            "letters",
            "q has no train questions; understood: q: kind number;",
        ),
    ],
)
def test_what_cannot_be_told_apart_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train_on: str, eval_on: str | None, said: str
) -> None:
    for name in ("a/q", "b/q", "letters", "all"):
        write(tmp_path / f"{name}.jsonl", rows(WORDS))
    monkeypatch.chdir(tmp_path)
    with registry() as found, pytest.raises(SitkitError) as caught:
        sizes(plan(found, train_on=train_on, eval_on=eval_on))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_names_its_own_benchmarks(files: tuple[Path, Path]) -> None:
    train, _ = files
    with registry() as found:
        made = plan(found, train_on="words", eval_on="letters", questions={"words": f"file:{train}"})
        assert sizes(made) == {"words train": 12, "letters test": 14}
        with pytest.raises(RecipeError, match="calls itself 'words'; use that name"):
            plan(found, train_on="sums", questions={"sums": f"file:{train}"})


class Counted:
    """A benchmark that another plugin makes from an argument; it brings no lm-eval task."""

    domain = "words"

    def __init__(self, letters: int) -> None:
        self.letters, self.name = letters, f"counted-{letters}"

    def fingerprint(self, split: Split, seed: int) -> Json:
        return [self.letters, split]

    def questions(self, split: Split, seed: int) -> list[Question]:
        words = [first * self.letters for first in ("xy" if split == "test" else "ab")]
        return [
            Question(
                id=f"{split}-{word}",
                benchmark=self.name,
                kind="number",
                instruction="Answer.",
                question=f"How many letters are in the word {word}?",
                choices=None,
                target=str(self.letters),
            )
            for word in words
        ]

    def task(self, prompting: Prompting) -> str:
        return f"{self.name}_{prompting}"


def counted_plugin(make: Any) -> ModuleType:
    plugin = ModuleType("counted")

    @hookimpl
    def sitkit_benchmarks(register: Any) -> None:
        register("counted", make, argument="LETTERS")

    vars(plugin)["sitkit_benchmarks"] = sitkit_benchmarks
    return plugin


def test_another_plugin_may_make_benchmarks_from_an_argument(tmp_path: Path) -> None:
    plugin = counted_plugin(lambda spec, context: Counted(int(spec.require_argument("a number"))))
    with registry(plugin) as found:
        results = sitkit.run(
            {**PARTS, "teacher": "speller", "train_on": ["letters"], "eval_on": ["counted:3", "counted:5"]},
            workspace=tmp_path / "w",
            registry=found,
        )
        assert "counted" not in found.first_names("benchmark")
    scores = results.scores().set_index(["benchmark", "phase", "prompting"])["accuracy"]
    assert (scores["counted-3", "baseline", "cot"], scores["counted-5", "refine", "cot"]) == (1.0, 1.0)
    assert results.data.tasks["counted-3"]["cot"] == "counted-3_cot"


def test_a_benchmark_from_an_argument_needs_a_name_that_fits_into_tables() -> None:
    for name in ("", "two words", None):
        made = Counted(3)
        made.name = name  # type: ignore[assignment]
        with registry(counted_plugin(lambda spec, context, made=made: made)) as found:
            recipe = Recipe(**{**PARTS, "train_on": ("counted:3",)})
            with pytest.raises(PluginError, match=r"benchmark counted:3 \(of other\): it has no name"):
                build_plan(recipe, found)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, list[str]]:
    """A run on own questions: its folder of files and workspace, what it found, and what was said."""
    folder, said = tmp_path_factory.mktemp("secret"), list[str]()
    train, test = write(folder / "words/train.jsonl", rows(WORDS)), write(folder / "words/test.jsonl", rows(TESTED))
    with registry() as found:
        results = sitkit.run(
            {**PARTS, "train_on": [f"file:{train}"], "eval_on": [f"file:{test}", "letters"], "test_limit": 5},
            workspace=folder / "w",
            name="own",
            progress=lambda event: said.append(event.text) if isinstance(event, Notice) else None,
            registry=found,
        )
    return folder, results, said


def test_a_run_says_what_was_understood_and_what_was_left_out(finished: tuple[Path, Any, list[str]]) -> None:
    _, results, said = finished
    assert (
        "words: kind number; question=question, target=answer; 10 to train on, 6 to test on; 2 left out of training"
        " that are test questions too" in said
    )
    left = "words: 2 training questions are test questions too and were left out"
    assert left in said
    assert left in results.warnings
    assert results.demonstrations()["question_id"].nunique() == 10
    cells = results.cells().set_index(["benchmark", "phase", "prompting"])
    assert cells.loc[("words", "refine", "cot")][["transfer", "n"]].tolist() == ["trained", 5]


def test_where_the_files_lie_stands_in_no_artifact(finished: tuple[Path, Any, list[str]]) -> None:
    folder, _, _ = finished
    texts = [path for path in (folder / "w/store").rglob("*") if path.is_file()]
    assert len(texts) > 10
    assert [path for path in texts if b"secret" in path.read_bytes()] == []


def _export(folder: Path, out: Path, *flags: str) -> None:
    from sitkit.cli.export import export

    with registry() as found:
        done = CliRunner().invoke(export, ["own", str(out), "--workspace", str(folder / "w"), *flags], obj=found)
    assert done.exit_code == 0, done.output


def test_an_export_repeats_its_score_in_plain_lm_eval_from_anywhere(
    finished: tuple[Path, Any, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.api.model import LM
    from lm_eval.tasks import TaskManager

    folder, results, _ = finished
    _export(folder, tmp_path / "student", "--train-on", "words")
    (tmp_path / "student").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")

    class Plain(LM):  # type: ignore[misc]
        def generate_until(self, requests: list[Any]) -> list[str]:
            prompts = [Prompt(str(at), request.args[0]) for at, request in enumerate(requests)]
            with registry() as found:
                student = found.student(Spec("counter"))
                answers = list(student.complete(tmp_path / "moved", prompts, Generation(64)))
            told = {one.id: one.text for one in answers if isinstance(one, Completion)}
            return [told[prompt.id] for prompt in prompts]

        def loglikelihood(self, requests: list[Any]) -> Any:
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    manager = TaskManager(include_path="tasks", include_defaults=False)
    tasks = [results.data.tasks["words"][prompting] for prompting in ("direct", "cot")]
    told = simple_evaluate(model=Plain(), tasks=tasks, task_manager=manager, limit=5)["results"]
    cells = results.cells().set_index(["benchmark", "phase", "prompting"])["accuracy"]
    plain = {prompting: told[f"sit_words_{prompting}"]["accuracy,none"] for prompting in ("direct", "cot")}
    assert plain == {prompting: cells["words", "refine", prompting] for prompting in ("direct", "cot")}
    assert len({*plain.values()}) == 2
    written = [path for path in (tmp_path / "moved").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert [path for path in written if b"secret" in path.read_bytes()] == []
    card = (tmp_path / "moved/README.md").read_text()
    assert "lie in `tasks/words`" in card
    assert "words: file:train.jsonl,test=…" in card


def test_an_export_without_the_questions_says_so(finished: tuple[Path, Any, list[str]], tmp_path: Path) -> None:
    folder, _, _ = finished
    _export(folder, tmp_path / "student", "--no-questions")
    assert not (tmp_path / "student/tasks").exists()
    assert "The questions are not part of this folder." in (tmp_path / "student/README.md").read_text()


def test_the_report_has_the_questions_and_how_to_repeat_the_score(finished: tuple[Path, Any, list[str]]) -> None:
    folder, results, _ = finished
    assert "--include_path ./student/tasks" in (folder / "w/runs/own/report.md").read_text()
    with registry() as found:
        texts = TestQuestions(results.data, StoredRows(folder / "w"), found)
        key = next(cell.keys[0] for cell in results.data.cells if cell.benchmark == "words")
        known = [question.question for question in texts.of("words", 0, key).values()]
    assert known[1] == "How many letters are in the word tiger?"
    assert texts.missing == {}


def test_data_says_what_was_understood(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    train, test = files
    assert sitkit_command(["data", f"file:{train},test={test}"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("words: kind number; question=question, target=answer; 12 to train on, 6 to test on\n")
    assert sitkit_command(["data", f"file:{train},test={test}", "--json", "--drop-duplicates"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["understood"].endswith(
        "10 to train on, 6 to test on; 2 left out of training that are test questions too"
    )
    assert (found["benchmark"], found["splits"]["train"]["from"]) == ("words", str(train))


def test_a_wrong_file_ends_a_command_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "words.jsonl", [*rows("ant"), {"question": "q"}])
    workspace = ["--workspace", str(tmp_path / "w")]
    for command in (["data", f"file:{path}"], ["run", "--train-on", f"file:{path}", *workspace]):
        assert sitkit_command(command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line == f"sitkit: {path}, line 2: field 'answer' is missing (fields: question)"
    assert not (tmp_path / "w").exists()


def test_a_dry_run_says_what_was_understood(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    train, test = files
    flags = ["--train-on", f"file:{train}", "--eval-on", f"file:{test}", "--teacher", "gold", "--dry-run"]
    assert sitkit_command(["run", *flags, "--workspace", str(train.parent / "w")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("words: kind number; question=question, target=answer; 10 to train on, 6 to test on; 2 left")
    assert "evaluate baseline words" in out
