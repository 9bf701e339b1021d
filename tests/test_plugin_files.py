"""Plugins that are single files: named in a recipe or by --plugin, their content part of the keys of what they make."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sitkit.api import run
from sitkit.errors import PluginError, RecipeError, UsageError
from sitkit.execution import executors
from sitkit.plan import build_plan
from sitkit.providers import Provider
from sitkit.recipe import make_recipe
from sitkit.registry import Registry, build_registry

STRATEGY = '''
from dataclasses import dataclass

from sitkit import hookimpl
from sitkit.types import LeftOut, Objective, PreferencePair


@dataclass
class Targets:
    rule: int = 1

    def fingerprint(self):
        return {"rule": self.rule}

    def objective(self):
        return Objective()

    def pairs(self, candidates):
        for one in candidates:
            question, said = one.question, one.answers.direct
            if not said.strip() or one.direct_correct:
                yield LeftOut(question.id, question.benchmark, "no mistake")
            else:
                sides = question.prompt("cot"), question.target_text, said
                yield PreferencePair(question.id, question.benchmark, *sides, "target", True, False)


def targets(spec, context):
    """The target over a wrong direct answer."""
    return Targets()


@hookimpl
def sitkit_strategies(register):
    register("targets", targets)
'''
PARTS = {"teacher": "speller", "student": "counter", "strategy": "spelled-first", "train_on": ["letters"]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lab" / "my_strategy.py"
    path.parent.mkdir()
    path.write_text(STRATEGY, encoding="utf-8")
    return path


def keys(registry: Registry, **recipe: object) -> dict[str, str]:
    """Return the key of each stage by its title."""
    said = make_recipe({**PARTS, **recipe})
    plan = build_plan(said, registry.with_files(said.plugins))
    return {node.title: node.key for node in plan.nodes}


def test_a_file_plugs_in_what_it_registers_and_the_registry_stays_as_it_was(example: Registry, file: Path) -> None:
    found = example.with_files([file])
    assert found.names("strategy") == sorted([*example.names("strategy"), "targets"])
    provider = found.component("strategy", "targets").provider
    assert (provider.distribution, provider.version, len(provider.as_json()["source"])) == (
        "my_strategy.py",
        "file",
        64,
    )
    assert [*found.names("teacher")] == example.names("teacher")
    assert found.with_files([file]) is found
    assert not (file.parent / "__pycache__").exists()


def test_the_content_of_a_file_is_in_the_keys_of_what_it_makes_and_of_nothing_else(
    example: Registry, file: Path
) -> None:
    before = keys(example, strategy="targets", plugins=str(file))
    assert keys(example, strategy="targets", plugins=[str(file)]) == before
    moved = file.with_name("other") / file.name
    moved.parent.mkdir()
    moved.write_text(STRATEGY, encoding="utf-8")
    assert keys(example, strategy="targets", plugins=str(moved)) == before
    file.write_text(f"{STRATEGY}# edited\n", encoding="utf-8")
    after = keys(example, strategy="targets", plugins=str(file))
    changed = {title.split()[0] for title in before if before[title] != after[title]}
    assert changed == {"pair", "refine", "evaluate"}
    assert keys(example) == keys(example, plugins=str(file))


def test_a_recipe_names_files_from_its_own_folder_and_the_written_one_repeats_the_run(
    example: Registry, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = file.with_name("recipe.yaml")
    lines = [
        "plugins: ./my_strategy.py",
        "strategy: targets",
        "teacher: speller",
        "student: counter",
        "train_on: letters",
    ]
    recipe.write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    example.manager.register(executors, name="ours")
    example = build_registry(example.manager, {**example.providers, "ours": Provider("sitkit", "0")})
    found = run(recipe, workspace="w", registry=example, limit=4, test_limit=4)
    assert found.recipe["plugins"] == str(file)
    again = run(found.folder / "recipe.yaml", workspace="w", registry=example)
    assert all(stage.reused for stage in again.data.stages)
    assert any("my_strategy.py is a single file" in text for text in again.data.notices)
    recipe.write_text("plugins: [./gone.py]", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"recipe.yaml: plugins: .*lab/gone.py: there is no such file"):
        run(recipe, registry=example)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import nothing_like_it", r"my_strategy.py:1: the plugin cannot be imported: ModuleNotFoundError"),
        ("\n\ndef broken(:", r"my_strategy.py:3: the plugin cannot be imported: SyntaxError"),
        ("raise SystemExit(3)", r"my_strategy.py:1: .*SystemExit: 3"),
        ("x = 1", r"my_strategy.py: plugs nothing in: no function of it is a hook marked with @hookimpl"),
        (STRATEGY.replace("@hookimpl\n", ""), r"my_strategy.py:33: sitkit_strategies: is not marked with @hookimpl"),
        (
            STRATEGY.replace('"targets", targets', '"spelled-first", targets'),
            r"the strategy name 'spelled-first' is taken",
        ),
        (
            STRATEGY.replace("sitkit_strategies", "sitkit_commands").replace(", targets)", ', "x:y", "z")'),
            r"registers the command 'targets', which only an installed plugin can",
        ),
    ],
)
def test_a_file_that_cannot_be_used_in_full_is_an_error_with_its_line(
    example: Registry, file: Path, code: str, said: str
) -> None:
    file.write_text(code, encoding="utf-8")
    with pytest.raises(PluginError, match=said):
        example.with_files([file])


@pytest.mark.parametrize("name", ["gone.py", "notes.txt", "."])
def test_what_is_not_a_python_file_is_an_error(example: Registry, tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"does not exist|is not a Python file"):
        example.with_files([tmp_path / name])


def test_what_a_file_prints_is_kept_off_the_terminal(
    example: Registry, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(f"print('hello')\n{STRATEGY}", encoding="utf-8")
    assert example.with_files([file]).notes == ["my_strategy.py printed while it was imported: hello"]
    assert capsys.readouterr().out == ""


def test_the_program_takes_files(file: Path, tmp_path: Path) -> None:
    from tests.installed import sitkit_here

    shown = sitkit_here("plugins", "--json", "--plugin", str(file), path=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert ("targets", "my_strategy.py") in {
        (part["name"], part["distribution"]) for part in json.loads(shown.stdout)["plugins"]
    }
    planned = sitkit_here(
        "run", "--plugin", str(file), "--strategy", "targets", "--dry-run", "--workspace", str(tmp_path), path=tmp_path
    )
    assert planned.returncode == 0, planned.stderr
    assert "pair targets seed 0" in planned.stdout
    refused = sitkit_here("run", "--plugin", "gone.py", "--dry-run", path=tmp_path)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
