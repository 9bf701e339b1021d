"""``--eval-on lm-eval:TASK`` gives what plain lm_eval gives on the same task and model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sitkit.components import Component
from sitkit.harness.any_task import parse_task
from sitkit.stages import Budget, EvaluateTask, Work
from sitkit.stages.evaluate_task import DOCUMENTS
from tests.harness.lm_eval_tasks import write_tasks


def _work(folder: Path) -> Work:
    (folder / "scratch").mkdir(parents=True, exist_ok=True)
    return Work(
        folder=folder,
        scratch=folder / "scratch",
        artifacts={},
        journal=lambda name: pytest.fail("no shared journal is needed"),
        progress=lambda done, total: None,
        notice=lambda text: None,
        budget=Budget(None),
        data_dir=None,
        task_folders={},
    )


def _stage(student: Any, spec: str, limit: int | None = None) -> EvaluateTask:
    component = Component("student", "hf:tiny", student, {"distribution": "sitkit"})
    return EvaluateTask(component, "baseline", None, parse_task(spec, ()), (), limit, 0)


def _plain(model: Path, task: Path, **more: Any) -> dict[str, Any]:
    """What lm_eval --model hf itself reports."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    found: dict[str, Any] = simple_evaluate(
        model="hf",
        model_args={"pretrained": str(model), "dtype": "float32"},
        device="cpu",
        tasks=[task.stem],
        task_manager=TaskManager(include_path=str(task.parent), include_defaults=False),
        **more,
    )["results"][task.stem]
    return found


@pytest.mark.parametrize("name", ["after", "count"])
def test_a_task_scores_as_plain_lm_eval_does(
    tiny: Path, make_student: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    task = write_tasks(tmp_path / "tasks")[name]
    told = _stage(make_student(tiny), f"lm-eval:{task}").run(_work(tmp_path / "work"))
    plain = _plain(tiny, task)
    assert len(told["metrics"]) == (2 if name == "after" else 1)
    for row in told["metrics"]:
        assert row["value"] == pytest.approx(plain[f"{row['metric']},{row['filter']}"], abs=1e-9)
        assert row["stderr"] == pytest.approx(plain[f"{row['metric']}_stderr,{row['filter']}"], abs=1e-9)
        assert (row["n"], row["num_fewshot"]) == (9, 2)
    rows = [json.loads(line) for line in (tmp_path / "work" / DOCUMENTS).read_text().splitlines()]
    assert len(rows) == 9
    if name == "after":
        assert sum(row["metrics"]["acc"] for row in rows) / 9 == pytest.approx(plain["acc,none"])


def test_log_likelihoods_are_those_of_lm_evals_own_model(
    tiny: Path, make_student: Callable[..., Any], start: Path, tmp_path: Path
) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    student = make_student(tiny)
    student.export(start, tmp_path / "merged", merge=True)
    asked = [
        Instance("loglikelihood", {}, (f"What is {n} plus {n}?" * (n + 1), f" It is {n + n}."), 0) for n in range(6)
    ]
    ours = student.harness_model(start).loglikelihood(asked)
    plain = HFLM(str(tmp_path / "merged"), dtype="float32", device="cpu").loglikelihood(asked)
    for (value, greedy), (expected, same) in zip(ours, plain, strict=True):
        assert value == pytest.approx(expected, abs=1e-3)
        assert greedy == same
    untaught = student.harness_model(None).loglikelihood(asked)
    assert untaught[0][0] != pytest.approx(ours[0][0], abs=1e-3), "the adapter counts"


def test_few_shot_and_the_chat_template_are_lm_evals(
    chatty: Path, make_student: Callable[..., Any], tmp_path: Path
) -> None:
    task = write_tasks(tmp_path / "tasks")["after"]
    told = _stage(make_student(chatty), f"lm-eval:{task},num_fewshot=1,chat=true", 6).run(_work(tmp_path / "work"))
    plain = _plain(chatty, task, num_fewshot=1, apply_chat_template=True, limit=6)
    assert {row["metric"]: row["value"] for row in told["metrics"]} == {
        name: pytest.approx(plain[f"{name},none"]) for name in ("acc", "acc_norm")
    }
    assert {(row["n"], row["num_fewshot"]) for row in told["metrics"]} == {(6, 1)}


def test_a_killed_task_goes_on_where_it_was(
    tiny: Path, make_student: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval.models.huggingface import HFLM

    task = write_tasks(tmp_path / "tasks")["after"]
    whole = _stage(make_student(tiny), f"lm-eval:{task}").run(_work(tmp_path / "whole"))
    forward, calls = HFLM._model_call, list[int]()

    def killed(self: Any, inputs: Any, *given: Any, **named: Any) -> Any:
        calls.append(len(inputs))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return forward(self, inputs, *given, **named)

    monkeypatch.setattr(HFLM, "_model_call", killed)
    stage = _stage(make_student(tiny, batch_size="2"), f"lm-eval:{task}")
    with pytest.raises(KeyboardInterrupt):
        stage.run(_work(tmp_path / "work"))
    before = sum(calls[:2])
    calls[:] = [0, 0, 0]
    again = stage.run(_work(tmp_path / "work"))
    assert again == whole
    assert before + sum(calls) == 18, "nine documents with two options each, none asked twice"
