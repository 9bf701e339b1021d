"""Where vLLM is not installed the student and the teacher are ``hf``'s, and say so."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from sitkit.capabilities import HarnessStudent
from sitkit.registry import load_plugins
from sitkit.settings import Settings
from sitkit.spec import parse_spec
from sitkit.types import Generation, Prompt, Question
from sitkit_vllm.installed import vllm_version
from tests.completions import answered

GREEDY = Generation(max_new_tokens=8)
PROMPTS = [Prompt(f"p{n}", f"Question: what is {n} plus 1?\nAnswer:") for n in range(3)]
QUESTIONS = [Question("q", "sums", "number", "Answer.", "1 + 1?", None, "2")]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Any:
    if vllm_version() is not None:
        pytest.skip("vLLM is installed")
    return load_plugins()


def test_the_student_answers_as_hf_under_hfs_key_with_one_notice(
    registry: Any, model: Path, adapters: dict[int, Path], caplog: pytest.LogCaptureFixture
) -> None:
    student = registry.student(parse_spec(f"vllm:{model},device=cpu,max_num_seqs=4"))
    hf = registry.student(parse_spec(f"hf:{model},device=cpu"))
    assert student.fingerprint() == hf.fingerprint()
    with caplog.at_level(logging.WARNING, "sitkit.notices"):
        for adapter in (None, adapters[4]):
            assert answered(student.complete(adapter, PROMPTS, GREEDY)) == answered(
                hf.complete(adapter, PROMPTS, GREEDY)
            )
    notices = [record.getMessage() for record in caplog.records if record.name == "sitkit.notices"]
    assert notices == [
        "vLLM is not installed here (pip install 'sitkit[vllm]'): tiny answers through transformers, as hf: does"
    ]
    student.close()


def test_lm_eval_asks_what_transformers_loads(registry: Any, model: Path, adapters: dict[int, Path]) -> None:
    from lm_eval.api.instance import Instance

    student = registry.student(parse_spec(f"vllm:{model},device=cpu"))
    hf = registry.student(parse_spec(f"hf:{model},device=cpu"))
    assert isinstance(student, HarnessStudent)
    asked = [Instance("loglikelihood", {}, (one.text, f" {n + 1}"), 0) for n, one in enumerate(PROMPTS)]
    ours, expected = (made.harness_model(adapters[4]).loglikelihood(asked) for made in (student, hf))
    assert ours == expected
    student.close()
    hf.close()


def test_the_teacher_answers_as_hf(registry: Any, model: Path, caplog: pytest.LogCaptureFixture) -> None:
    teacher = registry.teacher(parse_spec(f"vllm:{model},device=cpu"))
    hf = registry.teacher(parse_spec(f"hf:{model},device=cpu"))
    assert teacher.fingerprint() == hf.fingerprint()
    with caplog.at_level(logging.WARNING, "sitkit.notices"):
        assert list(teacher.answer(QUESTIONS, "cot", GREEDY)) == list(hf.answer(QUESTIONS, "cot", GREEDY))
    assert len([record for record in caplog.records if record.name == "sitkit.notices"]) == 1
    teacher.close()


def test_an_engine_holds_the_weights_once_over_its_gpus(registry: Any, model: Path) -> None:
    student: Any = registry.student(parse_spec(f"vllm:{model},quantize=nf4,tensor_parallel_size=2"))
    alone = student.footprint(Settings())
    assert alone == registry.student(parse_spec(f"hf:{model},quantize=nf4")).footprint(Settings())
    student.version = "0.27"
    found = student.footprint(Settings())
    assert (found.answering, found.spread, found.parallel) == (2.0 * found.parameters, 2, True)
    assert found.training == alone.training
