"""Training where something is in the way: several GPUs, or a body for which the short way is not right."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.plugin_support import NOTICES
from sitkit.settings import InstructSettings, RefineSettings
from sitkit.types import Demonstration, Objective, PreferencePair
from tests.sitkit_hf.token_batches import batch, calls, pairs_batch, prepared, tokens

REFINE = RefineSettings(max_steps=3, batch_size=8, learning_rate=1e-3, warmup=0, max_length=128, validation=0.0)


def test_several_visible_gpus_do_not_stop_the_training_of_one_process(
    student: Any,
    start: Path,
    demonstrations: Sequence[Demonstration],
    pairs: Sequence[PreferencePair],
    quick: InstructSettings,
    work: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from transformers import TrainingArguments

    made = TrainingArguments.__post_init__

    def two(self: Any) -> None:
        made(self)
        self._n_gpu = 2

    monkeypatch.setattr(TrainingArguments, "__post_init__", two)
    report = student.instruct(demonstrations, replace(quick, max_steps=2), **work)
    # A batch spread over two GPUs would be twice the examples a step, and half the steps an epoch.
    assert [row["epoch"] for row in report.log] == pytest.approx([1 / 3, 2 / 3])
    again = {**work, "out": tmp_path / "refined", "scratch": tmp_path / "refined-scratch"}
    report = student.refine(start, pairs, Objective(), REFINE, **again)
    assert [row["epoch"] for row in report.log] == pytest.approx([1 / 3, 2 / 3, 1])


@pytest.fixture(scope="module")
def bloom(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random tiny BLOOM: ALiBi, made from a mask of two dimensions, and no position_ids."""
    import torch
    from transformers import AutoTokenizer, BloomConfig, BloomForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    folder = tmp_path_factory.mktemp("alibi") / "bloom"
    config = BloomConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        n_layer=2,
        n_head=4,
        initializer_range=0.2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        BloomForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_model_with_alibi_is_refined_as_with_trl_alone(
    bloom: Path,
    make_student: Callable[..., Any],
    demonstrations: Sequence[Demonstration],
    pairs: Sequence[PreferencePair],
    quick: InstructSettings,
    work: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    student = make_student(bloom)
    student.instruct(demonstrations, replace(quick, max_steps=2), **work)

    def refine(name: str, *, fast: bool) -> Any:
        places = {**work, "out": tmp_path / name, "scratch": tmp_path / f"{name}-scratch"}
        return student.refine(work["out"], pairs, Objective(), replace(REFINE, fast=fast), **places)

    fast = refine("fast", fast=True)
    assert fast.metrics["first_loss"] == pytest.approx(math.log(2), abs=1e-6)
    stock = refine("stock", fast=False)
    for mine, theirs in zip(fast.log, stock.log, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        assert mine["logps/rejected"] == pytest.approx(theirs["logps/rejected"], rel=1e-4)


@pytest.fixture(scope="module")
def patched(student: Any) -> Callable[[], Any]:
    """A copy of the tiny model, as TRL prepares it, to be sped up or not."""
    return lambda: prepared(student.models.base())


INDEXED: dict[str, dict[str, Any]] = {
    "gpt_neo": {
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 8,
    },
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "falcon": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "alibi": True,
        "new_decoder_architecture": False,
    },
    "mpt": {"n_layers": 2, "n_heads": 4, "d_model": 32, "max_seq_len": 128},
}
"""Architectures that look at a token's index: in local windows, or in what ALiBi adds to attention."""


@pytest.mark.parametrize("kind", INDEXED)
def test_where_an_index_counts_pairs_are_kept_apart(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    from sitkit_hf.fast_logprobs import speed_up

    shape = {"vocab_size": 300, "bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.3, **INDEXED[kind]}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**shape)).eval()
    theirs, ours = prepared(model), prepared(model)
    speed_up(ours, pairs=True)
    # The rows that are compared first are shorter than the window; those between them are not.
    prompts = [tokens(n, size) for n, size in enumerate([2, 20, 2])]
    given = batch([(prompt, tokens(10 * side + n, 5 - side)) for side in (1, 2) for n, prompt in enumerate(prompts)])
    with caplog.at_level(logging.INFO, NOTICES):
        assert theirs(**given).log_probs.sub(ours(**given).log_probs).abs().max() < 1e-4
    assert not caplog.messages


def with_body(model: Any, change: Callable[[dict[str, Any]], None]) -> Any:
    """The model, its body's forward with a change of the arguments where there is a mask of four dimensions."""
    body = model.base_model.forward

    @functools.wraps(body)
    def changed(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("attention_mask") is not None and kwargs["attention_mask"].dim() == 4:
            change(kwargs)
        return body(*args, **kwargs)

    model.base_model.forward = changed
    return model


def forget(kwargs: dict[str, Any]) -> None:
    kwargs["attention_mask"] = None


def unpack(kwargs: dict[str, Any]) -> None:
    raise ValueError("too many values to unpack (expected 2)\nin the middle of a body")


@pytest.mark.parametrize(("change", "said"), [(forget, "nats off"), (unpack, "(ValueError: too many values")])
def test_a_model_that_reads_masks_in_its_own_way_keeps_trls_forward(
    patched: Callable[[], Any], caplog: pytest.LogCaptureFixture, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    from sitkit_hf.fast_logprobs import speed_up

    model, theirs = with_body(patched(), change), patched()
    speed_up(model, pairs=True)
    given = pairs_batch(6)
    with caplog.at_level(logging.INFO, NOTICES):
        for _ in range(2):
            assert model(**given).log_probs.equal(theirs(**given).log_probs)
    (message,) = caplog.messages
    assert message.startswith("training takes TRL's own forward pass: the shorter one ")
    assert said in message
    assert "\n" not in message


def test_running_out_of_memory_while_comparing_is_no_reason_to_give_up(patched: Callable[[], Any]) -> None:
    import torch

    from sitkit_hf.fast_logprobs import speed_up

    full = [True]

    def run_out(kwargs: dict[str, Any]) -> None:
        if full:
            raise torch.OutOfMemoryError("CUDA out of memory")

    model = with_body(patched(), run_out)
    speed_up(model, pairs=True)
    with pytest.raises(torch.OutOfMemoryError):
        model(**pairs_batch(6))
    full.clear()
    shapes = calls(model)
    model(**pairs_batch(4))
    assert len(shapes) > 2, "with fewer rows the short way is tried again"


@pytest.mark.parametrize(
    ("dtype", "one", "every", "trusted"),
    [
        ("bfloat16", 0.8, 0.0, True),
        ("bfloat16", 0.0, 0.1, False),
        ("bfloat16", float("nan"), 0.0, False),
        ("float32", 1e-2, 0.0, False),
        ("float32", 0.0, 1e-4, True),
    ],
)
def test_half_precision_is_judged_by_the_mean(
    patched: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    dtype: str,
    one: float,
    every: float,
    *,
    trusted: bool,
) -> None:
    import torch

    from sitkit_hf import fast_logprobs

    fused, taken = fast_logprobs._fused, []

    def rounded(model: Any, *args: Any, **kwargs: Any) -> Any:
        output = fused(model, *args, **kwargs)
        taken.append(output.label_mask.sum())
        output.log_probs = output.log_probs + every * output.label_mask
        row, column = output.label_mask.nonzero()[0]
        output.log_probs[row, column] += one
        return output

    monkeypatch.setattr(fast_logprobs, "_fused", rounded)
    model = patched().to(getattr(torch, dtype))
    fast_logprobs.speed_up(model, pairs=True)
    given = batch([(tokens(1, 9), tokens(n, 40)) for n in range(4)])
    with torch.no_grad():
        model(**given)
    assert len(taken) == (2 if trusted else 1)
