"""The short way to log-probabilities gives TRL's numbers, gradients and losses; where it would not, TRL's own stays."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.settings import RefineSettings
from sitkit.types import Demonstration, Objective, PreferencePair

FIELDS = ("log_probs", "entropy", "mean_logits", "is_top1")


@pytest.fixture(scope="module")
def patched(student: Any) -> Callable[[], Any]:
    """A copy of the tiny model, as TRL prepares it, to be sped up or not."""
    from trl.trainer.utils import add_fused_lm_head

    def make() -> Any:
        model = copy.deepcopy(student.models.base()).requires_grad_(True)
        add_fused_lm_head(model, outputs=FIELDS)
        return model

    return make


def batch(rows: Sequence[tuple[list[int], list[int]]]) -> dict[str, Any]:
    """Prompts and completions as TRL's collators pad them: on the right."""
    import torch

    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for row, (prompt, answer) in enumerate(rows):
        both = torch.tensor(prompt + answer)
        ids[row, : len(both)], mask[row, : len(both)] = both, 1
        labels[row, len(prompt) : len(both)] = both[len(prompt) :]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, "use_cache": False, "fused_lm_head": True}


def tokens(seed: int, count: int) -> list[int]:
    import random

    rng = random.Random(seed)
    return [rng.randrange(6, 260) for _ in range(count)]


def pairs_batch(count: int) -> dict[str, Any]:
    prompts = [tokens(n, 3 + 5 * n % 17) for n in range(count)]
    sides = [[tokens(100 * side + n, 1 + (7 + side) * n % 11) for n in range(count)] for side in (1, 2)]
    return batch([*zip(prompts, sides[0], strict=True), *zip(prompts, sides[1], strict=True)])


def calls(model: Any) -> list[tuple[int, ...]]:
    """The shapes that reach the model's body from now on."""
    shapes: list[tuple[int, ...]] = []
    model.base_model.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    return shapes


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("pairs", [True, False])
def test_numbers_and_gradients_are_trls(
    patched: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, *, pairs: bool, attention: str
) -> None:
    import torch

    from sitkit_hf import fast_logprobs
    from sitkit_hf.fast_logprobs import speed_up

    # Several groups even of so few tokens.
    monkeypatch.setattr(fast_logprobs, "FORWARD", 8)
    theirs, ours = patched(), patched()
    for model in (theirs, ours):
        model.set_attn_implementation(attention)
    shapes = calls(ours)
    speed_up(ours, pairs=pairs)
    given = pairs_batch(9)
    outputs = [model(**given) for model in (theirs, ours)]
    for field in FIELDS:
        one, other = (getattr(output, field).float() for output in outputs)
        assert torch.allclose(one, other, atol=1e-4), field
    assert torch.equal(outputs[0].label_mask, outputs[1].label_mask)
    weights = torch.linspace(-1, 1, outputs[0].log_probs.numel()).view(outputs[0].log_probs.shape)
    for output in outputs:
        (output.log_probs * weights).sum().backward()
    for (name, one), other in zip(theirs.named_parameters(), ours.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-4 * float(one.grad.abs().max())), name
    computed, padded = sum(rows * width for rows, width in shapes[2:]), given["input_ids"].numel()
    assert computed < (0.75 if pairs else 0.95) * padded


def test_sides_of_a_pair_do_not_see_each_other(patched: Callable[[], Any]) -> None:
    from sitkit_hf.fast_logprobs import speed_up

    model = patched()
    speed_up(model, pairs=True)
    prompt, rejected = tokens(1, 9), tokens(2, 6)
    one, other = (model(**batch([(prompt, tokens(chosen, 6)), (prompt, rejected)])).log_probs for chosen in (3, 4))
    assert not one[0].equal(other[0])
    assert one[1].sub(other[1]).abs().max() < 1e-5


def test_pairs_without_a_common_prompt_are_rows_of_their_own(patched: Callable[[], Any]) -> None:
    from sitkit_hf.fast_logprobs import speed_up

    theirs, ours = patched(), patched()
    speed_up(ours, pairs=True)
    given = batch(
        [(tokens(1, 5), tokens(2, 4)), (tokens(3, 5), tokens(4, 4)), (tokens(5, 5), tokens(6, 3)), ([7], [8])]
    )
    assert theirs(**given).log_probs.sub(ours(**given).log_probs).abs().max() < 1e-4


@pytest.mark.parametrize("pairs", [True, False])
def test_a_sliding_window_stays(*, pairs: bool) -> None:
    import torch
    from transformers import MistralConfig, MistralForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    from sitkit_hf.fast_logprobs import speed_up

    config = MistralConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=8,
        initializer_range=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = MistralForCausalLM(config).eval()
    ours = copy.deepcopy(theirs)
    for model in (theirs, ours):
        add_fused_lm_head(model, outputs=FIELDS)
    speed_up(ours, pairs=pairs)
    # The rows that are compared first are shorter than the window; those between them are not.
    sizes = [2, 20, 2]
    prompts = [tokens(n, size) for n, size in enumerate(sizes)]
    given = batch([(prompt, tokens(10 * side + n, 3)) for side in (1, 2) for n, prompt in enumerate(prompts)])
    assert theirs(**given).log_probs.sub(ours(**given).log_probs).abs().max() < 1e-4


def test_a_model_that_reads_masks_in_its_own_way_keeps_trls_forward(patched: Callable[[], Any]) -> None:
    from sitkit_hf.fast_logprobs import speed_up

    model = patched()
    body = model.base_model.forward

    def forgetful(*args: Any, **kwargs: Any) -> Any:
        # As ALiBi models do, which take positions from a mask of two dimensions.
        if kwargs.get("attention_mask") is not None and kwargs["attention_mask"].dim() == 4:
            kwargs["attention_mask"] = None
        return body(*args, **kwargs)

    model.base_model.forward = forgetful
    theirs = patched()
    speed_up(model, pairs=True)
    given = pairs_batch(6)
    assert model(**given).log_probs.equal(theirs(**given).log_probs)


@pytest.mark.parametrize("odd", ["no answer", "gap", "left padding", "no prompt"])
def test_rows_of_another_form_keep_trls_forward(patched: Callable[[], Any], odd: str) -> None:
    from sitkit_hf.fast_logprobs import speed_up

    theirs, ours = patched(), patched()
    speed_up(ours, pairs=True)
    given = pairs_batch(4)
    if odd == "no answer":
        given["labels"][1] = -100
    elif odd == "gap":
        given["labels"][2, given["attention_mask"][2].sum() - 2] = -100
        given["labels"][2, 2] = 7
    elif odd == "left padding":
        given = {key: value.flip(1) if hasattr(value, "flip") else value for key, value in given.items()}
    else:
        given["labels"][0, 0] = 9
    assert ours(**given).log_probs.equal(theirs(**given).log_probs)


def test_other_calls_and_heads_are_left_alone(patched: Callable[[], Any]) -> None:
    from sitkit_hf.fast_logprobs import speed_up

    model = patched()
    speed_up(model, pairs=False)
    once = model.forward
    speed_up(model, pairs=False)
    assert model.forward == once
    assert model(input_ids=batch([([7, 8], [9])])["input_ids"]).logits.shape == (1, 3, model.config.vocab_size)
    capped = patched()
    capped.config.final_logit_softcapping = 30.0
    before = capped.forward
    speed_up(capped, pairs=False)
    assert capped.forward == before


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(0, 200))
def test_groups_hold_every_row_once_and_cost_no_more_than_one_or_all(lengths: list[int], overhead: int) -> None:
    from sitkit_hf.fast_logprobs import grouped

    groups = grouped(lengths, overhead)
    assert sorted(row for group in groups for row in group) == list(range(len(lengths)))
    cost = sum(len(group) * max(lengths[row] for row in group) + overhead for group in groups)
    assert cost <= len(lengths) * max(lengths) + overhead
    assert cost <= sum(lengths) + overhead * len(lengths)


@contextlib.contextmanager
def switched_off() -> Iterator[None]:
    import sitkit_hf.dpo
    import sitkit_hf.sft

    with pytest.MonkeyPatch.context() as patch:
        for module in (sitkit_hf.dpo, sitkit_hf.sft):
            patch.setattr(module, "speed_up", lambda model, *, pairs: None)
        yield


def test_training_goes_as_with_trl_alone(
    student: Any,
    start: Path,
    demonstrations: Sequence[Demonstration],
    pairs: Sequence[PreferencePair],
    quick: Any,
    tmp_path: Path,
) -> None:
    settings = RefineSettings(learning_rate=1e-3, batch_size=8, max_steps=6, warmup=0, validation=0.25, eval_steps=3)

    # At a rate at which rounding does not grow from step to step.
    slow = replace(quick, learning_rate=1e-3, epochs=2)

    def train(name: str) -> list[Any]:
        work: dict[str, Any] = {"seed": 1, "progress": lambda *_: None}
        folder = tmp_path / name
        instructed = student.instruct(demonstrations, slow, out=folder / "a", scratch=folder / "b", **work)
        refined = student.refine(start, pairs, Objective(), settings, out=folder / "c", scratch=folder / "d", **work)
        return [instructed, refined]

    fast = train("fast")
    with switched_off():
        stock = train("stock")
    for one, other in zip(fast, stock, strict=True):
        assert [sorted(row) for row in one.log] == [sorted(row) for row in other.log]
        for mine, theirs in zip(one.log, other.log, strict=True):
            assert mine == pytest.approx(theirs, rel=5e-2, abs=1e-3)
            if "loss" in theirs:
                assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-3)
    assert fast[1].metrics["chosen_logp_shift"] == pytest.approx(stock[1].metrics["chosen_logp_shift"], abs=1e-3)
