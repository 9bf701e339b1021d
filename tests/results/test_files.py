"""results.json read back: damaged, of another version or of other artifacts, it is built anew or refused in a line."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitkit.errors import RunNotFoundError
from sitkit.registry import Registry
from sitkit.results.files import RESULTS, load_results, read_results
from sitkit.results.model import SCHEMA, Results, decoded, encoded, sealed
from tests.example_runs import example_registry, make_run


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with example_registry() as registry:
        yield registry


@pytest.fixture(scope="module")
def made(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    folder, _ = make_run(registry, tmp_path_factory.mktemp("files") / "w", "run", seeds=(0, 1))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy to spoil, with its workspace."""
    return Path(shutil.copytree(made.parents[1], tmp_path / "w")) / "runs" / "run"


@pytest.fixture(scope="module")
def spoiled(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One copy for many spoilt contents."""
    return Path(shutil.copytree(made.parents[1], tmp_path_factory.mktemp("spoiled") / "w")) / "runs" / "run"


def _found(results: Results) -> Results:
    return replace(results, stages=(), digest="")


def _refusal(folder: Path) -> str | None:
    try:
        read_results(folder)
    except RunNotFoundError as error:
        return str(error)
    return None


def test_what_was_written_is_read_back(made: Path) -> None:
    content = (made / RESULTS).read_bytes()
    results = read_results(made)
    assert encoded(results) == content
    assert results.schema == SCHEMA


def _other_schema(content: bytes) -> bytes:
    return content.replace(f'"schema": {SCHEMA}'.encode(), f'"schema": {SCHEMA + 1}'.encode(), 1)


def _without_schema(content: bytes) -> bytes:
    return json.dumps({name: value for name, value in json.loads(content).items() if name != "schema"}).encode()


def _another_number(content: bytes) -> bytes:
    loaded = json.loads(content)
    loaded["cells"][-1]["value"] += 0.01
    return json.dumps(loaded).encode()


def _change_of_nothing(content: bytes) -> bytes:
    results = decoded(content)
    wrong = replace(results.changes[0], after=len(results.cells))
    return encoded(sealed(replace(results, changes=(wrong,))))


def _of_other_artifacts(content: bytes) -> bytes:
    # Whole and sealed, but an evaluation in the store is another by now.
    results = decoded(content)
    stages = [replace(stage, content="0" * 64) if stage.stage == "evaluate" else stage for stage in results.stages]
    cells = tuple(replace(cell, value=1.0) for cell in results.cells)
    return encoded(sealed(replace(results, stages=tuple(stages), cells=cells)))


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "another schema": (_other_schema, f"another version of sitkit wrote it (schema {SCHEMA + 1}, this one reads"),
    "no schema": (_without_schema, "another version of sitkit wrote it (schema none"),
    "a number changed": (_another_number, "it is damaged: its digest does not match"),
    "a change without a cell": (_change_of_nothing, "a change names a cell that is not there"),
    "other artifacts": (_of_other_artifacts, "the store has "),
    "half of it": (lambda content: content[: len(content) // 2], "cannot be used"),
    "nothing": (lambda content: b"", "cannot be used"),
    "nested too deep": (lambda content: b"[" * 100_000, "cannot be used"),
    "not text": (lambda content: bytes(range(256)), "cannot be used"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_true_is_refused_and_built_anew_from_the_store(
    folder: Path, registry: Registry, damage: str
) -> None:
    path = folder / RESULTS
    before = read_results(folder)
    spoil, said = DAMAGES[damage]
    path.write_bytes(spoil(path.read_bytes()))
    refusal = _refusal(folder)
    assert refusal is not None
    assert "\n" not in refusal
    assert said in refusal
    assert str(path) in refusal
    assert _found(load_results(folder, registry)) == _found(before)
    # And it lies there whole again.
    assert _found(read_results(folder)) == _found(before)


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_cannot_be_built_anew_is_refused_with_the_command_that_makes_it(
    folder: Path, registry: Registry, damage: str
) -> None:
    path = folder / RESULTS
    spoil, _ = DAMAGES[damage]
    path.write_bytes(spoil(path.read_bytes()))
    manifests = list((folder.parents[1] / "store" / "refine").glob("*/manifest.json"))
    assert manifests
    for manifest in manifests:
        manifest.unlink()
    with pytest.raises(RunNotFoundError) as raised:
        load_results(folder, registry)
    text = str(raised.value)
    assert "\n" not in text
    words = shlex.split(text.rsplit("`", 2)[1])
    assert words == [
        "sitkit", "run", "--config", str(folder / "recipe.yaml"), "--name", "run",
        "--workspace", str(folder.parents[1]),
    ]  # fmt: skip


def test_what_the_store_has_lost_is_no_contradiction(folder: Path) -> None:
    before = read_results(folder)
    shutil.rmtree(folder.parents[1] / "store")
    assert read_results(folder) == before


def test_a_run_that_never_finished_is_not_made_up_from_the_store(folder: Path, registry: Registry) -> None:
    (folder / RESULTS).unlink()
    with pytest.raises(RunNotFoundError, match="no finished run"):
        load_results(folder, registry)
    assert not (folder / RESULTS).exists()


def test_a_recipe_that_is_gone_leaves_the_first_reason(folder: Path, registry: Registry) -> None:
    (folder / RESULTS).write_text("{}", encoding="utf-8")
    (folder / "recipe.yaml").unlink()
    with pytest.raises(RunNotFoundError, match="another version of sitkit"):
        load_results(folder, registry)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_no_damage_to_a_byte_is_shown_as_true(made: Path, spoiled: Path, data: Any) -> None:
    content = (made / RESULTS).read_bytes()
    at = data.draw(st.integers(0, len(content) - 1), label="at")
    damage = data.draw(st.sampled_from(["other", "gone", "more", "end"]), label="damage")
    byte = bytes([data.draw(st.sampled_from(b'0123456789.,-e"{}[]:tfn aZ\x00\xff'), label="byte")])
    kept, rest = content[:at], content[at + 1 :]
    told = {"other": kept + byte + rest, "gone": kept + rest, "more": kept + byte + content[at:], "end": kept}[damage]
    (spoiled / RESULTS).write_bytes(told)
    text = _refusal(spoiled)
    if text is None:
        # Only what JSON does not mind: a blank, a sign written otherwise.
        assert read_results(spoiled) == read_results(made)
    else:
        assert "\n" not in text
        assert "makes it again" in text
