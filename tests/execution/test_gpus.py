"""Hours and memory on a card, before anything runs: on one that is named, and on the GPU that is there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit import hookimpl
from sitkit.capabilities import Footprint, Training
from sitkit.cli.main import run
from sitkit.errors import UsageError
from sitkit.execution.dry_run import DryRun, dry_run
from sitkit.execution.events import Notice
from sitkit.execution.gpus import ANSWER_TOKENS, Gpu, find_gpu
from sitkit.execution.here_executor import run_plan
from sitkit.plan import build_plan
from sitkit.recipe import Recipe
from sitkit.registry import Provider, Registry
from sitkit.settings import Settings
from sitkit.spec import Spec
from sitkit.store import Store
from sitkit.types import Context

RECIPE = Recipe(teacher=("speller",), student=("sized",), strategy="spelled-first", train_on=("letters",))
CARD = Gpu(name="card", rate=1e12, bandwidth=1e11, memory=10e9)
SHAPE = Footprint(
    model="sized",
    parameters=10**9,
    overhead=1e9,
    answering=4e9,
    cache=1e5,
    row=0.0,
    row_share=0.5,
    operations=2e9,
    share=0.5,
    read=2e9,
    bandwidth_share=0.5,
    pass_seconds=0.01,
    training={
        stage: Training(held=3e9, token=1e6, at_once=8, operations=4e9, share=0.2, pass_seconds=0.1)
        for stage in ("instruct", "refine")
    },
)


@pytest.fixture
def sized(example: Registry) -> Registry:
    """The example plugin's student, which says that it is large and that it runs on a GPU."""

    class Sized:
        def __init__(self, made: Any) -> None:
            self.made = made

        def __getattr__(self, name: str) -> Any:
            return getattr(self.made, name)

        def footprint(self, settings: Settings) -> Footprint | None:
            return SHAPE if settings.instruct.lora_r == 64 else None

        def gpu_memory(self) -> Sequence[int]:
            return (4 * 10**9,)

    class Plugin:
        @hookimpl
        def sitkit_students(self, register: Any) -> None:
            def factory(spec: Spec, context: Context) -> Any:
                """The example's student with a size."""
                return Sized(context.student(Spec("counter", None, {})))

            register("sized", factory)

    return example.with_plugin("sized", Plugin(), Provider("sitkit-sized", "1"))


def planned(registry: Registry, tmp_path: Path, gpu: Gpu, **settings: Any) -> DryRun:
    plan = build_plan(replace(RECIPE, settings=settings), registry)
    return dry_run(plan, Store(tmp_path), registry, gpu)


@pytest.mark.parametrize(
    ("text", "name", "count", "memory"),
    [("h100", "h100", 1, 80e9), ("4xa100-80gb", "a100-80gb", 4, 80e9), ("t4", "t4", 1, 16e9)],
)
def test_a_card_is_found_by_name(text: str, name: str, count: int, memory: float) -> None:
    found = find_gpu(text)
    assert (found.name, found.count, found.memory) == (name, count, memory)


@pytest.mark.parametrize("text", ["h10", "0xh100", "xh100", ""])
def test_another_card_is_a_line_with_those_known(text: str) -> None:
    with pytest.raises(UsageError, match=r"--gpu .*known: a10, .*rtx4090.*4xh100 is four"):
        find_gpu(text)


def test_answers_take_what_their_prompts_and_tokens_come_to(sized: Registry, tmp_path: Path) -> None:
    found = planned(sized, tmp_path, CARD)
    stage = next(stage for stage in found.stages if stage.stage == "sample")
    assert stage.on_gpu is not None
    # All rows go at once; a token of each takes reading the weights, 2 GB at half of 100 GB/s, which is 0.04 s.
    assert stage.on_gpu.seconds > 0.04 * ANSWER_TOKENS
    assert stage.on_gpu.most_seconds > 0.04 * 512
    assert stage.on_gpu.most_seconds / stage.on_gpu.seconds == pytest.approx(512 / ANSWER_TOKENS, rel=0.2)
    hints = next(one for one in planned(sized, tmp_path, CARD, sample={"hints": True}).stages if one.stage == "sample")
    assert hints.prompts == stage.prompts
    assert hints.on_gpu is not None
    assert hints.on_gpu.most_seconds > stage.on_gpu.most_seconds
    short = planned(sized, tmp_path, CARD, sample={"max_new_tokens": 50})
    again = next(stage for stage in short.stages if stage.stage == "sample")
    assert again.on_gpu is not None
    assert again.on_gpu.seconds == again.on_gpu.most_seconds < stage.on_gpu.seconds / 2


def test_training_takes_its_steps_and_as_many_examples_at_once_as_fit(sized: Registry, tmp_path: Path) -> None:
    found = planned(sized, tmp_path, CARD, refine={"max_steps": 10})
    stages = {stage.stage: stage.on_gpu for stage in found.stages if stage.on_gpu is not None}
    refined = stages["refine"]
    longer = planned(sized, tmp_path, CARD, refine={"max_steps": 20})
    twice = next(stage.on_gpu for stage in longer.stages if stage.stage == "refine")
    assert twice is not None
    assert twice.seconds == pytest.approx(2 * refined.seconds, rel=0.1)
    assert 4e9 < refined.memory <= CARD.memory
    # Two sides of 512 tokens and more take 1 GB: of 8 at once, 6 fit.
    assert refined.memory == pytest.approx(4e9 + 5 * 1.1e9, rel=0.1)
    assert found.misfits == []


def test_what_does_not_fit_is_said_and_takes_no_hours(sized: Registry, tmp_path: Path) -> None:
    found = planned(sized, tmp_path, replace(CARD, memory=4.5e9))
    (said,) = found.misfits
    assert said.startswith("sized does not fit card, which has 4 GB: about 5 GB to evaluate, 5 GB to instruct")
    assert all(stage.on_gpu.seconds == 0 for stage in found.stages if stage.on_gpu is not None)


def test_weights_that_are_spread_fit_several_cards(
    sized: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(CARD, memory=4.5e9, count=2)
    assert planned(sized, tmp_path, small).misfits
    training = {stage: replace(one, spread=2) for stage, one in SHAPE.training.items()}
    monkeypatch.setattr(f"{__name__}.SHAPE", replace(SHAPE, spread=0, training=training))
    assert planned(sized, tmp_path, small).misfits == []


def test_a_model_of_unknown_size_is_named(sized: Registry, tmp_path: Path) -> None:
    found = planned(sized, tmp_path, CARD, instruct={"lora_r": 8})
    assert found.unknown == ("sized",)
    assert all(stage.on_gpu is None for stage in found.stages)


def test_a_run_on_a_gpu_that_is_too_small_says_so_before_it_starts(sized: Registry, tmp_path: Path) -> None:
    said = list[str]()

    def listen(event: Any) -> None:
        said.append(event.text if isinstance(event, Notice) else type(event).__name__)

    plan = build_plan(replace(RECIPE, limit=5, test_limit=3), sized)
    run_plan(plan, Store(tmp_path), sized, listen)
    before = said[: said.index("StageStarted")]
    assert any(text.startswith("sized does not fit this GPU, which has 4 GB: about ") for text in before), before
    # What is stored needs no GPU.
    said.clear()
    run_plan(plan, Store(tmp_path), sized, listen)
    assert not any("does not fit" in text for text in said)


def test_the_command_shows_hours_by_kind_of_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = ["run", "--dry-run", "--workspace", str(tmp_path), "--limit", "20", "--test-limit", "10"]
    assert run([*recipe, "--gpu", "2xt4"]) == 0
    shown = capsys.readouterr().out
    assert "On 2xt4" in shown
    assert "t4 has no bfloat16" in shown
    assert run([*recipe, "--gpu", "h100", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["gpu"]["memory"] == 80e9
    assert {stage["stage"] for stage in found["stages"] if stage["on_gpu"]} == {
        "evaluate", "instruct", "sample", "refine"
    }  # fmt: skip


def test_a_card_without_a_dry_run_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "--gpu", "h100"]) == 2
    assert "--gpu says what a run would take, with --dry-run" in capsys.readouterr().err


def test_demonstrations_are_those_that_are_stored_once_they_are(sized: Registry, tmp_path: Path) -> None:
    def instructed(epochs: float, **recipe: Any) -> float:
        plan = build_plan(
            replace(
                RECIPE, limit=40, test_limit=3, settings={"instruct": {"epochs": epochs, "batch_size": 1}}, **recipe
            ),
            sized,
        )
        found = dry_run(plan, Store(tmp_path), sized, CARD)
        stage = next(stage for stage in found.stages if stage.stage == "instruct")
        assert stage.on_gpu is not None
        return stage.on_gpu.seconds

    poor = {"teacher": ("speller,slips=2",)}
    before = instructed(3.0, **poor)
    recipe = replace(RECIPE, limit=40, test_limit=3, **poor)
    run_plan(build_plan(recipe, sized), Store(tmp_path), sized, lambda event: None)
    # About half of the answers were right; another number of passes makes the stage anew.
    assert instructed(3.0, **poor) < 0.8 * before
