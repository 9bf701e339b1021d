"""The short way to log-probabilities gives TRL's numbers, gradients and losses; where it would not, TRL's own stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitkit.settings import RefineSettings
from sitkit.types import Demonstration, Objective, PreferencePair
from tests.sitkit_hf.token_batches import FIELDS, batch, calls, pairs_batch, prepared, tokens


@pytest.fixture(scope="module")
def patched(student: Any) -> Callable[[], Any]:
    """A copy of the tiny model, as TRL prepares it, to be sped up or not."""
    return lambda: prepared(student.models.base())


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
        model = MistralForCausalLM(config).eval()
    theirs, ours = prepared(model), prepared(model)
    speed_up(ours, pairs=pairs)
    # The rows that are compared first are shorter than the window; those between them are not.
    sizes = [2, 20, 2]
    prompts = [tokens(n, size) for n, size in enumerate(sizes)]
    given = batch([(prompt, tokens(10 * side + n, 3)) for side in (1, 2) for n, prompt in enumerate(prompts)])
    assert theirs(**given).log_probs.sub(ours(**given).log_probs).abs().max() < 1e-4


@pytest.mark.parametrize("pairs", [True, False])
def test_rows_of_one_answer_get_plain_causal_attention(patched: Callable[[], Any], *, pairs: bool) -> None:
    from sitkit_hf.fast_logprobs import speed_up

    model, masks = patched(), []
    speed_up(model, pairs=pairs)
    # Two pairs without a common prompt, of lengths that make one group with padding.
    given = batch([(tokens(n, 5 + 2 * n), tokens(10 + n, 9)) for n in range(4)])
    model(**given)
    model.base_model.layers[0].self_attn.register_forward_pre_hook(
        lambda module, args, kwargs: masks.append(kwargs["attention_mask"]), with_kwargs=True
    )
    model(**given)
    assert masks == [None]


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


Row = tuple[list[int], list[int]]
few = st.lists(st.integers(1, 2), min_size=1, max_size=3)


@settings(deadline=None)
@given(st.lists(st.tuples(st.tuples(few, few), st.tuples(few, few)), min_size=1, max_size=4))
def test_a_pair_is_one_unit_where_its_prompts_are_the_same(drawn: list[tuple[Row, Row]]) -> None:
    from sitkit_hf.fast_logprobs import Unit, _units

    given = batch([one for one, _ in drawn] + [other for _, other in drawn])
    expected = []
    for row, sides in enumerate(drawn):
        rows = (row, row + len(drawn))
        heads, ends = [len(prompt) for prompt, _ in sides], [len(prompt + answer) for prompt, answer in sides]
        if sides[0][0] == sides[1][0]:
            expected.append(Unit(rows, heads[0], (ends[0], ends[1])))
        else:
            expected += [Unit((rows[side],), heads[side], (ends[side],)) for side in (0, 1)]
    wanted = given["labels"][:, 1:] != -100
    assert _units(given["input_ids"], given["attention_mask"], wanted, pairs=True) == expected


def test_what_is_read_back_does_not_grow_with_the_pairs() -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    from sitkit_hf.fast_logprobs import _units

    class Reads(TorchDispatchMode):  # type: ignore[misc]
        """Counts the numbers taken out of tensors one by one, each of which a GPU is waited for."""

        count = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.count += str(func) in ("aten._local_scalar_dense.default", "aten.equal.default")
            return func(*args, **(kwargs or {}))

    given = pairs_batch(7)
    with Reads() as reads:
        units = _units(given["input_ids"], given["attention_mask"], given["labels"][:, 1:] != -100, pairs=True)
    assert len(units) == 7
    assert reads.count == 0


def calls_of(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[str]:
    """Count the calls of a function of a module, which goes on as before."""
    made, original = list[str](), getattr(module, name)

    def counted(*args: Any, **kwargs: Any) -> Any:
        made.append(name)
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, counted)
    return made


def test_training_goes_as_with_trl_alone(
    student: Any,
    start: Path,
    demonstrations: Sequence[Demonstration],
    pairs: Sequence[PreferencePair],
    quick: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sitkit_hf import fast_logprobs

    taken = calls_of(monkeypatch, fast_logprobs, "_fused")
    settings = RefineSettings(learning_rate=1e-3, batch_size=8, max_steps=6, warmup=0, validation=0.25, eval_steps=3)

    # At a rate at which rounding does not grow from step to step.
    slow = replace(quick, learning_rate=1e-3, epochs=2)

    def train(name: str, *, fast: bool) -> list[Any]:
        work: dict[str, Any] = {"seed": 1, "progress": lambda *_: None}
        folder = tmp_path / name
        instructed = student.instruct(
            demonstrations, replace(slow, fast=fast), out=folder / "a", scratch=folder / "b", **work
        )
        refined = student.refine(
            start, pairs, Objective(), replace(settings, fast=fast), out=folder / "c", scratch=folder / "d", **work
        )
        return [instructed, refined]

    fast = train("fast", fast=True)
    assert taken
    taken.clear()
    stock = train("stock", fast=False)
    assert not taken
    for one, other in zip(fast, stock, strict=True):
        assert [sorted(row) for row in one.log] == [sorted(row) for row in other.log]
        for mine, theirs in zip(one.log, other.log, strict=True):
            assert mine == pytest.approx(theirs, rel=5e-2, abs=1e-3)
            if "loss" in theirs:
                assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-3)
    assert fast[1].metrics["chosen_logp_shift"] == pytest.approx(stock[1].metrics["chosen_logp_shift"], abs=1e-3)
