"""With the stand-in for vLLM installed, in a process of its own: what it is asked, and what comes of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

STUDENT = """
from pathlib import Path
from sitkit.registry import load_plugins
from sitkit.spec import parse_spec
from sitkit.types import Generation, Prompt
import sys
def texts(given):
    return {{one.id: [one.text, one.truncated] for one in given}}
registry = load_plugins()
spec = {spec!r}
student = registry.student(parse_spec("vllm:" + spec))
hf = registry.student(parse_spec("hf:" + spec.split(",max_num_seqs")[0]))
told["fingerprints"] = [student.fingerprint(), hf.fingerprint()]
told["imported early"] = [name for name in ("vllm", "torch", "transformers") if name in sys.modules]
prompts = [Prompt(f"p{{n}}", "Question: " + "what is " * (n % 5) + f"{{n}} plus 1?\\nAnswer:") for n in range(6)]
prompts.append(Prompt("long", "x" * 300))
greedy = Generation(max_new_tokens=10, stop=("e",))
adapters = [None, Path({four!r}), Path({twelve!r}), Path({four!r}), None]
told["vllm"] = [texts(student.complete(one, prompts, greedy)) for one in adapters]
told["hf"] = [texts(hf.complete(one, prompts, greedy)) for one in adapters]
sampled = Generation(max_new_tokens=10, temperature=1.0, seed=5, stop=())
told["sampled"] = [texts(student.complete(None, order, sampled)) for order in (prompts, prompts[::-1], prompts[2:3])]
told["reseeded"] = texts(student.complete(None, prompts, Generation(10, 1.0, seed=6, stop=())))
letter = told["vllm"][0]["p0"][0][2]
told["stopped"] = [texts(one.complete(None, prompts, Generation(10, stop=(letter,)))) for one in (student, hf)]
told["nothing"] = list(student.complete(None, [], greedy))
student.close()
student.close()
import sitkit_vllm.generation as generation
from dataclasses import asdict
from sitkit.types import Question
generation.CHUNK = 2
teacher = registry.teacher(parse_spec("vllm:" + spec))
told["teacher"] = teacher.fingerprint()
questions = [Question(f"q{{n}}", "sums", "number", "Answer.", f"{{n}} + 1?", None, "2") for n in range(5)]
told["answers"] = [asdict(one) for one in teacher.answer(questions, "cot", Generation(6, stop=()))]
told["completed"] = [asdict(one) for one in teacher.complete([Prompt("a", "1 + 1?")], Generation(6, stop=()))]
teacher.close()
own = registry.teacher(parse_spec("vllm:" + spec + ",temperature=0.1,top_p=0.5"))
told["own"] = own.fingerprint()
list(own.complete([Prompt("a", "1 + 1?")], Generation(6, 0.7, stop=(), top_k=3)))
own.close()
"""


@pytest.fixture(scope="module")
def student(run_with_vllm: Callable[..., Any], model: Path, adapters: dict[int, Path]) -> Any:
    spec = f"{model},device=cpu,dtype=float32,max_num_seqs=16"
    return run_with_vllm(STUDENT.format(spec=spec, four=str(adapters[4]), twelve=str(adapters[12])))


def test_it_answers_as_hf_does_with_and_without_an_adapter(student: Any) -> None:
    told, _ = student
    assert told["vllm"] == told["hf"]
    assert told["vllm"][1] != told["vllm"][0] != told["vllm"][2] != told["vllm"][1]
    assert told["vllm"][3] == told["vllm"][1]
    assert told["nothing"] == []
    assert all(cut for answers in told["vllm"] for _, cut in answers.values())
    stopped, by_hf = told["stopped"]
    assert stopped == by_hf
    assert {cut for _, cut in stopped.values()} == {True, False}


def test_a_draw_depends_on_seed_and_prompt_alone(student: Any) -> None:
    told, _ = student
    first, backwards, alone = told["sampled"]
    assert first == backwards
    assert alone == {"p2": first["p2"]}
    assert told["reseeded"] != first
    assert len({text for text, _ in first.values()}) > 3


def test_one_engine_at_a_time_started_anew_only_where_an_adapter_needs_room(student: Any) -> None:
    _, calls = student
    started = [call for call in calls if call["call"] == "LLM"]
    assert [(call["enable_lora"], call["max_lora_rank"]) for call in started] == [
        (False, 16),
        (True, 8),
        (True, 16),
        (False, 16),
        (False, 16),
    ]
    assert {(call["dtype"], call["max_num_seqs"]) for call in started} == {("float32", 16)}
    assert started[0]["environment"] == {"VLLM_WORKER_MULTIPROCESSING_METHOD": "spawn"}
    assert [call["call"] for call in calls].count("shutdown") == 5
    assert calls[-1]["call"] == "shutdown"


def test_greedy_has_no_seed_draws_have_one_each_and_adapters_their_numbers(student: Any) -> None:
    _, calls = student
    asked = [call for call in calls if call["call"] == "generate"]
    assert all(not call["bar"] for call in asked)
    assert [call["lora"] for call in asked[:5]] == [None, 1, 1, 2, None]
    assert all(set(call["seeds"]) == {None} for call in asked[:5])
    assert len(set(asked[5]["seeds"])) == 7


def test_the_key_names_the_engine_and_making_it_imports_nothing(student: Any) -> None:
    told, _ = student
    engine, hf = told["fingerprints"]
    assert engine["vllm"] == "0.27.1"
    assert engine["dtype"] == "float32"
    assert engine["engine"] == {"max_num_seqs": 16}
    assert engine["hf"] == hf
    assert told["imported early"] == []


def test_a_teacher_tells_what_was_cut_short_and_what_it_took(student: Any) -> None:
    told, calls = student
    assert [one["id"] for one in told["answers"]] == [f"q{n}" for n in range(5)]
    for one in (*told["answers"], *told["completed"]):
        assert one["outcome"] in ("answered", "truncated", "empty reply")
        assert (one["completion_tokens"] == 6) == (one["outcome"] == "truncated")
        assert one["prompt_tokens"] > 5
    assert "truncated" in {one["outcome"] for one in told["answers"]}
    assert [call["prompts"] for call in calls if call["call"] == "generate"][-5:-1] == [2, 2, 1, 1]
    assert told["teacher"] == told["fingerprints"][0]


def test_a_teachers_own_sampling_reaches_the_engine_and_the_key(student: Any) -> None:
    told, calls = student
    assert [call for call in calls if call["call"] == "generate"][-1]["drawn"] == [[0.1, 0.5, 3]]
    assert told["own"]["hf"] == {**told["teacher"]["hf"], "temperature": 0.1, "top_p": 0.5}


def test_weights_that_do_not_fit_are_told_before_the_engine_starts(
    run_with_vllm: Callable[..., Any], model: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(model, tmp_path / "deeper")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    told, calls = run_with_vllm(BROKEN.format(spec=f"vllm:{folder},device=cpu"))
    assert [kind for kind, _ in told["errors"]] == ["ModelError", "TeacherError"]
    for _, text in told["errors"]:
        assert "the weights of deeper do not fit its config.json: 9 missing (model.layers.2." in text
    assert calls == []


BROKEN = """
from sitkit.errors import SitkitError
from sitkit.registry import load_plugins
from sitkit.spec import parse_spec
from sitkit.types import Generation, Prompt
registry = load_plugins()
made = [registry.student(parse_spec({spec!r})), registry.teacher(parse_spec({spec!r}))]
calls = [lambda: made[0].complete(None, [Prompt("p", "Hi")], Generation(4)),
         lambda: made[1].complete([Prompt("p", "Hi")], Generation(4))]
told["errors"] = []
for call in calls:
    try:
        list(call())
    except SitkitError as error:
        told["errors"].append([type(error).__name__, str(error)])
"""


def test_an_engine_that_is_there_but_fails_is_told_and_never_swapped(
    run_with_vllm: Callable[..., Any], model: Path
) -> None:
    told, _ = run_with_vllm(BROKEN.format(spec=f"vllm:{model},device=cpu"), VLLM_STAND_IN_FAILS="yes")
    assert [kind for kind, _ in told["errors"]] == ["ModelError", "TeacherError"]
    for _, text in told["errors"]:
        assert text == (
            "vLLM is installed but cannot run tiny here: Engine core initialization failed. See root cause above.;"
            " hf: runs the same model without it"
        )


@pytest.mark.parametrize(
    ("text", "truncated", "outcome"),
    [
        ("2 + 2 is 4", False, "answered"),
        ("2 + 2 is", True, "truncated"),
        ("<think>so</think> 4", False, "answered"),
        ("<think>so", True, "truncated"),
        ("<think>so</think>", False, "empty reply"),
        (" \n", False, "empty reply"),
    ],
)
def test_what_was_written_becomes_a_reply(text: str, truncated: bool, outcome: str) -> None:
    from sitkit_vllm.engine import Request, Written
    from sitkit_vllm.teacher import reply

    found = reply("q", Request([1, 2, 3], 9, None), Written(text, 7, truncated))
    assert found.outcome == outcome
    assert bool(found.completion) == (outcome != "empty reply" and text != "<think>so")
    assert found.reasoning == ("so" if "think" in text else "")
    assert (found.prompt_tokens, found.completion_tokens) == (3, 7)


def test_a_block_that_the_prompt_has_begun_is_thinking() -> None:
    from sitkit_vllm.engine import Request, Written
    from sitkit_vllm.teacher import reply

    found = reply("q", Request([1], 9, None), Written("so</think>4", 7, False), "<think>")
    assert (found.reasoning, found.completion) == ("so", "4")
    assert reply("q", Request([1], 9, None), Written("so", 9, True), "<think>").completion == ""
