"""`sitkit export-data`: what a student was trained on as a data set, and `--push` against a stand-in of the hub."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from sitkit.cli.export import export_data
from sitkit.errors import HubError, RecipeError
from sitkit.publish.push import check_push, push
from sitkit.store.jsonl import read_rows
from sitkit.types import Demonstration
from tests.example_runs import example_registry, make_run
from tests.installed import python
from tests.publish.hub import TOKEN, Hub, hub


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "w"
    with example_registry() as registry:
        make_run(registry, folder, "one", limit=9)
        make_run(registry, folder, "two", limit=9, fraction=(0.5, 1.0))
        make_run(registry, folder, "half", limit=9, fraction=(0.5,), fraction_of="demonstrations")
        make_run(registry, folder, "taught", limit=9, methods=("instruct",))
        make_run(registry, folder, "rounds", limit=9, settings={"refine": {"rounds": 2}})
    return folder


@pytest.fixture
def server() -> Iterator[Hub]:
    with hub() as found:
        yield found


def _export(workspace: Path, name: str, out: Path, *more: str) -> None:
    with example_registry() as registry:
        export_data.main([name, str(out), *more, "--workspace", str(workspace)], obj=registry, standalone_mode=False)


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_rows_are_what_was_trained_on_in_trls_columns(workspace: Path, tmp_path: Path) -> None:
    _export(workspace, "one", tmp_path / "set", "--license", "cc-by-4.0")
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == [
        "README.md",
        "demonstrations.jsonl",
        "pairs.jsonl",
    ]
    given, pairs = (_rows(tmp_path / "set" / f"{name}.jsonl") for name in ("demonstrations", "pairs"))
    assert all(row["correct"] for row in given), "wrong ones were not trained on"
    assert len(given) < 9
    first = given[0]
    assert first["prompt"].endswith("Let's think step by step")
    assert first["completion"] == " c-u-p. The answer is 3"
    assert {tuple(row) for row in pairs} == {
        (
            "prompt",
            "chosen",
            "rejected",
            "benchmark",
            "question_id",
            "chosen_from",
            "chosen_correct",
            "rejected_correct",
        )
    }
    card = (tmp_path / "set" / "README.md").read_text(encoding="utf-8")
    assert "license: cc-by-4.0" in card
    assert f"| `demonstrations` | {len(given)} | prompt, completion |" in card
    assert f"| `pairs` | {len(pairs)} | prompt, chosen, rejected |" in card
    assert "the answers of `speller,slips=5`" in card
    assert "This data set: cc-by-4.0." in card
    assert "The questions of `letters`: not stated here" in card
    for place in (str(workspace), str(tmp_path), str(Path.home())):
        assert place not in card.replace(" ", "")


def test_a_teachers_path_stays_here(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sitkit.publish import dataset

    def of_a_folder(path: Path, noun: type[Any]) -> list[Any]:
        rows = read_rows(path, noun)
        return [replace(row, teacher="hf:/home/somebody/big") for row in rows] if noun is Demonstration else rows

    monkeypatch.setattr(dataset, "read_rows", of_a_folder)
    _export(workspace, "one", tmp_path / "set")
    assert {row["teacher"] for row in _rows(tmp_path / "set" / "demonstrations.jsonl")} == {"hf:big"}


@pytest.mark.slow
def test_datasets_reads_the_folder_by_its_card(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasets import load_dataset

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    _export(workspace, "one", tmp_path / "set")
    for name in ("demonstrations", "pairs"):
        read = load_dataset(str(tmp_path / "set"), name, split="train", cache_dir=str(tmp_path / "cache"))
        assert list(read) == _rows(tmp_path / "set" / f"{name}.jsonl")


def test_a_student_of_several_is_chosen_and_one_that_was_taught_alone_has_no_pairs(
    workspace: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=r"say which: --fraction 0.5\|1"):
        _export(workspace, "two", tmp_path / "set")
    _export(workspace, "two", tmp_path / "set", "--fraction", "0.5")
    assert len(_rows(tmp_path / "set" / "demonstrations.jsonl")) <= 5
    _export(workspace, "rounds", tmp_path / "rounds")
    pairs = _rows(tmp_path / "rounds" / "pairs.jsonl")
    assert [row["round"] for row in pairs] == sorted(row["round"] for row in pairs)
    assert {row["round"] for row in pairs} == {1, 2}
    _export(workspace, "taught", tmp_path / "taught")
    assert not (tmp_path / "taught" / "pairs.jsonl").exists()
    with pytest.raises(RecipeError, match="is not an empty folder"):
        _export(workspace, "taught", tmp_path / "taught")


def test_of_a_share_of_the_demonstrations_only_those_trained_on_are_given(workspace: Path, tmp_path: Path) -> None:
    for name in ("one", "half"):
        _export(workspace, name, tmp_path / name)
    every, half = (_rows(tmp_path / name / "demonstrations.jsonl") for name in ("one", "half"))
    results = json.loads((workspace / "runs" / "half" / "results.json").read_text(encoding="utf-8"))
    trained = next(one["examples"] for one in results["training"] if one["stage"] == "instruct")
    assert 0 < len(half) == trained < len(every)
    assert all(row in every for row in half)


def _pushed(server: Hub, workspace: Path, out: Path, *more: str, **environment: str) -> Any:
    return python(
        *("-m", "sitkit", "export-data", "one", str(out), "--push", "us/our-set", "--workspace", str(workspace), *more),
        path=out.parent,
        cwd=None,
        **server.environment(str(out.parent / "home"), **environment),
    )


def test_a_data_set_is_pushed_by_the_real_client_and_the_token_is_never_shown(
    server: Hub, workspace: Path, tmp_path: Path
) -> None:
    done = _pushed(server, workspace, tmp_path / "set", HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "set"), f"{server.url}/datasets/us/our-set"]
    repo = server.repos["datasets/us/our-set"]
    assert repo.private
    assert repo.files == {path.name: path.read_bytes() for path in (tmp_path / "set").iterdir()}
    assert TOKEN not in done.stdout + done.stderr
    done = _pushed(server, workspace, tmp_path / "again", "--public", "--json", HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["url"] == f"{server.url}/datasets/us/our-set"
    assert repo.private, "what is there keeps who may see it"


@pytest.mark.parametrize(
    ("token", "failing", "said"),
    [
        ("hf_wrong", 0, "does not accept the token"),
        ("hf_reader", 0, "does not let this token write there"),
        (TOKEN, 9, "Not now, says the hub to …"),
    ],
)
def test_what_the_hub_refuses_is_one_line_that_says_how_to_send_it_again(
    server: Hub, workspace: Path, tmp_path: Path, token: str, failing: int, said: str
) -> None:
    server.failing = failing
    done = _pushed(server, workspace, tmp_path / "set", HF_TOKEN=token)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if not re.match(r"\s*$", line)]
    assert said in line
    assert f"`hf upload us/our-set {tmp_path / 'set'} . --repo-type dataset` sends it" in line
    assert (tmp_path / "set" / "README.md").is_file()
    assert token not in done.stdout + done.stderr


def test_without_a_token_or_a_name_nothing_is_written(server: Hub, workspace: Path, tmp_path: Path) -> None:
    done = _pushed(server, workspace, tmp_path / "set")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--push needs a token that may write: set HF_TOKEN, or log in once with `hf auth login`" in done.stderr
    assert not (tmp_path / "set").exists()
    for name in ("set", "us/our set", "us/our/set"):
        with pytest.raises(RecipeError, match="expected ORG/NAME"):
            check_push(name)
    assert not server.repos


def test_a_stopped_upload_goes_on_from_what_was_sent(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights" * 99)
    (tmp_path / "model" / "README.md").write_text("card")
    server.failing = 1
    with pytest.raises(HubError, match="did not take it"):
        push(tmp_path / "model", "us/model", "model")
    assert len(server.sent) == 1
    assert push(tmp_path / "model", "us/model", "model") == f"{server.url}/us/model"
    assert len(server.sent) == 1, "the weights were there"
    assert sorted(server.repos["models/us/model"].files) == ["README.md", "model.safetensors"]
    assert server.repos["models/us/model"].private
    push(tmp_path / "model", "us/open", "model", public=True)
    assert not server.repos["models/us/open"].private


def test_a_student_is_pushed_with_its_card(
    server: Hub, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import constants

    from sitkit.cli.export import export

    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    words = ["one", str(tmp_path / "out"), "--workspace", str(workspace)]
    with example_registry() as registry:
        with pytest.raises(click.UsageError, match="give --push ORG/NAME"):
            export.main([*words, "--public"], obj=registry, standalone_mode=False)
        export.main([*words, "--push", "us/counter", "--public"], obj=registry, standalone_mode=False)
    assert capsys.readouterr().out.splitlines()[-1] == f"{server.url}/us/counter"
    assert sorted(server.repos["models/us/counter"].files) == ["README.md", "counter.json"]
