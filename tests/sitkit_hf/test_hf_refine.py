from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import ModelError, SettingError
from sitkit.settings import InstructSettings, RefineSettings, key_material
from sitkit.stages.training import resolve_objective
from sitkit.types import Demonstration, Objective, PreferencePair
from sitkit_hf.refine import SMOOTHED, hold_out

DPO = RefineSettings(max_steps=6, batch_size=8, learning_rate=2e-3, warmup=0, max_length=128, validation=0.0)


def log_prob(model: Any, tokenizer: Any, prompt: str, completion: str, end: str = "</s>") -> float:
    """log pi(completion and its end token | prompt), in nats, computed by hand."""
    import torch

    head, tail = tokenizer(prompt)["input_ids"], tokenizer(f" {completion}{end}")["input_ids"]
    with torch.no_grad():
        log_probs = model(input_ids=torch.tensor([head + tail])).logits[0].log_softmax(-1)
    return sum(float(log_probs[len(head) + place - 1, token]) for place, token in enumerate(tail))


def test_it_starts_at_ln_2_prefers_the_chosen_and_records_its_log_probability(
    student: Any,
    start: Path,
    pairs: Sequence[PreferencePair],
    work: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    report = student.refine(start, pairs, Objective(), replace(DPO, batch_size=24), **work)
    assert capfd.readouterr() == ("", "")
    assert list((tmp_path / "cwd").iterdir()) == []
    assert report.metrics["first_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert report.metrics["last_loss"] < 0.6
    assert {path.name for path in work["out"].iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    tokenizer = student.models.tokenizer()
    before = [log_prob(student.models.generator(start), tokenizer, p.prompt, p.chosen) for p in pairs]
    assert report.log[0]["logps/chosen"] == pytest.approx(sum(before) / len(before), abs=1e-3)
    after = [log_prob(student.models.generator(work["out"]), tokenizer, p.prompt, p.chosen) for p in pairs]
    moved = sum(b - a for a, b in zip(before, after, strict=True)) / len(pairs)
    assert report.metrics["chosen_logp_shift"] == pytest.approx(moved, abs=1e-3)
    assert {"rewards/chosen", "rewards/rejected", "logps/rejected"} <= set(report.log[0])


def test_no_end_token_is_taught_after_a_rejected_answer_that_was_cut(
    student: Any, start: Path, pairs: Sequence[PreferencePair], work: dict[str, Any]
) -> None:
    some = [replace(pair, rejected_truncated=place % 2 == 0) for place, pair in enumerate(pairs)]
    report = student.refine(start, some, Objective(), replace(DPO, batch_size=24, max_steps=1), **work)
    model, tokenizer = student.models.generator(start), student.models.tokenizer()
    chosen = [log_prob(model, tokenizer, pair.prompt, pair.chosen) for pair in some]
    rejected = [
        log_prob(model, tokenizer, pair.prompt, pair.rejected, "" if pair.rejected_truncated else "</s>")
        for pair in some
    ]
    assert report.log[0]["logps/chosen"] == pytest.approx(sum(chosen) / len(chosen), abs=1e-3)
    assert report.log[0]["logps/rejected"] == pytest.approx(sum(rejected) / len(rejected), abs=1e-3)
    assert report.metrics["first_loss"] == pytest.approx(math.log(2), abs=1e-6)


def test_the_best_checkpoint_by_validation_loss_is_kept(
    student: Any,
    start: Path,
    pairs: Sequence[PreferencePair],
    work: dict[str, Any],
    tmp_path: Path,
    read_adapter: Callable[[Path], bytes],
) -> None:
    settings = replace(
        DPO, max_steps=9, validation=0.2, eval_steps=2, save_steps=3, scheduler="constant", learning_rate=0.05, beta=3.0
    )
    report = student.refine(start, pairs, Objective(), settings, **work)
    losses = {int(row["step"]): row["eval_loss"] for row in report.log if "eval_loss" in row}
    assert sorted(losses) == [2, 4, 6, 8, 9]
    best = int(report.metrics["best_step"])
    assert losses[best] == min(losses.values()) == report.metrics["validation_loss"]
    assert report.metrics["held_out"] == 5
    assert best < 9, "this training should overshoot, or the test shows nothing"
    again = {**work, "out": tmp_path / "again", "scratch": tmp_path / "again-scratch"}
    student.refine(start, pairs, Objective(), replace(settings, max_steps=best), **again)
    assert read_adapter(tmp_path / "again") == read_adapter(work["out"])


def test_pairs_of_the_same_text_are_left_out_and_counted(
    student: Any, start: Path, pairs: Sequence[PreferencePair], work: dict[str, Any]
) -> None:
    same = [replace(pair, rejected=f" {pair.chosen}\n") for pair in pairs[:5]]
    settings = replace(DPO, epochs=3, max_steps=0, batch_size=4)
    report = student.refine(start, [*same, *pairs[5:9]], Objective(), settings, **work)
    assert (report.metrics["pairs"], report.metrics["left_out"]) == (4, 5)
    ids = student.models.tokenizer()
    sides = [(one.prompt, f" {side}</s>") for one in pairs[5:9] for side in (one.chosen, one.rejected)]
    assert report.metrics["tokens"] == 3 * sum(len(ids(text)["input_ids"]) for side in sides for text in side)
    with pytest.raises(ModelError, match="no preference pair is left"):
        student.refine(start, same, Objective(), DPO, **work)


def test_sides_that_differ_only_past_max_length_are_left_out(
    student: Any, start: Path, pairs: Sequence[PreferencePair], work: dict[str, Any]
) -> None:
    alike = replace(pairs[0], chosen="z" * 90 + "a", rejected="z" * 90 + "b")
    report = student.refine(start, [alike, *pairs[1:4]], Objective(), replace(DPO, max_steps=1, max_length=64), **work)
    assert (report.metrics["pairs"], report.metrics["left_out"]) == (3, 1)


def test_a_reference_that_is_not_the_start_is_noticed(
    student: Any,
    start: Path,
    pairs: Sequence[PreferencePair],
    work: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sitkit_hf.training import trainable_copy

    def other(model: Any) -> dict[str, Any]:
        return {name: tensor * 1.5 for name, tensor in trainable_copy(model).items()}

    monkeypatch.setattr("sitkit_hf.dpo.trainable_copy", other)
    with pytest.raises(ModelError, match="the reference is not the starting student"):
        student.refine(start, pairs, Objective(), DPO, **work)


def test_a_collapse_is_warned_of_and_only_a_collapse(
    student: Any, start: Path, pairs: Sequence[PreferencePair], work: dict[str, Any], tmp_path: Path
) -> None:
    settings = replace(DPO, max_steps=12, learning_rate=0.03)
    # Chosen and rejected share nearly everything, so pushing one down takes the other with it.
    twins = [replace(pair, chosen="no no no no no no yes", rejected="no no no no no no no") for pair in pairs]
    report = student.refine(start, twins, Objective(), settings, **work)
    assert report.metrics["chosen_logp_shift"] < -3
    assert [warning for warning in report.warnings if "sign of collapse" in warning]
    apart = [replace(pair, chosen="zzzzzzzz", rejected=pair.chosen) for pair in pairs]
    again = {**work, "out": tmp_path / "apart", "scratch": tmp_path / "apart-scratch"}
    report = student.refine(start, apart, Objective(), settings, **again)
    assert report.metrics["chosen_logp_shift"] > 0
    assert not report.warnings


def test_small_forward_passes_add_up_to_the_same_step(
    student: Any, start: Path, pairs: Sequence[PreferencePair], work: dict[str, Any], tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file

    whole = student.refine(start, pairs, Objective(), DPO, **work)
    again = {**work, "out": tmp_path / "small", "scratch": tmp_path / "small-scratch"}
    small = student.refine(start, pairs, Objective(), replace(DPO, micro_batch_size=3), **again)
    assert (whole.metrics["micro_batch_size"], small.metrics["micro_batch_size"]) == (8, 2)
    assert small.steps == whole.steps
    assert small.metrics["first_loss"] == pytest.approx(math.log(2), abs=1e-6)
    one, other = (load_file(folder / "adapter_model.safetensors") for folder in (work["out"], tmp_path / "small"))
    assert all(torch.allclose(one[name], other[name], atol=2e-4) for name in one)


def test_losses_mix_and_settings_override_the_strategy(
    student: Any, start: Path, pairs: Sequence[PreferencePair], work: dict[str, Any]
) -> None:
    settings = replace(DPO, max_steps=1, batch_size=24, loss="sigmoid+sft", weights="1+0.2", beta=0.3)
    report = student.refine(start, pairs, resolve_objective(Objective(), settings), settings, **work)
    tokenizer, model = student.models.tokenizer(), student.models.generator(start)
    total = sum(log_prob(model, tokenizer, pair.prompt, pair.chosen) for pair in pairs)
    tokens = sum(len(tokenizer(f" {pair.chosen}</s>")["input_ids"]) for pair in pairs)
    assert report.metrics["first_loss"] == pytest.approx(math.log(2) - 0.2 * total / tokens, abs=1e-3)


# Before the first step nothing is preferred: each loss is its formula at a difference of 0 nats, beta 0.1.
AT_THE_START = {
    "ipo": (0 - 1 / (2 * 0.1)) ** 2,
    "hinge": 1.0,
    "apo_zero": 1 - 0.5 + 0.5,
    "robust": (0.9 * math.log(2) - 0.1 * math.log(2)) / (1 - 2 * 0.1),
    "exo_pair": 0.5 * (math.log(0.5) - math.log(1 - 0.1)) + 0.5 * (math.log(0.5) - math.log(0.1)),
}


@pytest.mark.parametrize("loss", AT_THE_START)
def test_other_losses_for_pairs_start_where_their_formula_says(
    student: Any, start: Path, pairs: Sequence[PreferencePair], work: dict[str, Any], loss: str
) -> None:
    smoothing = 0.1 if loss in SMOOTHED else 0.0
    settings = replace(DPO, max_steps=1, batch_size=24, loss=loss, label_smoothing=smoothing)
    report = student.refine(start, pairs, resolve_objective(Objective(), settings), settings, **work)
    assert report.metrics["first_loss"] == pytest.approx(AT_THE_START[loss], abs=1e-4)


def test_sft_alone_is_fine_tuning_on_the_chosen_sides(
    student: Any, start: Path, pairs: Sequence[PreferencePair], work: dict[str, Any]
) -> None:
    settings = replace(DPO, batch_size=24, validation=0.2, eval_steps=3)
    report = student.refine(start, pairs, Objective(("sft",)), settings, **work)
    assert "logps/chosen" not in report.log[0]
    assert report.metrics["validation_loss"] < 4
    assert report.steps == 6
    config = json.loads((work["out"] / "adapter_config.json").read_text())
    assert config["inference_mode"] is True
    assert {path.name for path in work["out"].iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"loss": "sigmoyd"}, "no loss is called 'sigmoyd'; did you mean 'sigmoid'"),
        ({"loss": "sigmoid+"}, "different losses"),
        ({"loss": "sft+sft"}, "different losses"),
        ({"loss": "robust"}, "refine.loss=robust needs refine.label_smoothing above 0"),
        ({"loss": "exo_pair"}, "refine.loss=exo_pair needs refine.label_smoothing above 0"),
        ({"weights": "1+0.2"}, "one weight for each of sigmoid"),
        ({"weights": "one"}, "numbers joined by"),
        ({"weights": "-1"}, "above 0"),
        ({"scheduler": "cosin"}, "did you mean 'cosine'"),
        ({"optim": "rmsprob"}, "refine.optim=rmsprob: no such optimiser; did you mean 'rmsprop'"),
        ({"patience": 2}, "needs pairs held out"),
        ({"max_steps": 0}, "both 0"),
    ],
)
def test_settings_that_cannot_be_are_one_clear_line(
    student: Any,
    start: Path,
    pairs: Sequence[PreferencePair],
    work: dict[str, Any],
    changes: dict[str, Any],
    part: str,
) -> None:
    settings = replace(DPO, **changes)

    def refine() -> None:
        student.refine(start, pairs, resolve_objective(Objective(), settings), settings, **work)

    with pytest.raises(SettingError, match=part.replace("+", r"\+")) as raised:
        refine()
    assert "\n" not in str(raised.value)


def test_a_start_that_is_no_adapter_is_one_clear_line(
    student: Any, tiny: Path, pairs: Sequence[PreferencePair], work: dict[str, Any]
) -> None:
    with pytest.raises(ModelError, match="is not an adapter folder"):
        student.refine(tiny, pairs, Objective(), DPO, **work)


def test_validation_pairs_depend_on_seed_and_question_alone(pairs: Sequence[PreferencePair]) -> None:
    kept, held = hold_out(pairs, 0.25, 7)
    assert len(held) == 6
    assert not {p.question_id for p in kept} & {p.question_id for p in held}
    _, backwards = hold_out(pairs[::-1], 0.25, 7)
    assert {p.question_id for p in backwards} == {p.question_id for p in held}
    assert hold_out(pairs, 0.25, 8)[1] != held
    assert len(hold_out(pairs[:10], 0.01, 7)[1]) == 1
    assert hold_out(pairs, 0.0, 7)[1] == []
    assert hold_out(pairs[:9], 0.01, 7)[1] == []
    assert [len(part) for part in hold_out(pairs[:1], 0.9, 7)] == [1, 0]
    assert hold_out([], 0.5, 7) == ([], [])


def test_the_pairs_of_a_question_are_held_out_together(pairs: Sequence[PreferencePair]) -> None:
    several = [replace(pair, chosen=f"{pair.chosen} {count}") for count in range(3) for pair in pairs]
    kept, held = hold_out(several, 0.25, 7)
    assert len(held) == 18
    assert {p.question_id for p in held} == {p.question_id for p in hold_out(pairs, 0.25, 7)[1]}
    assert not {p.question_id for p in kept} & {p.question_id for p in held}


def test_patience_ends_a_refining_whose_validation_loss_does_not_fall(
    student: Any,
    start: Path,
    pairs: Sequence[PreferencePair],
    work: dict[str, Any],
    tmp_path: Path,
    read_adapter: Callable[[Path], bytes],
) -> None:
    # The pairs held out are turned round, so that learning the others raises their loss.
    kept, held_out = hold_out(pairs, 0.2, work["seed"])
    pairs = [*kept, *(replace(pair, chosen=pair.rejected, rejected=pair.chosen) for pair in held_out)]
    settings = replace(DPO, max_steps=12, validation=0.2, eval_steps=2, save_steps=3)
    whole = student.refine(start, pairs, Objective(), settings, **work)
    losses = [row["eval_loss"] for row in whole.log if "eval_loss" in row]
    assert losses == sorted(losses), "this validation loss should rise, or the test shows nothing"
    work = {**work, "out": tmp_path / "early", "scratch": tmp_path / "early-scratch"}
    early = student.refine(start, pairs, Objective(), replace(settings, patience=2), **work)
    assert (whole.steps, early.steps) == (12, 6)
    assert early.metrics["best_step"] == 2
    best = read_adapter(work["out"])
    assert best == read_adapter(tmp_path / "out")
    # Killed after the step that ended it, it takes no further one.
    again = student.refine(start, pairs, Objective(), replace(settings, patience=2), **work)
    assert again == early
    assert read_adapter(work["out"]) == best


@pytest.mark.parametrize("stage", ["instruct", "refine"])
def test_the_optimiser_is_the_one_asked_for(
    student: Any,
    start: Path,
    demonstrations: Sequence[Demonstration],
    pairs: Sequence[PreferencePair],
    work: dict[str, Any],
    tmp_path: Path,
    stage: str,
) -> None:
    import torch

    def train(optim: str) -> Any:
        places = {**work, "out": tmp_path / optim, "scratch": tmp_path / f"{optim}-scratch"}
        if stage == "refine":
            student.refine(start, pairs, Objective(), replace(DPO, max_steps=2, optim=optim), **places)
        else:
            settings = InstructSettings(max_steps=2, batch_size=8, max_length=128, lora_r=4, optim=optim)
            student.instruct(demonstrations, settings, **places)
        state = torch.load(tmp_path / f"{optim}-scratch" / "checkpoint-2" / "optimizer.pt")
        return set(state["state"][0]), state["param_groups"][0]

    kept, group = train("rmsprop")
    assert "square_avg" in kept
    assert "betas" not in group
    kept, group = train("adamw_torch_fused")
    assert {"exp_avg", "exp_avg_sq"} < kept
    assert group["fused"]


def test_an_optimiser_that_is_not_the_default_changes_the_key_and_the_default_does_not() -> None:
    assert key_material(RefineSettings()) == key_material(RefineSettings(optim="adamw_torch_fused", patience=0))
    assert {"optim", "patience"}.isdisjoint(key_material(RefineSettings()))
    assert key_material(RefineSettings(optim="rmsprop"))["optim"] == "rmsprop"
