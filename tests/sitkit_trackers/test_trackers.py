"""What trackers get of a run: real TensorBoard event files, read back by TensorBoard."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import PluginError, SettingError
from sitkit.recipe import Recipe
from sitkit.results.files import read_results
from sitkit.results.model import Results
from sitkit.store import Store
from sitkit_trackers import (
    LIVE_FOLDER,
    TENSORBOARD,
    check_trackers,
    reported,
    sitkit_after_run,
    sitkit_before_run,
)
from sitkit_trackers.loggers import log_run
from tests.example_runs import example_registry, make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a run of one arm and one of two seeds."""
    workspace = tmp_path_factory.mktemp("trackers") / "w"
    with example_registry() as registry:
        make_run(registry, workspace, "one")
        make_run(registry, workspace, "two", seeds=(0, 1))
    return workspace


def _log(workspace: Path, name: str) -> tuple[Any, Results]:
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    folder = workspace / "runs" / name
    results = read_results(folder)
    log_run(["tensorboard"], folder, results)
    found = EventMultiplexer()
    found.AddRunsFromDirectory(str(folder / TENSORBOARD))
    found.Reload()
    return found, results


def _scalars(found: Any, group: str, name: str) -> list[tuple[int, float]]:
    return [(one.step, pytest.approx(one.value)) for one in found.Scalars(group, name)]


def test_scores_stand_at_their_phases_and_pairs_are_counted(made: Path) -> None:
    found, results = _log(made, "one")
    for prompting in ("direct", "cot"):
        values = {cell.phase: cell.value for cell in results.cells if cell.prompting == prompting}
        points = _scalars(found, "scores", f"accuracy/letters/{prompting}")
        assert points == [(0, values["baseline"]), (1, values["instruct"]), (2, values["refine"])]
    assert _scalars(found, "scores", "pairs/total") == [(0, results.pairs[0].total)]
    assert _scalars(found, "scores", "pairs/chosen_from_student") == [(0, results.pairs[0].chosen_from["student"])]
    (text,) = found.Tensors("scores", "recipe")
    assert "speller,slips=5" in text.tensor_proto.string_val[0].decode()


def test_training_curves_are_those_of_the_store(made: Path, tmp_path: Path) -> None:
    workspace = Path(shutil.copytree(made, tmp_path / "w"))
    # The example's student has no curve of its own; this is the form in which a trainer's is stored.
    rows = [{"step": step, "loss": 1 / step, "rewards/margins": step / 8} for step in (1.0, 5.0, 9.0)]
    rows.append({"step": 9.0, "eval_loss": 0.25})
    for training in read_results(workspace / "runs" / "one").training:
        log = Store(workspace).folder(training.stage, training.key) / "log.jsonl"
        log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found, results = _log(workspace, "one")
    for training in results.training:
        group = "-".join([training.stage, *training.label.split()])
        for name in ("loss", "rewards/margins", "eval_loss"):
            assert _scalars(found, group, f"train/{name}") == [(row["step"], row[name]) for row in rows if name in row]
    assert {training.stage for training in results.training} == {"instruct", "refine"}


def test_each_arm_has_a_curve_of_its_own_that_starts_at_its_baseline(made: Path) -> None:
    found, results = _log(made, "two")
    for seed in (0, 1):
        values = [
            score.value
            for cell in results.cells
            for score in cell.seeds
            if (cell.prompting, score.seed) == ("cot", seed)
        ]
        assert _scalars(found, f"scores-{seed}", "accuracy/letters/cot") == list(enumerate(values))


def test_logging_again_leaves_one_set_of_files(made: Path) -> None:
    _log(made, "one")
    before = len(list((made / "runs" / "one" / TENSORBOARD).rglob("events*")))
    found, _ = _log(made, "one")
    assert len(list((made / "runs" / "one" / TENSORBOARD).rglob("events*"))) == before
    assert len(_scalars(found, "scores", "accuracy/letters/cot")) == 3


def test_a_curve_that_is_gone_costs_no_score(made: Path, tmp_path: Path) -> None:
    workspace = Path(shutil.copytree(made, tmp_path / "w"))
    shutil.rmtree(workspace / "store" / "refine")
    found, _ = _log(workspace, "one")
    assert len(_scalars(found, "scores", "accuracy/letters/cot")) == 3


@pytest.mark.parametrize(
    ("name", "said"),
    [("tensorbord", "did you mean 'tensorboard'"), ("", "no tracker"), ("../x", "no tracker")],
)
def test_an_unknown_tracker_is_one_clear_line(name: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        check_trackers(["tensorboard", name])


def _recipe(**train: str) -> Recipe:
    return Recipe(settings={"train": train})


def test_a_tracker_that_is_not_installed_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingError, match="wandb is not installed; run: pip install wandb"):
        sitkit_before_run(_recipe(report_to="wandb"), tmp_path / "runs" / "none")
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_names_trackers_for_both_trainings_or_for_one() -> None:
    assert reported({}) == []
    assert reported({"train": {"report_to": "none"}}) == []
    assert reported({"train": {"report_to": " tensorboard, wandb"}}) == ["tensorboard", "wandb"]
    assert reported({"instruct": {"report_to": "wandb"}, "refine": {"report_to": "wandb,trackio"}}) == [
        "wandb",
        "trackio",
    ]


def test_two_runs_in_one_process_do_not_disturb_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LIVE_FOLDER, raising=False)
    before = dict(os.environ)
    sitkit_before_run(_recipe(report_to="tensorboard"), tmp_path / "runs" / "failed")
    assert os.environ[LIVE_FOLDER] == str(tmp_path / "runs" / "failed" / TENSORBOARD)
    # The first run failed, so that nobody was told of its end.
    sitkit_before_run(_recipe(report_to="tensorboard"), tmp_path / "runs" / "next")
    assert os.environ[LIVE_FOLDER] == str(tmp_path / "runs" / "next" / TENSORBOARD)
    sitkit_before_run(_recipe(), tmp_path / "runs" / "silent")
    assert dict(os.environ) == before


def test_a_run_is_logged_to_what_its_recipe_names_and_to_nothing_else(made: Path, tmp_path: Path) -> None:
    workspace = Path(shutil.copytree(made, tmp_path / "w"))
    folder = workspace / "runs" / "one"
    shutil.rmtree(folder / TENSORBOARD, ignore_errors=True)
    results = read_results(folder)
    sitkit_after_run(results, folder)
    assert not (folder / TENSORBOARD).exists()
    named = replace(results, recipe={**results.recipe, "set": {"train": {"report_to": "tensorboard"}}})
    sitkit_after_run(named, folder)
    assert list((folder / TENSORBOARD).rglob("events*"))


def test_nothing_is_imported_before_it_is_used() -> None:
    code = (
        "import sys\nfrom sitkit_trackers import check_trackers\ncheck_trackers(['tensorboard'])\n"
        "found = [name for name in ('tensorboard', 'torch', 'numpy') if name in sys.modules]\n"
        "assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_tracker_that_fails_does_not_look_like_a_lost_run(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Offline:
        @staticmethod
        def init(**_: Any) -> None:
            raise RuntimeError("no network")

    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "trackio", Offline)
    folder = made / "runs" / "one"
    with pytest.raises(PluginError, match="trackio failed with RuntimeError: no network; the run itself is complete"):
        log_run(["trackio"], folder, read_results(folder))
