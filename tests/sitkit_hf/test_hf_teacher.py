"""The teacher hf: what is cut short, and thoughts kept apart; templates that think are switched off for students."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from sitkit.capabilities import PromptCompleter
from sitkit.errors import SpecError
from sitkit.spec import Spec
from sitkit.types import ANSWERED, TRUNCATED, Completion, Context, Generation, Prompt, Question, Reply

SWITCHED = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>"
    "{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
"""A template that leaves the thinking to the model, or writes an empty block, as Qwen3's does."""

FORCED = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"
)
"""A template of a model that always thinks: it begins the block itself."""


@pytest.fixture
def thinker(chatty: Path, tmp_path: Path) -> Any:
    def make(template: str) -> Path:
        folder = tmp_path / "thinker"
        shutil.copytree(chatty, folder, dirs_exist_ok=True)
        (folder / "chat_template.jinja").write_text(template)
        return folder

    return make


def prompts(folder: Path, **options: Any) -> Any:
    from transformers import AutoTokenizer

    from sitkit_hf.options import Options
    from sitkit_hf.prompts import Prompts

    return Prompts(AutoTokenizer.from_pretrained(folder), Options(model="m", **options))


@pytest.mark.parametrize("template", [SWITCHED, FORCED], ids=["switched", "forced"])
def test_a_student_does_not_think_and_learns_what_follows_an_empty_block(template: str, thinker: Any) -> None:
    joined = prompts(thinker(template))
    head, tail = joined.joined("1+1?", "It is 2.")
    assert joined.tokenizer.decode(head).endswith("<|assistant|><think>\n\n</think>\n\n")
    assert head == joined.prompt("1+1?")
    assert joined.tokenizer.decode(tail) == "It is 2.</s>"
    assert joined.opening == ""


def test_a_teacher_may_think(thinker: Any) -> None:
    assert prompts(thinker(SWITCHED), thinking=True).opening == ""
    forced = prompts(thinker(FORCED), thinking=True)
    assert forced.opening == "<think>"
    assert forced.tokenizer.decode(forced.prompt("1+1?")).endswith("<|assistant|><think>\n")


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ask a teacher whose model writes the given texts: no random model thinks on demand."""

    def given(folder: Path, texts: dict[str, str], tokens: int = 60, **options: str) -> dict[str, Reply]:
        import sitkit_hf

        def complete(*_: Any, **__: Any) -> Any:
            for name, text in texts.items():
                yield Completion(name, text, truncated=len(text) >= tokens)

        monkeypatch.setattr("sitkit_hf.generation.complete", complete)
        teacher: Any = sitkit_hf.hf_teacher(Spec("hf", str(folder), options), Context())
        assert isinstance(teacher, PromptCompleter)
        asked = [Prompt(one, "?") for one in texts]
        return {reply.id: reply for reply in teacher.complete(asked, Generation(tokens))}

    return given


def test_thoughts_are_kept_apart_and_what_does_not_end_is_truncated(ask: Any, thinker: Any) -> None:
    told = ask(
        thinker(SWITCHED),
        {"a": "<think>\n1 and 1.\n</think>\n\nIt is 2.", "b": "It is 2.", "c": "<think>\n1 and", "d": "x" * 60},
        thinking="true",
    )
    assert (told["a"].completion, told["a"].reasoning, told["a"].outcome) == ("It is 2.", "1 and 1.", ANSWERED)
    assert (told["b"].completion, told["b"].reasoning, told["b"].outcome) == ("It is 2.", "", ANSWERED)
    assert (told["c"].completion, told["c"].reasoning, told["c"].outcome) == ("", "1 and", TRUNCATED)
    assert told["d"].outcome == TRUNCATED
    assert told["b"].completion_tokens == len("It is 2.")


def test_a_block_that_the_template_began_is_kept_apart_too(ask: Any, thinker: Any) -> None:
    told = ask(thinker(FORCED), {"a": "1 and 1.\n</think>\n\nIt is 2.", "b": "1 and"}, thinking="true")
    assert (told["a"].completion, told["a"].reasoning) == ("It is 2.", "1 and 1.")
    assert (told["b"].completion, told["b"].outcome) == ("", TRUNCATED)


def test_a_teacher_answers_questions_with_replies(chatty: Path) -> None:
    import sitkit_hf

    teacher = sitkit_hf.hf_teacher(Spec("hf", str(chatty)), Context())
    question = Question("q1", "sums", "number", "Answer.", "1+1?", None, "2")
    (reply,) = teacher.answer([question], "cot", Generation(8, 0.7))
    assert isinstance(reply, Reply)
    assert (reply.id, reply.failed, reply.prompt_tokens > 0) == ("q1", False, True)
    teacher.close()


def test_thinking_is_part_of_the_key_only_where_it_is_on(chatty: Path) -> None:
    import sitkit_hf

    made = [sitkit_hf.hf_teacher(Spec("hf", str(chatty), one), Context()) for one in ({}, {"thinking": "true"})]
    assert "thinking" not in made[0].fingerprint()
    assert made[0].fingerprint() != made[1].fingerprint()


def test_a_teacher_answers_from_four_bit_weights_where_asked(tiny: Path) -> None:
    import sitkit_hf

    teacher: Any = sitkit_hf.hf_teacher(Spec("hf", str(tiny), {"quantize": "nf4"}), Context())
    (reply,) = teacher.complete([Prompt("a", "1+1?")], Generation(4))
    kinds = {type(module).__name__ for module in teacher.models.generator(None).modules()}
    assert "Linear4bit" in kinds
    assert not reply.failed
    teacher.close()


def test_an_answer_is_cut_only_where_the_limit_ended_it(tiny: Path) -> None:
    import sitkit_hf

    teacher: Any = sitkit_hf.hf_teacher(Spec("hf", str(tiny), {}), Context())
    prompts = [Prompt(f"p{number}", f"Question {number}") for number in range(6)]
    long = {reply.id: reply for reply in teacher.complete(prompts, Generation(24))}
    short = {reply.id: reply for reply in teacher.complete(prompts, Generation(3))}
    for name, reply in short.items():
        ended = long[name].outcome != TRUNCATED and long[name].completion_tokens < 3
        assert (reply.outcome == TRUNCATED) != ended


@pytest.mark.parametrize("option", [{"temperature": "0.1"}, {"top_p": "0.5"}])
def test_a_teachers_own_sampling_is_part_of_its_key(chatty: Path, option: dict[str, str]) -> None:
    import sitkit_hf

    plain, own = (sitkit_hf.hf_teacher(Spec("hf", str(chatty), given), Context()) for given in ({}, option))
    assert plain.fingerprint().keys().isdisjoint(option)
    assert own.fingerprint() == {**plain.fingerprint(), **{name: float(value) for name, value in option.items()}}


def test_a_teachers_own_temperature_stands_over_the_setting(tiny: Path) -> None:
    import sitkit_hf

    asked = [Prompt(f"p{number}", f"Question {number}") for number in range(4)]

    def answers(generation: Generation, **options: str) -> dict[str, str]:
        teacher: Any = sitkit_hf.hf_teacher(Spec("hf", str(tiny), options), Context())
        return {reply.id: reply.completion for reply in teacher.complete(asked, generation)}

    greedy = answers(Generation(12))
    assert answers(Generation(12, 5.0)) != greedy
    assert answers(Generation(12, 5.0), temperature="0") == greedy
    assert answers(Generation(12, 5.0), top_p="0.000001") == greedy


@pytest.mark.parametrize(
    "option", [{"temperature": "11"}, {"temperature": "nan"}, {"top_p": "0"}, {"top_p": "1.1"}, {"top_p": "much"}]
)
def test_sampling_out_of_range_is_refused(chatty: Path, option: dict[str, str]) -> None:
    import sitkit_hf

    with pytest.raises(SpecError, match="expected a number"):
        sitkit_hf.hf_teacher(Spec("hf", str(chatty), option), Context())


@pytest.mark.parametrize("option", ["temperature", "top_p"])
def test_students_are_told_that_their_sampling_is_a_setting(chatty: Path, option: str) -> None:
    import sitkit_hf

    with pytest.raises(SpecError, match=f"--set sample.{option}="):
        sitkit_hf.hf_student(Spec("hf", str(chatty), {option: "0.5"}), Context())
