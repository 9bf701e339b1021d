"""Plugins as third parties ship them: a real distribution, installed by pip and run; and broken ones, named."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sitkit.registry import load_plugins
from tests.installed import distribution, editable, python, sitkit, sitkit_here

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
    scores = {(row["phase"], row["prompting"]): row for row in found["cells"]}
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
        assert (row["benchmark"], row["domain"], row["n"], row["unread"]) == ("letters", "words", 14, 0)
        assert (row["teacher"], row["student"]) == ("speller,slips=5" if row["phase"] != "baseline" else "", "counter")


@pytest.mark.slow
def test_the_examples_wrong_demonstrations_were_filtered(results: tuple[Path, dict[str, Any]]) -> None:
    _, found = results
    (pairs,) = found["pairs"]
    # Three of the teacher's 14 answers are slips; two of the direct guesses it is paired with are right.
    assert (pairs["total"], pairs["chosen_from"]["teacher"], pairs["left_out"]) == (11, 11, 3)
    assert pairs["rejected_correct"] == 2


@pytest.mark.slow
def test_a_second_run_of_the_example_reuses_everything(example: Path, results: tuple[Path, dict[str, Any]]) -> None:
    workspace, first = results
    done = run_example(example, workspace)
    assert done.returncode == 0, done.stderr
    second = json.loads((workspace / "runs" / "words" / "results.json").read_text(encoding="utf-8"))
    assert all(stage["reused"] for stage in second["stages"])
    assert second["cells"] == first["cells"]


def listing(site: Path) -> tuple[dict[tuple[str, str], Mapping[str, Any]], str]:
    """Return what `sitkit plugins --json` and `sitkit plugins` show."""
    machine = sitkit("plugins", "--json", path=site)
    person = sitkit("plugins", path=site, COLUMNS="300")
    content = json.loads(machine.stdout)
    assert machine.returncode == person.returncode == (1 if content["broken"] else 0), machine.stderr + person.stderr
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


COMMAND = """
from sitkit import hookimpl

@hookimpl
def sitkit_commands(register):
    register("wave", "{place}", "Wave.")
"""

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
        "'studnet' is not a default that plugins may name: expected one of student, strategy, train_on",
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
        "sitkit_teachers",
        "takes registrar, which sitkit does not give it: it gives register",
    ),
    "no-parameter": (
        "from sitkit import hookimpl\n@hookimpl\ndef sitkit_teachers(): pass\n",
        "sitkit_teachers",
        "does not take register",
    ),
    "exits-on-import": ("raise SystemExit('no')\n", "import", "SystemExit: no"),
    "raises-a-base-exception": ("class Stop(BaseException): pass\nraise Stop('no')\n", "import", "Stop: no"),
    "exits-in-a-hook": (
        HEALTHY.replace('register("echo", echo)', "raise SystemExit('no')"),
        "sitkit_teachers",
        "SystemExit: no",
    ),
    "forgets-to-mark": (
        "def sitkit_before_stage(stage): raise ValueError\n",
        "sitkit_before_stage",
        "is not marked with @hookimpl, so it is not called",
    ),
    "yields-in-a-hook": (
        "from sitkit import hookimpl\n@hookimpl\ndef sitkit_before_stage(stage):\n    yield\n",
        "sitkit_before_stage",
        "is a generator function",
    ),
    "is-awaited": (
        "from sitkit import hookimpl\n@hookimpl\nasync def sitkit_teachers(register): pass\n",
        "sitkit_teachers",
        "is an async function",
    ),
    "aliases-are-text": (
        HEALTHY.replace('"echo", echo', '"echo-a", echo, aliases="short"'),
        "sitkit_teachers",
        "aliases='short', expected a list of names",
    ),
    "alias-of-a-taken-name": (
        HEALTHY.replace('"echo", echo', '"tiny", echo, aliases=["of-a-taken-name"]'),
        "sitkit_teachers",
        "'tiny' is taken by sitkit",
    ),
    "says-too-much": (
        HEALTHY.replace('"echo", echo', '"echo-b", echo, "more"'),
        "sitkit_teachers",
        "registers 'echo-b' with 1 argument(s) too many",
    ),
    "takes-a-command": (
        COMMAND.replace("wave", "run").format(place="a:b"),
        "sitkit_commands",
        "'run' is taken by sitkit",
    ),
    "commands-nothing": (COMMAND.format(place="a module"), "sitkit_commands", "expected the text MODULE:NAME"),
    "cannot-be-typed": (HEALTHY.replace('"echo"', '"--echo"'), "sitkit_teachers", "'--echo', which nobody can type"),
    "has-a-comma": (HEALTHY.replace('"echo"', '"echo,x"'), "sitkit_teachers", "'echo,x', which nobody can type"),
    "takes-a-reserved-name": (
        HEALTHY.replace('"echo"', '"all"').replace("sitkit_teachers", "sitkit_benchmarks"),
        "sitkit_benchmarks",
        "--eval-on all means every benchmark",
    ),
    "folders-raise-late": (
        "from sitkit import hookimpl\n"
        "def folders():\n    yield 1 / 0\n@hookimpl\ndef sitkit_task_folders(): return folders()\n",
        "sitkit_task_folders",
        "ZeroDivisionError",
    ),
    "task-is-broken": (
        "from sitkit import hookimpl\nfrom pathlib import Path\nfolder = Path(__file__).parent / 'broken_tasks'\n"
        "folder.mkdir(exist_ok=True)\n(folder / 'a.yaml').write_text('task: a\\nmetric_list: [1\\n')\n"
        "@hookimpl\ndef sitkit_task_folders(): return [folder]\n",
        "sitkit_task_folders",
        "a.yaml, line 3: invalid YAML",
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
    assert not {("teacher", "of-a-taken-name"), ("teacher", "echo-b"), ("command", "wave")} & set(rows)
    assert rows["teacher", "tiny"]["distribution"] == "sitkit"
    unknown = sitkit_here("run", "--teacher", "echo-c", "--workspace", str(tmp_path / "w"), path=tmp_path).stderr
    assert one_line(unknown, "no teacher is called 'echo-c'", "some plugins could not be used", "takes-a-taken-name")


def test_the_hooks_that_a_broken_plugin_does_not_watch_with_are_known(tmp_path: Path) -> None:
    guard = "from sitkit import hookimpl\n@hookimpl\ndef {}: pass\n"
    distribution(tmp_path, "fails", guard.format("sitkit_before_stage(stage)") + "import no_such_module_at_all\n")
    distribution(tmp_path, "forgets", "def sitkit_after_stage(stage, seconds): pass\n")
    distribution(tmp_path, "asks-too-much", guard.format("sitkit_before_run(nothing_of_this_name)"))
    broken = json.loads(sitkit_here("plugins", "--json", path=tmp_path).stdout)["broken"]
    assert {one["distribution"]: one["dropped"] for one in broken} == {
        "fails": ["sitkit_before_stage"],
        "forgets": ["sitkit_after_stage"],
        "asks-too-much": ["sitkit_before_run"],
    }


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        ("return None", "NoneType"),
        ("return spec", "Spec"),
        ("return Echo", "its factory returned the class Echo, not an instance of it"),
        ("raise SystemExit('by hand')", "SystemExit: by hand"),
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


def test_a_plugin_that_prints_does_not_spoil_what_programs_read(tmp_path: Path) -> None:
    distribution(tmp_path, "talks", f"print('good morning')\n{HEALTHY}")
    done = sitkit("plugins", "--json", path=tmp_path)
    assert json.loads(done.stdout)["notes"] == ["talks printed while it was imported: good morning"]
    assert done.returncode == 0
    assert one_line(sitkit("plugins", path=tmp_path).stderr, "note: talks printed while it was imported: good morning")


def test_each_distributions_hooks_are_listed(tmp_path: Path) -> None:
    distribution(tmp_path, "a-healthy-one", HEALTHY, version="2.5")
    (row,) = [
        row
        for row in json.loads(sitkit("plugins", "--json", path=tmp_path).stdout)["hooks"]
        if row["distribution"] == "a-healthy-one"
    ]
    assert (row["version"], row["hooks"], row["installed"]) == ("2.5", ["sitkit_teachers"], "as its version says")


@pytest.mark.parametrize(
    ("name", "place", "code", "said"),
    [
        ("a-wave", "waving:wave", "raise SystemExit(3)", "waving:wave cannot be imported: SystemExit: 3"),
        (
            "b-wave",
            "waving:wave",
            "class Stop(BaseException): pass\nraise Stop",
            "waving:wave cannot be imported: Stop",
        ),
        (
            "c-wave",
            "waving:wave",
            "import click\n@click.command()\ndef wave(): raise RuntimeError('tired')",
            "sitkit_commands: wave failed with RuntimeError: tired",
        ),
    ],
)
def test_a_command_that_breaks_is_named(tmp_path: Path, name: str, place: str, code: str, said: str) -> None:
    distribution(tmp_path, name, COMMAND.format(place=place))
    (tmp_path / "waving.py").write_text(code, encoding="utf-8")
    done = sitkit("wave", path=tmp_path)
    assert done.returncode == 2
    assert one_line(done.stderr, name, said), done.stderr
    assert "Traceback" not in done.stderr


PROBE = """
from sitkit.registry import load_plugins
from sitkit.components import Components
part = Components(load_plugins(), None, False).teacher("echo")
print(part.fingerprint["provider"])
"""


def keyed(site: Path, source: Path | None = None) -> dict[str, str]:
    """Return what the keys of the teacher "echo" hold of its distribution, as a process of its own sees it."""
    done = python("-c", PROBE, path=site, **({} if source is None else {"PYTHONPATH": f"{site}:{source}"}))
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = ast.literal_eval(done.stdout)
    return found


def test_changed_source_of_an_unchanged_version_has_other_keys(tmp_path: Path) -> None:
    distribution(tmp_path, "a-healthy-one", HEALTHY)
    installed = {"distribution": "a-healthy-one", "version": "1.0"}
    assert keyed(tmp_path) == installed
    module = tmp_path / "a_healthy_one.py"
    module.write_text(f"{HEALTHY}# one\n", encoding="utf-8")
    one = keyed(tmp_path)
    module.write_text(f"{HEALTHY}# two\n", encoding="utf-8")
    two = keyed(tmp_path)
    assert one["source"] != two["source"]
    module.write_text(HEALTHY, encoding="utf-8")
    assert keyed(tmp_path) == installed


def test_an_editable_install_has_its_source_in_its_keys(tmp_path: Path) -> None:
    site, source = tmp_path / "site", tmp_path / "checkout"
    site.mkdir()
    distribution(site, "a-healthy-one", HEALTHY)
    editable(site, "a-healthy-one", source)
    (site / "a.pth").write_text(str(source), encoding="utf-8")
    one = keyed(site, source)
    (source / "a_healthy_one.py").write_text(f"{HEALTHY}# two\n", encoding="utf-8")
    assert keyed(site, source)["source"] != one["source"]


def test_sitkits_own_checkout_has_no_source_in_its_keys() -> None:
    for provider in load_plugins().hooks():
        assert provider.distribution != "sitkit" or provider.as_json().keys() == {"distribution", "version"}
