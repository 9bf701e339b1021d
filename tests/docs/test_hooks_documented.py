"""docs/plugin-hooks.md: every hook is in it, every example in it runs, and every hook is exercised by a test here."""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from sitkit import types
from sitkit.registry import plugin_manager
from tests.installed import python, register, sitkit, sitkit_here

PAGE = (Path(__file__).parents[2] / "docs" / "plugin-hooks.md").read_text(encoding="utf-8")
HOOKS = {name: hook.spec.argnames for name, hook in vars(plugin_manager().hook).items() if name.startswith("sitkit_")}
EXAMPLES = dict(re.findall(r"^```(?:python|yaml)\n# file: (\S+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))

TestT = TypeVar("TestT", bound=Callable[..., None])
EXERCISED: set[str] = set()


def exercises(*hooks: str) -> Callable[[TestT], TestT]:
    """Note that a test runs the documented example of these hooks through the program."""
    EXERCISED.update(hooks)
    return lambda test: test


def section(hook: str) -> str:
    found = re.search(rf"^## {hook}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, f"docs/plugin-hooks.md has no section about {hook}"
    return found[1]


def test_there_are_hooks() -> None:
    assert {"sitkit_teachers", "sitkit_after_stage"} <= set(HOOKS)


@pytest.mark.parametrize("hook", HOOKS)
def test_each_hook_is_documented_with_its_parameters_and_an_example(hook: str) -> None:
    assert f"`{hook}({', '.join(HOOKS[hook])})`" in section(hook)
    assert f"[`{hook}`](#{hook})" in PAGE.split("## ", 1)[0]
    assert "# file: " in section(hook)
    assert any(re.search(rf"^@hookimpl\ndef {hook}\(", code, re.MULTILINE) for code in EXAMPLES.values())


def test_no_hook_is_documented_that_is_not_there() -> None:
    headings = re.findall(r"^## (sitkit_\w+)$", PAGE, re.MULTILINE)
    implemented = [
        name for code in EXAMPLES.values() for name in re.findall(r"^@hookimpl\ndef (\w+)", code, re.MULTILINE)
    ]
    assert set(headings) | set(implemented) == set(HOOKS)


def test_each_hook_is_exercised_by_a_test_here() -> None:
    assert set(HOOKS) == EXERCISED


def test_the_table_of_nouns_has_every_field() -> None:
    table = re.search(r"^## The nouns\n(.*?)^## ", PAGE, re.DOTALL | re.MULTILINE)
    assert table
    shown: dict[str, list[str]] = {}
    noun = ""
    for first, second in re.findall(r"^\| ((?:`\w+`)?) ?\| (`[^|]*`) \|", table[1], re.MULTILINE):
        noun = first.strip("`") or noun
        shown.setdefault(noun, []).extend(re.findall(r"`(\w+)`", second))
    nouns = {
        name: [field.name for field in dataclasses.fields(found)]
        for name, found in vars(types).items()
        if dataclasses.is_dataclass(found) and found.__module__ == types.__name__ and name != "Context"
    }
    assert shown == nouns


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every example of the page, installed as one distribution."""
    folder = tmp_path_factory.mktemp("documented")
    for name, code in EXAMPLES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(code, encoding="utf-8")
    register(folder, "documented", sorted(path.stem for path in folder.glob("sitkit_*.py")))
    return folder


def run(site: Path, workspace: Path, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    parts = ["--teacher", "parrot,polite=yes", "--student", "mimic", "--strategy", "mistakes", "--train-on", "evens"]
    arguments = ["run", *parts, "--workspace", str(workspace), "--name", "try", *more]
    return sitkit(*arguments, path=site, **environment) if environment else sitkit_here(*arguments, path=site)


def test_no_example_is_broken(site: Path) -> None:
    done = sitkit_here("plugins", "--json", path=site)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert [one for one in shown["broken"] if one["distribution"] == "documented"] == []
    assert {(one["kind"], one["name"]) for one in shown["plugins"] if one["distribution"] == "documented"} == {
        ("teacher", "parrot"),
        ("student", "mimic"),
        ("student", "mymodel"),
        ("student", "gentle"),
        ("strategy", "mistakes"),
        ("strategy", "rivals"),
        ("strategy", "brief"),
        ("benchmark", "evens"),
        ("command", "greet"),
        ("executor", "night"),
    }


def test_the_strategy_by_several_samples_pairs_them(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sitkit.testing import candidates, check_strategy

    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "sitkit_rivals", raising=False)
    rivals = importlib.import_module("sitkit_rivals").Rivals()
    check_strategy(rivals)
    pairs = [item for item in rivals.pairs(candidates()) if isinstance(item, types.PreferencePair)]
    # One candidate of the grid has several samples: two different wrong ones, and one that was cut.
    assert len(pairs) == 3
    assert len({pair.chosen for pair in pairs}) == 1


def test_the_strategy_with_a_reward_is_learnt_from(site: Path, tmp_path: Path) -> None:
    done = sitkit_here(
        "run", "--teacher", "parrot,polite=yes", "--student", "sitkit-stub", "--strategy", "brief",
        "--train-on", "evens",
        "--workspace", str(tmp_path), "--plugin", str(stub_plugin(tmp_path)), path=site,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (log,) = (tmp_path / "store" / "refine").glob("*/log.jsonl")
    (row,) = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    assert row["reward"] == pytest.approx(row["rewards/right/mean"] + 0.2 * row["rewards/short/mean"])
    assert row["rewards/right/mean"] > 0


def stub_plugin(folder: Path) -> Path:
    """A plugin file that registers the student without a model."""
    code = (
        "from sitkit import hookimpl\nfrom sitkit.testing import stub_student\n\n\n@hookimpl\n"
        'def sitkit_students(register):\n    register("sitkit-stub", lambda spec, context: stub_student())\n'
    )
    path = folder / "stubbed.py"
    path.write_text(code, encoding="utf-8")
    return path


@pytest.mark.slow
@exercises(
    "sitkit_teachers",
    "sitkit_students",
    "sitkit_strategies",
    "sitkit_benchmarks",
    "sitkit_task_folders",
    "sitkit_after_stage",
    "sitkit_report_sections",
)
def test_the_examples_work_together(site: Path, tmp_path: Path) -> None:
    diary = tmp_path / "diary.tsv"
    done = run(site, tmp_path, SITKIT_DIARY=str(diary))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads((tmp_path / "runs" / "try" / "results.json").read_text(encoding="utf-8"))
    # The student learns to say "even", when asked to think: right for 5 of 10 numbers, and never right otherwise.
    assert {(row["phase"], row["prompting"]): row["value"] for row in found["cells"]} == {
        ("baseline", "direct"): 0.0,
        ("baseline", "cot"): 0.0,
        ("instruct", "direct"): 0.0,
        ("instruct", "cot"): 0.5,
        ("refine", "direct"): 0.0,
        ("refine", "cot"): 0.5,
    }
    (pairs,) = found["pairs"]
    assert (pairs["total"], pairs["chosen_from"]["student"], pairs["left_out"]) == (5, 5, 5)
    report = (tmp_path / "runs" / "try" / "report.md").read_text(encoding="utf-8")
    lengths = report.partition("## Lengths")[2]
    assert "Mean characters of an answer, first seed." in lengths
    assert "| refine | cot | evens |" in lengths
    assert "Length of answers" in (tmp_path / "runs" / "try" / "report.html").read_text(encoding="utf-8")
    stages = [line.split("\t")[0] for line in diary.read_text(encoding="utf-8").splitlines()]
    assert sorted(stages) == sorted(["annotate", "annotate", "instruct", "sample", "pair", "refine", *["evaluate"] * 3])
    run(site, tmp_path, SITKIT_DIARY=str(diary))
    assert len(diary.read_text(encoding="utf-8").splitlines()) == len(stages), "reused stages must not be told of"


@pytest.mark.slow
@exercises("sitkit_before_stage")
def test_the_example_of_before_stage_stops_a_run(site: Path, tmp_path: Path) -> None:
    done = run(site, tmp_path, SITKIT_QUIET="yes")
    assert done.returncode == 2
    assert "instruct: no training while SITKIT_QUIET=yes" in done.stderr
    kept = sorted(path.name for path in (tmp_path / "runs" / "try").iterdir())
    assert kept == ["recipe.yaml", "run.log"], "it can go on"


@exercises("sitkit_defaults")
def test_the_example_of_defaults_holds_where_sitkit_names_none(site: Path) -> None:
    code = """
from importlib.metadata import entry_points
from sitkit.plan import build_plan
from sitkit.recipe import Recipe
from sitkit.registry import load_plugins
points = [point for point in entry_points(group="sitkit") if point.dist.name == "documented"]
recipe = build_plan(Recipe(), load_plugins(points)).recipe
print(*recipe.student, recipe.strategy, *recipe.train_on, *recipe.teacher, *recipe.eval_on)
"""
    done = python("-c", code, path=site)
    assert done.stdout == "mimic mistakes evens parrot evens\n", done.stderr


@pytest.mark.slow
@exercises("sitkit_executors")
def test_the_example_of_an_executor_runs_every_stage(site: Path, tmp_path: Path) -> None:
    done = run(site, tmp_path, "--executor", "night", SITKIT_HOUR="23")
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "runs" / "try" / "results.json").read_text(encoding="utf-8"))["stages"]) == 9
    again = run(site, tmp_path, "--executor", "night", SITKIT_HOUR="12")
    assert again.returncode == 0, again.stderr
    assert "waits for the night" not in again.stderr


def test_an_executor_that_nobody_registered_is_one_line(site: Path, tmp_path: Path) -> None:
    done = run(site, tmp_path, "--executor", "nigt")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no executor is called 'nigt'; did you mean 'night'? (known: here, night, ray)" in done.stderr
    assert "[here|night|ray]" in sitkit_here("run", "--help", path=site).stdout


@exercises("sitkit_before_run")
@pytest.mark.slow
def test_the_example_of_before_run_refuses_a_run(site: Path, tmp_path: Path) -> None:
    done = run(site, tmp_path, SITKIT_SEEDS="3")
    assert done.returncode == 2
    assert "try: 1 seed(s), and SITKIT_SEEDS asks for 3: use --seeds" in done.stderr
    assert not (tmp_path / "runs" / "try").exists()


@exercises("sitkit_after_run")
@pytest.mark.slow
def test_the_example_of_after_run_is_told_of_every_run(site: Path, tmp_path: Path) -> None:
    bell = tmp_path / "bell"
    for _ in range(2):
        assert run(site, tmp_path, SITKIT_BELL=str(bell)).returncode == 0
    assert bell.read_text(encoding="utf-8") == "try is done\n" * 2


@exercises("sitkit_commands")
def test_the_example_of_a_command(site: Path) -> None:
    done = sitkit_here("greet", "--loud", "Ada", path=site)
    assert (done.returncode, done.stdout) == (0, "HELLO ADA\n"), done.stderr
    shown = sitkit_here("--help", path=site).stdout
    assert re.search(r"^ +greet +say hello$", shown, re.MULTILINE), shown


@exercises("sitkit_students")
def test_the_documented_student_without_demonstrations_changes_nothing(site: Path, tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from sitkit.types import Generation, Prompt
from sitkit_mimic import Mimic
student, out = Mimic(), Path({str(tmp_path)!r}) / "adapter"
student.instruct([], None, out=out, scratch=out, seed=0, progress=lambda done, total: None)
prompts = [Prompt("a", "Answer: Let's think step by step"), Prompt("b", "Answer:")]
print(*(list(student.complete(where, prompts, Generation(8))) for where in (out, None)), sep="\\n")
"""
    done = python("-c", code, path=site)
    taught, untouched = done.stdout.splitlines()
    assert taught == untouched, done.stderr


@exercises("sitkit_students")
def test_the_example_of_other_settings_recommends_them(site: Path) -> None:
    code = """
from sitkit.registry import load_plugins
from sitkit.spec import parse_spec
print(load_plugins().student(parse_spec("gentle:org/name,quantize=none")).recommended()["instruct"])
"""
    done = python("-c", code, path=site)
    assert done.stdout == "{'epochs': 1, 'lora_r': 16}\n", done.stderr


@exercises("sitkit_students")
def test_the_example_of_a_model_folder_reaches_the_plugin_that_runs_it(site: Path, tmp_path: Path) -> None:
    done = sitkit_here("run", "--student", "mymodel", "--workspace", str(tmp_path), "--dry-run", path=site)
    assert done.returncode == 2
    assert str(site / "model") in done.stderr, done.stderr


@pytest.mark.slow
def test_the_example_of_a_plugins_own_test(site: Path) -> None:
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_parrot.py", path=site, cwd=site)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
