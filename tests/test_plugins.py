"""Plugins as third parties ship them: a real distribution, installed by pip and run; and broken ones, named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.installed import distribution, python, sitkit

EXAMPLE = Path(__file__).parent / "example_plugin"

HEALTHY = """
from sitkit import hookimpl

class Echo:
    def fingerprint(self): return {}
    def answer(self, questions, prompting, generation): return iter(())
    def close(self): pass

def echo(spec, context):
    '''Says nothing.'''
    return Echo()

@hookimpl
def sitkit_teachers(register):
    register("echo", echo)
"""


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example distribution, built and installed by pip into a folder of its own."""
    site = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(site), str(EXAMPLE)],
        stdin=subprocess.DEVNULL,
        check=True,
        timeout=120,
    )
    return site


def run_example(site: Path, workspace: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    parts = ["--teacher", "speller,slips=5", "--student", "counter", "--strategy", "spelled-first"]
    rest = ["--train-on", "letters", "--eval-on", "letters", "--workspace", str(workspace), "--name", "words"]
    return sitkit("run", *parts, *rest, *arguments, path=site)


@pytest.fixture(scope="module")
def results(example: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished run of the example's own teacher, student, strategy and benchmark: its workspace and results.json."""
    workspace = tmp_path_factory.mktemp("workspace")
    done = run_example(example, workspace)
    assert done.returncode == 0, done.stderr
    return workspace, json.loads((workspace / "runs" / "words" / "results.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_example_learns_from_end_to_end(results: tuple[Path, dict[str, Any]]) -> None:
    _, found = results
    scores = {(row["phase"], row["prompting"]): row for row in found["scores"]}
    accuracy = {key: round(row["value"] * row["n"]) for key, row in scores.items()}
    # It guesses 3 for each of 14 words, 2 of them right; demonstrations take it to words of 5 letters, pairs to 9.
    assert accuracy == {
        ("baseline", "direct"): 2,
        ("baseline", "cot"): 2,
        ("instruct", "direct"): 2,
        ("instruct", "cot"): 6,
        ("refine", "direct"): 2,
        ("refine", "cot"): 14,
    }
    for row in scores.values():
        assert (row["benchmark"], row["domain"], row["n"], row["extraction_failures"]) == ("letters", "words", 14, 0)
        assert (row["teacher"], row["student"]) == ("speller,slips=5", "counter")


@pytest.mark.slow
def test_the_examples_wrong_demonstrations_were_filtered(results: tuple[Path, dict[str, Any]]) -> None:
    _, found = results
    pairs = found["pairs"]
    # Three of the teacher's 14 answers are slips; two of the direct guesses it is paired with are right.
    assert (pairs["total"], pairs["chosen_from_teacher"], pairs["left_out"]) == (11, 11, 3)
    assert pairs["rejected_correct"] == 2


@pytest.mark.slow
def test_a_second_run_of_the_example_reuses_everything(example: Path, results: tuple[Path, dict[str, Any]]) -> None:
    workspace, first = results
    done = run_example(example, workspace)
    assert done.returncode == 0, done.stderr
    second = json.loads((workspace / "runs" / "words" / "results.json").read_text(encoding="utf-8"))
    assert all(stage["reused"] for stage in second["stages"])
    assert second["scores"] == first["scores"]


def listing(site: Path) -> tuple[dict[tuple[str, str], Mapping[str, Any]], str]:
    """Return what `sitkit plugins --json` and `sitkit plugins` show."""
    machine = sitkit("plugins", "--json", path=site)
    assert machine.returncode == 0, machine.stderr
    person = sitkit("plugins", path=site, COLUMNS="300")
    assert person.returncode == 0, person.stderr
    content = json.loads(machine.stdout)
    rows = {(row["kind"], row["name"]): row for row in content["plugins"]}
    return rows, person.stdout + person.stderr


def one_line(text: str, *parts: str) -> bool:
    return any(all(part in line for part in parts) for line in text.splitlines())


def test_the_examples_parts_are_listed_with_their_distribution(example: Path) -> None:
    rows, text = listing(example)
    for kind, name in [
        ("teacher", "speller"),
        ("student", "counter"),
        ("strategy", "spelled-first"),
        ("benchmark", "letters"),
    ]:
        row = rows[kind, name]
        assert (row["distribution"], row["version"]) == ("sitkit-example", "0.3.1")
        assert one_line(text, name, "sitkit-example", "0.3.1")
    assert rows["benchmark", "letters"]["summary"] == "How many letters a word has."


def test_the_examples_tasks_are_known(example: Path) -> None:
    done = sitkit("tasks", "list", path=example)
    assert done.returncode == 0, done.stderr
    assert "letters\tcot\tletters_cot" in done.stdout.splitlines()
    path = sitkit("tasks", "path", "letters", path=example)
    assert path.stdout.strip() == str(example / "sitkit_example" / "tasks")
    assert sitkit("tasks", "path", path=example).stdout != path.stdout


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["plugins"], ["tasks", "list"], ["tasks", "path"]]
)
def test_start_up_loads_nothing_heavy(example: Path, arguments: list[str]) -> None:
    heavy = {"torch", "transformers", "datasets", "trl", "peft", "bitsandbytes", "lm_eval", "math_verify", "numpy"}
    code = (
        "import sys; from sitkit.cli.main import run; code = run(sys.argv[1:]);"
        f"print(sorted({heavy!r} & set(sys.modules)), code, file=sys.stderr)"
    )
    done = python("-c", code, *arguments, path=example)
    assert done.stderr.splitlines()[-1:] == ["[] 0"], done.stderr


BROKEN: dict[str, tuple[str, str, str]] = {
    "fails-on-import": ("import no_such_module_at_all\n", "import", "no_such_module_at_all"),
    "raises-on-import": ("raise SystemError('two\\nlines')\n", "import", "two lines"),
    "takes-a-taken-name": (
        HEALTHY.replace('"echo"', '"tiny"'),
        "sitkit_teachers",
        "'tiny' is taken by sitkit",
    ),
    "registers-no-factory": (
        HEALTHY.replace(", echo)", ", 'echo')"),
        "sitkit_teachers",
        "str in place of a factory",
    ),
    "registers-no-name": (HEALTHY.replace('"echo"', "None"), "sitkit_teachers", "None"),
    "hook-fails": (HEALTHY.replace('register("echo"', 'register("echo" + 1'), "sitkit_teachers", "TypeError"),
    "folders-are-text": (
        "from sitkit import hookimpl\n@hookimpl\ndef sitkit_task_folders(): return 'tasks'\n",
        "sitkit_task_folders",
        "'tasks'",
    ),
    "folder-is-missing": (
        "from sitkit import hookimpl\nfrom pathlib import Path\n"
        "@hookimpl\ndef sitkit_task_folders(): return [Path('/no/such/folder')]\n",
        "sitkit_task_folders",
        "/no/such/folder",
    ),
    "defaults-are-no-mapping": (
        "from sitkit import hookimpl\n@hookimpl\ndef sitkit_defaults(): return 'tiny'\n",
        "sitkit_defaults",
        "expected a mapping",
    ),
    "default-of-nothing": (
        "from sitkit import hookimpl\n@hookimpl\ndef sitkit_defaults(): return {'studnet': 'tiny'}\n",
        "sitkit_defaults",
        "'studnet' has no default by plugins, only student, strategy, train_on have",
    ),
    "default-is-no-spec": (
        "from sitkit import hookimpl\n@hookimpl\ndef sitkit_defaults(): return {'strategy': ['a', 'b']}\n",
        "sitkit_defaults",
        "expected a SPEC",
    ),
    "misspelt-hook": (
        HEALTHY.replace("sitkit_teachers", "sitkit_teacher"),
        "sitkit_teacher",
        "did you mean 'sitkit_teachers'",
    ),
    "wrong-parameter": (
        "from sitkit import hookimpl\n@hookimpl\ndef sitkit_teachers(registrar): registrar('echo', print)\n",
        "import",
        "registrar",
    ),
}


def test_each_broken_plugin_is_named_in_one_line_and_the_rest_works(tmp_path: Path) -> None:
    for name, (code, _, _) in BROKEN.items():
        distribution(tmp_path, name, code)
    distribution(tmp_path, "a-healthy-one", HEALTHY, version="2.5")
    rows, text = listing(tmp_path)
    for name, (_, hook, reason) in BROKEN.items():
        assert one_line(text, name, hook, reason), f"{name}:\n{text}"
    assert "Traceback" not in text
    assert rows["teacher", "echo"]["distribution"] == "a-healthy-one"
    assert {("teacher", "tiny"), ("strategy", "dpo-cot")} <= set(rows)
    assert rows["teacher", "tiny"]["distribution"] == "sitkit"


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        ("return None", "NoneType"),
        ("return spec", "Spec"),
        ("raise ZeroDivisionError('by hand')", "ZeroDivisionError: by hand"),
    ],
)
def test_a_factory_that_gives_nonsense_stops_a_run_in_one_line(tmp_path: Path, factory: str, reason: str) -> None:
    code = HEALTHY.replace("return Echo()", factory).replace("sitkit_teachers", "sitkit_students")
    distribution(tmp_path, "gives-nonsense", code)
    done = sitkit("run", "--student", "echo", "--workspace", str(tmp_path / "work"), "--dry-run", path=tmp_path)
    assert done.returncode == 2
    assert one_line(done.stderr, "gives-nonsense", "sitkit_students", reason), done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_benchmark_does_not_hide_the_tasks_of_the_others(tmp_path: Path) -> None:
    code = HEALTHY.replace("return Echo()", "return 1 / 0").replace("sitkit_teachers", "sitkit_benchmarks")
    distribution(tmp_path, "divides-by-zero", code)
    done = sitkit("tasks", "list", path=tmp_path)
    assert "gsm8k" in done.stdout
    assert one_line(done.stderr, "divides-by-zero", "sitkit_benchmarks", "ZeroDivisionError"), done.stderr
