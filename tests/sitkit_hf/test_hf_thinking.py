"""Students that think: what is learnt, a budget, and what is read; templates as in the tests of the teacher."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import SettingError, SpecError
from sitkit.settings import AnnotateSettings, InstructSettings
from sitkit.spec import Spec
from sitkit.stages.annotate import Taken
from sitkit.types import Completion, Context, Demonstration, Generation, Prompt
from tests.sitkit_hf.test_hf_teacher import FORCED, SWITCHED, prompts, thinker

__all__ = ["thinker"]

THOUGHT = Demonstration("q", "sums", "1+1?", " It is 2.", "t", True, reasoning="1 and 1.\n")
BLOCK = "<think>\n1 and 1.\n</think>\n\nIt is 2."
DROPS = SWITCHED.replace("{{ m.content }}", "{{ m.content.split('</think>')[-1] }}")
"""A template that leaves the thinking out of past turns, as those of DeepSeek-R1 and Qwen3 do."""


def made(folder: Path, **options: str) -> Any:
    import sitkit_hf

    return sitkit_hf.hf_student(Spec("hf", str(folder), options), Context())


def test_reasoning_is_learnt_only_where_it_is_kept() -> None:
    assert Taken.of(AnnotateSettings()).text(THOUGHT) == THOUGHT
    kept = Taken.of(AnnotateSettings(reasoning="keep"))
    assert kept.text(THOUGHT).completion == BLOCK
    assert kept.text(replace(THOUGHT, reasoning=" ")).completion == THOUGHT.completion
    # What was made before there was the setting is found again.
    assert Taken().material() == {"keep": "right"}
    assert kept.material() == {"keep": "right", "reasoning": "keep"}


@pytest.mark.parametrize("template", [SWITCHED, DROPS, FORCED], ids=["switched", "drops", "forced"])
def test_a_block_is_learnt_once_and_whole_whatever_the_template(template: str, thinker: Any) -> None:
    joined = prompts(thinker(template), thinking=True)
    head, tail = joined.joined("1+1?", BLOCK)
    assert head == joined.prompt("1+1?")
    told = joined.tokenizer.decode([*head, *tail])
    assert told.split("<|assistant|>")[-1] == f"{BLOCK}</s>"


def test_what_is_learnt_without_thinking_is_what_it_was(thinker: Any) -> None:
    joined = prompts(thinker(FORCED), thinking=True)
    head, tail = joined.joined("1+1?", "It is 2.")
    assert joined.tokenizer.decode([*head, *tail]).endswith("<|assistant|><think>\nIt is 2.</s>")


def test_thinking_is_not_taught_to_a_student_that_is_asked_without(
    thinker: Any, quick: InstructSettings, work: dict[str, Any]
) -> None:
    rows = [Taken("right", "keep").text(THOUGHT)]
    with pytest.raises(SettingError, match=r"annotate\.reasoning=keep: the student thinker .* add ,thinking=true"):
        made(thinker(SWITCHED)).instruct(rows, quick, **work)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"thinking_tokens": "9"}, "needs thinking=true"),
        ({"thinking": "true", "thinking_tokens": "x"}, "a whole number of tokens"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(chatty: Path, options: dict[str, str], why: str) -> None:
    with pytest.raises(SpecError, match=why):
        made(chatty, **options)


def test_a_budget_is_in_the_key_only_where_there_is_one(chatty: Path) -> None:
    plain, thinks, budget = (
        made(chatty, **one).fingerprint()
        for one in ({}, {"thinking": "true"}, {"thinking": "true", "thinking_tokens": "9"})
    )
    assert not {"thinking", "thinking_tokens"} & plain.keys()
    assert len({str(one) for one in (plain, thinks, budget)}) == 3


@pytest.mark.parametrize("template", [SWITCHED, FORCED], ids=["switched", "forced"])
def test_thinking_ends_at_its_budget_and_the_answer_follows(
    template: str, thinker: Any, caplog: pytest.LogCaptureFixture
) -> None:
    student = made(thinker(template), thinking="true", thinking_tokens="6")
    asked = [Prompt(f"p{n}", f"{n}+{n}?") for n in range(4)]
    opening = "<think>" if template == FORCED else ""
    free = {one.id: one for one in made(thinker(template), thinking="true").complete(None, asked, Generation(6))}
    found = {one.id: one for one in student.complete(None, asked, Generation(5))}
    ended = 0
    for name, one in found.items():
        assert one.text.startswith(opening)
        if free[name].truncated:
            ended += 1
            before, closed, answer = one.text.partition("\n</think>\n\n")
            assert (before, bool(closed)) == (free[name].text.rstrip(), True)
            # The model goes on from exactly these tokens.
            model, tokenizer = student.load(None)
            joined = prompts(thinker(template), thinking=True)
            begun = free[name].text.removeprefix(opening).rstrip() + closed
            ids = joined.prompt(asked[int(name[1:])].text) + joined.ids(begun, special=False)
            assert answer == continued(model, tokenizer, ids, 5)
        else:
            assert one == free[name]
    assert ended
    assert f"thinking was ended at thinking_tokens=6 in {ended} of 4 answers" in caplog.text
    student.close()


def continued(model: Any, tokenizer: Any, ids: list[int], count: int) -> str:
    import torch

    written = model.generate(torch.tensor([ids]), max_new_tokens=count, do_sample=False)[0, len(ids) :]
    return str(tokenizer.decode(written, skip_special_tokens=True))


def test_an_answer_that_closed_its_thinking_goes_on_as_it_is(chatty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sitkit_hf import generation

    asked: list[tuple[list[str], int, dict[str, str]]] = []

    def complete(
        model: Any, joined: Any, wanted: Any, drawn: Generation, *, begun: Any = None, batch_size: int = 0
    ) -> Iterator[Completion]:
        asked.append(([one.id for one in wanted], drawn.max_new_tokens, dict(begun or {})))
        for one in wanted:
            first = {"open": "<think>a", "cut": "<think>a</think>b", "whole": "<think>a</think>b."}[one.id]
            yield Completion(one.id, "c", False) if begun else Completion(one.id, first, one.id != "whole")

    monkeypatch.setattr(generation, "complete", complete)
    wanted = [Prompt(name, "?") for name in ("open", "cut", "whole")]
    joined = prompts(chatty)
    found = {one.id: one.text for one in generation.complete_thinking(None, joined, wanted, Generation(7), 3)}
    assert found == {
        "whole": "<think>a</think>b.",
        "open": "<think>a\n</think>\n\nc",
        "cut": "<think>a</think>bc",
    }
    assert [(ids, most) for ids, most, _ in asked] == [(["open", "cut", "whole"], 3), (["open", "cut"], 7)]
