from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.errors import TeacherError
from sitkit.spec import Spec, parse_spec
from sitkit.types import ANSWERED, Context, Generation, Prompt, Question, Reply
from sitkit_lmeval.generation import reply
from tests.completions import answered

GREEDY = Generation(max_new_tokens=24)
SAMPLED = Generation(max_new_tokens=12, temperature=1.0, seed=3)


@pytest.fixture(scope="module")
def questions() -> Sequence[Question]:
    from sitkit_tiny.benchmarks import TinyBenchmark

    return [
        *TinyBenchmark("tiny_cups").questions("train", 0)[:7],
        *TinyBenchmark("tiny_shop").questions("train", 0)[:6],
    ]


@pytest.fixture(scope="module")
def local(make_teacher: Callable[[str], Any], world: Path) -> Any:
    return make_teacher(f"lm-eval:hf,pretrained={world},dtype=float32,batch_size=4")


def told(replies: Any) -> dict[str, str]:
    found = list(replies)
    assert all(isinstance(one, Reply) and one.outcome == ANSWERED for one in found)
    return {one.id: one.completion for one in found}


def test_a_local_model_answers_as_it_does_without_lm_eval(
    local: Any, world: Path, questions: Sequence[Question]
) -> None:
    import sitkit_hf

    plain = sitkit_hf.hf_student(Spec("hf", str(world), {"device": "cpu", "dtype": "float32"}), Context())
    expected = answered(plain.complete(None, [Prompt(one.id, one.prompt("cot")) for one in questions], GREEDY))
    answers = told(local.answer(questions, "cot", GREEDY))
    assert answers == expected
    assert len(set(answers.values())) > 5


def test_the_same_prompts_are_answered_alike_when_they_are_asked_again(
    local: Any, questions: Sequence[Question]
) -> None:
    import torch

    prompts = [Prompt(one.id, one.prompt("cot")) for one in questions]
    before = torch.get_rng_state()
    first = told(local.complete(prompts, SAMPLED))
    assert told(local.complete(prompts[::-1], SAMPLED)) == first
    assert torch.equal(torch.get_rng_state(), before), "the process's own generator is as it was"
    assert told(local.complete(prompts, Generation(12, 1.0, seed=4))) != first


def test_answers_arrive_in_chunks_of_full_batches_the_longest_first(
    make_teacher: Callable[[str], Any], scripted: Callable[..., Any]
) -> None:
    backend = scripted(lambda prompt: f"answer to {prompt}")
    prompts = [Prompt(f"p{length}", "x" * length) for length in range(1, 41)]
    arriving = make_teacher("lm-eval:scripted,batch_size=2").complete(prompts, GREEDY)
    first = list(itertools.islice(arriving, 16))
    assert len(backend.asked) == 1, "a chunk is given before the next is asked for"
    assert [one.id for one in first] == [f"p{length}" for length in range(40, 24, -1)]
    assert len(told(arriving)) == 24
    assert [len(chunk) for chunk in backend.asked] == [16, 16, 8]


@pytest.mark.parametrize(("batch", "sizes"), [(1, [8, 8, 4]), (20, [20]), ("auto", [20])])
def test_the_backend_says_how_much_it_takes_at_a_time(
    make_teacher: Callable[[str], Any], scripted: Callable[..., Any], batch: Any, sizes: list[int]
) -> None:
    backend = scripted(lambda prompt: "4", name="sized")
    told(make_teacher(f"lm-eval:sized,batch_size={batch}").complete([Prompt(f"{n}", "x") for n in range(20)], GREEDY))
    assert [len(chunk) for chunk in backend.asked] == sizes


def test_generation_reaches_the_backend(make_teacher: Callable[[str], Any], scripted: Callable[..., Any]) -> None:
    backend = scripted(lambda prompt: "4")
    teacher = make_teacher("lm-eval:scripted")
    told(teacher.complete([Prompt("p", "Hi")], Generation(9, 0.7, stop=("\nQ:", "END"))))
    told(teacher.complete([Prompt("p", "Hi")], Generation(9, stop=())))
    assert [chunk[0][1] for chunk in backend.asked] == [
        {"until": ["\nQ:", "END"], "max_gen_toks": 9, "temperature": 0.7, "do_sample": True},
        {"until": [], "max_gen_toks": 9, "temperature": 0.0, "do_sample": False},
    ]


@pytest.mark.parametrize("empty", ["", " \n", None])
def test_what_lm_eval_makes_of_a_failure_is_never_an_answer(
    make_teacher: Callable[[str], Any], scripted: Callable[..., Any], empty: str | None
) -> None:
    scripted(lambda prompt: empty if prompt == "bad" else "4")
    replies = list(make_teacher("lm-eval:scripted").complete([Prompt("a", "good"), Prompt("b", "bad")], GREEDY))
    assert {one.id: (one.outcome, one.failed) for one in replies} == {
        "a": (ANSWERED, False),
        "b": ("empty reply", True),
    }


def test_a_backend_that_fails_stops_the_asking_and_keeps_what_came(
    make_teacher: Callable[[str], Any], scripted: Callable[..., Any]
) -> None:
    def answer(prompt: str) -> str:
        if prompt == "x":
            raise ConnectionError("connection refused")
        return "4"

    scripted(answer)
    arriving = make_teacher("lm-eval:scripted").complete([Prompt(f"p{n}", "x" * n) for n in range(1, 12)], GREEDY)
    assert len(list(itertools.islice(arriving, 8))) == 8
    with pytest.raises(TeacherError, match="lm-eval's scripted failed: connection refused"):
        next(arriving)


def test_a_count_that_does_not_fit_is_no_guess(
    make_teacher: Callable[[str], Any], scripted: Callable[..., Any]
) -> None:
    scripted(lambda prompt: "4", generate_until=lambda self, requests: ["4"])
    with pytest.raises(TeacherError, match="1 answers to 2 prompts"):
        list(make_teacher("lm-eval:scripted").complete([Prompt("a", "x"), Prompt("b", "y")], GREEDY))


def _templated(self: Any, name: Any = False) -> str:
    return "a template"


def _apply(self: Any, messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
    return "|".join(f"{one['role']}:{one['content']}" for one in messages)


@pytest.mark.parametrize(("switch", "seen"), [("auto", "user:Hi"), ("on", "user:Hi"), ("off", "Hi")])
def test_a_chat_template_is_used_where_there_is_one(
    make_teacher: Callable[[str], Any], scripted: Callable[..., Any], switch: str, seen: str
) -> None:
    backend = scripted(lambda prompt: "4", chat_template=_templated, apply_chat_template=_apply)
    told(make_teacher(f"lm-eval:scripted,chat_template={switch}").complete([Prompt("p", "Hi")], GREEDY))
    assert backend.asked[0][0][0] == seen


def test_an_endpoint_for_chats_gets_messages_and_nothing_else(make_teacher: Callable[[str], Any]) -> None:
    from lm_eval.models.openai_completions import LocalChatCompletion

    from sitkit_lmeval.backend import render
    from sitkit_lmeval.options import Options

    endpoint = LocalChatCompletion.__new__(LocalChatCompletion)
    endpoint.tokenizer_backend = endpoint.tokenizer = None
    rendered = render(endpoint, Options(backend="local-chat-completions"))("Hi")
    assert rendered.prompt == '[{"role": "user", "content": "Hi"}]'
    with pytest.raises(TeacherError, match="takes chat messages only"):
        render(endpoint, Options(backend="local-chat-completions", chat_template="off"))


def test_nothing_is_drawn(
    make_teacher: Callable[[str], Any], world: Path, capfd: pytest.CaptureFixture[str], questions: Sequence[Question]
) -> None:
    teacher = make_teacher(f"lm-eval:hf,pretrained={world},batch_size=auto,max_batch_size=4")
    told(teacher.answer(questions[:2], "direct", GREEDY))
    told(make_teacher("lm-eval:dummy,write_out=true").answer(questions[:2], "direct", GREEDY))
    assert capfd.readouterr() == ("", "")


def test_closing_lets_go_and_asking_again_loads_again(
    make_teacher: Callable[[str], Any], scripted: Callable[..., Any]
) -> None:
    made = []
    backend = scripted(lambda prompt: "4")
    original = backend.__init__

    def count(self: Any, **arguments: Any) -> None:
        made.append(arguments)
        original(self, **arguments)

    backend.__init__ = count  # type: ignore[misc]
    teacher = make_teacher("lm-eval:scripted")
    teacher.close()
    for _ in range(2):
        told(teacher.complete([Prompt("p", "Hi")], GREEDY))
    assert len(made) == 1
    teacher.close()
    told(teacher.complete([Prompt("p", "Hi")], GREEDY))
    assert len(made) == 2
    assert list(teacher.complete([], GREEDY)) == []


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("The answer is 4.", "", "The answer is 4."),
        ("<think>\n2 and 2\n</think>\n\nThe answer is 4.", "2 and 2", "The answer is 4."),
        ("2 and 2</think>The answer is 4.", "2 and 2", "The answer is 4."),
    ],
)
def test_thinking_is_kept_apart(text: str, reasoning: str, answer: str) -> None:
    assert reply("p", text) == Reply("p", answer, reasoning=reasoning)


@pytest.mark.parametrize(("text", "why"), [("<think>2 and", "never ends"), ("<think>2 and </think>\n", "no answer")])
def test_thinking_without_an_answer_is_no_answer(text: str, why: str) -> None:
    found = reply("p", text)
    assert found.outcome == "empty reply"
    assert why in found.detail
    assert found.reasoning == "2 and"


@given(st.lists(st.one_of(st.text(max_size=20), st.sampled_from(["<think>", "</think>"])), max_size=6))
def test_every_text_is_an_answer_or_a_failure(parts: list[str]) -> None:
    found = reply("p", "".join(parts))
    assert found.failed == (not found.completion)
    assert found.completion == found.completion.strip()


def test_a_spec_may_name_lm_evals_own_test_backend(make_teacher: Callable[[str], Any]) -> None:
    assert told(make_teacher(str(parse_spec("lm-eval:dummy"))).complete([Prompt("p", "Hi")], GREEDY)) == {"p": "lol"}


def test_a_teachers_own_sampling_reaches_the_backend_and_the_key(
    scripted: Callable[..., type], make_teacher: Callable[[str], Any]
) -> None:
    kind: Any = scripted(lambda text: "It is 2.")
    plain, own = make_teacher("lm-eval:scripted"), make_teacher("lm-eval:scripted,temperature=0.1,top_p=0.5")
    for teacher in (plain, own):
        list(teacher.complete([Prompt("p", "1+1?")], Generation(8, 0.7)))
    sent = [requests[0][1] for requests in kind.asked]
    assert [(one["temperature"], one.get("top_p")) for one in sent] == [(0.7, None), (0.1, 0.5)]
    assert own.fingerprint() == {**plain.fingerprint(), "temperature": 0.1, "top_p": 0.5}


def test_weights_or_an_adapter_that_do_not_fit_are_an_error(
    world: Path, tmp_path: Path, make_teacher: Callable[[str], Any]
) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM

    deeper = shutil.copytree(world, tmp_path / "deeper")
    config = json.loads((deeper / "config.json").read_text())
    (deeper / "config.json").write_text(json.dumps({**config, "num_hidden_layers": config["num_hidden_layers"] + 1}))
    asked = [Prompt("p", "1+1?")]
    with pytest.raises(TeacherError, match=r"the weights of deeper do not fit its config.json: \d+ missing \(model"):
        list(make_teacher(f"lm-eval:hf,pretrained={deeper},dtype=float32").complete(asked, GREEDY))
    base = AutoModelForCausalLM.from_pretrained(world, dtype=torch.float32)
    get_peft_model(base, LoraConfig(r=2, target_modules="all-linear")).save_pretrained(tmp_path / "adapter")
    save_file({}, tmp_path / "adapter" / "adapter_model.safetensors")
    with pytest.raises(TeacherError, match="adapter does not fit its model"):
        list(
            make_teacher(f"lm-eval:hf,pretrained={world},peft={tmp_path / 'adapter'},dtype=float32").complete(
                asked, GREEDY
            )
        )
