"""Students that think: what is learnt, a budget, and what is read; templates as in the tests of the teacher."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sitkit.errors import SettingError, SpecError
from sitkit.settings import AnnotateSettings, InstructSettings, RefineSettings
from sitkit.spec import Spec
from sitkit.stages.annotate import Taken
from sitkit.types import Context, Demonstration, Generation, Objective, PreferencePair, Prompt
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


def test_thinking_is_not_preferred_by_a_student_that_is_asked_without(thinker: Any, work: dict[str, Any]) -> None:
    student, untaught = made(thinker(SWITCHED)), {**work, "out": work["out"].with_name("untaught")}
    student.instruct([], InstructSettings(lora_r=2), **untaught)
    pair = PreferencePair("q", "sums", "1+1?", BLOCK, "3", "teacher", True, False)
    with pytest.raises(SettingError, match=r"annotate\.reasoning=keep: the student thinker .* add ,thinking=true"):
        student.refine(untaught["out"], [pair], Objective(), RefineSettings(max_steps=1), **work)


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


def test_thinking_ends_at_its_budget_and_the_answer_follows(thinker: Any, caplog: pytest.LogCaptureFixture) -> None:
    student = made(thinker(FORCED), thinking="true", thinking_tokens="6")
    asked = [Prompt(f"p{n}", f"{n}+{n}?") for n in range(4)]
    free = {one.id: one for one in made(thinker(FORCED), thinking="true").complete(None, asked, Generation(6))}
    found = {one.id: one for one in student.complete(None, asked, Generation(5))}
    ended = 0
    for name, one in found.items():
        assert one.text.startswith("<think>")
        if free[name].truncated:
            ended += 1
            before, closed, answer = one.text.partition("\n</think>\n\n")
            assert (before, bool(closed)) == (free[name].text.rstrip(), True)
            # The model goes on from exactly these tokens.
            model, tokenizer = student.load(None)
            joined = prompts(thinker(FORCED), thinking=True)
            begun = free[name].text.removeprefix("<think>").rstrip() + closed
            ids = joined.prompt(asked[int(name[1:])].text) + joined.ids(begun, special=False)
            written = continued(model, ids, 5)
            assert answer == tokenizer.decode(written, skip_special_tokens=True)
            # What ended the thinking was not written by it.
            assert one.tokens == 6 + len(written)
        else:
            assert one == free[name]
    assert ended
    assert f"thinking was ended at thinking_tokens=6 in {ended} of 4 answers" in caplog.text
    student.close()


def test_an_answer_without_thinking_is_what_it_is_without_a_budget(
    thinker: Any, caplog: pytest.LogCaptureFixture
) -> None:
    asked = [Prompt(f"p{n}", f"{n}+{n}?") for n in range(4)]
    free = made(thinker(SWITCHED), thinking="true").complete(None, asked, Generation(11))
    student = made(thinker(SWITCHED), thinking="true", thinking_tokens="6")
    assert set(student.complete(None, asked, Generation(5))) == set(free)
    assert not caplog.text
    student.close()


def continued(model: Any, ids: list[int], count: int) -> Any:
    import torch

    return model.generate(torch.tensor([ids]), max_new_tokens=count, do_sample=False)[0, len(ids) :]


@pytest.mark.parametrize("block", ["<think>a</think>", "[THINK]a[/THINK]", ""])
def test_an_answer_under_way_at_the_budget_goes_on_as_it_is(
    block: str, thinker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_hf import generation

    joined = prompts(thinker(SWITCHED), thinking=True)
    texts = {"open": "<think>a", "cut": f"{block}It is 1 ", "whole": f"{block}b."}
    asked: list[tuple[list[str], int]] = []

    def written(model: Any, _: Any, rows: Any, *given: Any, **more: Any) -> Iterator[generation.Written]:
        asked.append(([one.id for one in rows], rows[0].limit))
        for one in rows:
            text, truncated = (texts[one.id], one.id != "whole") if len(asked) == 1 else ("2 c", False)
            yield generation.Written(one.id, joined.ids(text, special=False), None, truncated)

    monkeypatch.setattr(generation, "write", written)
    wanted, endless = [Prompt(name, "?") for name in texts], SimpleNamespace(get_text_config=SimpleNamespace)
    model = SimpleNamespace(config=endless)
    found = {one.id: one.text for one in generation.complete_thinking(model, joined, wanted, Generation(7), 3)}
    # The blank at the cut stands: "12" would be another answer.
    assert found == {
        "whole": f"{block}b.",
        "open": "<think>a\n</think>\n\n2 c",
        "cut": f"{block}It is 1 2 c",
    }
    assert asked == [(["open", "cut", "whole"], 3), (["open", "cut"], 7)]


@pytest.mark.parametrize(("thinking", "ends"), [("false", "<think>\n\n</think>\n\n"), ("true", "<|assistant|>")])
def test_lm_evals_own_tasks_ask_as_the_student_is_asked(thinking: str, ends: str, thinker: Any) -> None:
    student = made(thinker(SWITCHED), thinking=thinking)
    model = student.harness_model(None)
    assert model.apply_chat_template([{"role": "user", "content": "1+1?"}]).endswith(ends)
    assert model.think_end_token == ("</think>" if thinking == "true" else None)
    student.close()
