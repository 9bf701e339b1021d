"""Learning from the student's own answers: by a reward, and by a teacher."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from sitkit.errors import ModelError, PluginError, SettingError
from sitkit.settings import ExploreSettings
from sitkit.types import Completion, Distillation, Generation, Prompt, Question, Reward
from sitkit_hf import generation
from sitkit_hf.adapters import adapted, merged_meanwhile, trainable_adapter
from sitkit_hf.explore import _written, ask, fallen, vocabulary
from sitkit_hf.memory import total_bytes
from sitkit_hf.options import Options
from sitkit_hf.prompts import Prompts
from sitkit_hf.teacher import HfTeacher
from tests.sitkit_hf.test_hf_resume import kill

QUESTIONS = [
    Question(f"q{n}", "sums", "number", "Add.", f"what is {n} plus {n * 7 % 23}?", None, str(n + n * 7 % 23))
    for n in range(6)
]
SHORT = ExploreSettings(
    steps=3, prompts=2, samples=4, max_new_tokens=12, learning_rate=2e-2, beta=0.1, save_steps=1, scheduler="constant"
)


def digits(question: Question, completion: Completion) -> dict[str, float]:
    """How much of an answer is digits, and whether it ended."""
    text = completion.text
    return {"digits": sum(map(str.isdigit, text)) / max(1, len(text)), "ended": float(not completion.truncated)}


def teacher(folder: Path) -> HfTeacher:
    return HfTeacher(Options(model=str(folder), folder=folder))


def test_what_is_logged_is_what_answers_were_worth(
    student: Any, start: Path, work: dict[str, Any], written: list[list[int]]
) -> None:
    seen: list[tuple[str, Completion]] = []

    def judge(question: Question, completion: Completion) -> dict[str, float]:
        seen.append((question.id, completion))
        return digits(question, completion)

    report = student.explore(start, QUESTIONS, Reward({"digits": 2.0, "ended": 0.5}, judge), SHORT, **work)
    assert report.steps == len(report.log) == 3
    assert len(seen) == 3 * 2 * 4
    assert len({name for name, _ in seen}) == len(QUESTIONS)  # three steps of two are one pass
    for step, row in enumerate(report.log):
        here = [digits(QUESTIONS[0], completion) for _, completion in seen[step * 8 : step * 8 + 8]]
        assert row["rewards/digits/mean"] == pytest.approx(fmean(one["digits"] for one in here), abs=1e-6)
        assert row["rewards/ended/mean"] == pytest.approx(fmean(one["ended"] for one in here))
        assert row["reward"] == pytest.approx(fmean(2 * one["digits"] + 0.5 * one["ended"] for one in here), abs=1e-6)
        assert row["completions/clipped_ratio"] == pytest.approx(1 - row["rewards/ended/mean"])
        assert "step_time" not in row
    assert report.log[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert report.log[-1]["kl"] > 1e-5
    assert report.metrics["completions"] == 24
    assert report.metrics["written"] == sum(map(len, written))
    # Three steps of two of six questions are one pass, each with four answers.
    asked = 4 * sum(len(student.models.tokenizer()(one.prompt("cot"))["input_ids"]) for one in QUESTIONS)
    assert report.metrics["tokens"] == asked + report.metrics["written"]


def test_tokens_written_are_counted_by_a_curve_that_leaves_steps_out() -> None:
    curve = [{"step": 1.0, "completions/mean_length": 10.0}, {"step": 5.0, "completions/mean_length": 20.5}]
    assert _written(curve, 8) == 8 * (10 + 4 * 20.5)


def test_an_answer_is_the_one_that_would_be_written(student: Any, start: Path, work: dict[str, Any]) -> None:
    """What is judged was written after the prompt's own tokens: nearly greedy, it is what `complete` writes."""
    seen: dict[str, str] = {}

    def judge(question: Question, completion: Completion) -> dict[str, float]:
        seen[question.id] = completion.text
        return {"ended": float(not completion.truncated)}

    cold = replace(SHORT, steps=3, samples=2, temperature=1e-4, learning_rate=1e-9)
    student.explore(start, QUESTIONS, Reward({"ended": 1.0}, judge), cold, **work)
    prompts = [Prompt(one.id, one.prompt("cot")) for one in QUESTIONS]
    written = student.complete(start, prompts, Generation(max_new_tokens=12, stop=()))
    assert {one.id: one.text for one in written} == seen


def test_answers_are_drawn_anew_for_each_and_the_base_is_as_it_was(
    student: Any, start: Path, work: dict[str, Any], written: list[list[int]]
) -> None:
    before = [one.clone() for one in student.models.base().parameters()]
    once = replace(SHORT, steps=2, prompts=1, samples=8, learning_rate=1e-9)
    student.explore(start, QUESTIONS[:1], Reward({"digits": 1.0, "ended": 1.0}, digits), once, **work)
    assert len({tuple(ids) for ids in written}) == 16
    after = list(student.models.base().parameters())
    assert len(after) == len(before)
    assert all(one.equal(other) for one, other in zip(after, before, strict=True))


@pytest.mark.parametrize(("total", "merged"), [(4, True), (3.9, False)])
def test_the_adapter_is_merged_by_the_machines_memory_and_not_by_what_is_free(
    student: Any, start: Path, monkeypatch: pytest.MonkeyPatch, total: float, *, merged: bool
) -> None:
    with adapted(student.models, lambda base: trainable_adapter(base, start, student.models.folder())) as model:
        layers = [one for one in model.modules() if hasattr(one, "merged_adapters")]
        taken = sum(one.get_base_layer().weight.nbytes for one in layers)
        monkeypatch.setattr("sitkit_hf.memory.machine_memory", lambda: (int(total * taken), 1))
        with merged_meanwhile(model, "", ""):
            assert [one.merged for one in layers] == [merged] * len(layers)
        assert not any(one.merged for one in layers)


def test_an_adapter_that_diverges_ends_exploring_before_it_writes_nonsense(
    student: Any, start: Path, work: dict[str, Any]
) -> None:
    def spoil(done: int, total: int) -> None:
        if done == 2:
            weights = [one for name, one in student.models.base().named_parameters() if "lora_B.default" in name]
            weights[-1].data[-1, -1] = float("nan")

    said = r"^explore: the adapter after step 2 has weights .*: its training diverged; lower explore.learning_rate$"
    with pytest.raises(ModelError, match=said):
        student.explore(
            start, QUESTIONS, Reward({"ended": 1.0, "digits": 1.0}, digits), SHORT, **work | {"progress": spoil}
        )


def test_a_gpu_has_the_memory_that_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 30, 80 << 30))
    assert total_bytes(torch.device("cuda")) == 80 << 30


@pytest.mark.slow
def test_a_killed_exploring_goes_on_and_ends_with_the_same_bytes(
    tiny: Path, student: Any, start: Path, tmp_path: Path, read_adapter: Callable[[Path], bytes]
) -> None:
    reward, settings = Reward({"digits": 1.0, "ended": 0.5}, digits), replace(SHORT, steps=6, save_steps=2)
    twin = teacher(tiny)
    calls: dict[str, tuple[Any, ...]] = {
        "explore": (start, QUESTIONS, reward, settings),
        "distil": (start, QUESTIONS, twin, Distillation(), settings),
    }
    whole, jobs = {}, []
    for method, arguments in calls.items():
        keywords = {"out": tmp_path / method, "scratch": tmp_path / f"{method}.scratch", "seed": 1}
        whole[method] = getattr(student, method)(*arguments, progress=lambda *_: None, **keywords)
        cut = {"out": tmp_path / f"{method}.cut", "scratch": tmp_path / f"{method}.cut.scratch", "seed": 1}
        jobs.append((str(tiny), {}, method, arguments, cut, 5))
    kill(jobs)
    for method, arguments in calls.items():
        cut = {"out": tmp_path / f"{method}.cut", "scratch": tmp_path / f"{method}.cut.scratch", "seed": 1}
        assert sorted(path.name for path in cut["scratch"].glob("checkpoint-*"))[-1] == "checkpoint-4"
        resumed = getattr(student, method)(*arguments, progress=lambda *_: None, **cut)
        assert read_adapter(tmp_path / f"{method}.cut") == read_adapter(tmp_path / method)
        assert resumed == whole[method]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """What the student wrote, all tokens, in the order in which it was asked."""
    kept: list[list[int]] = []

    def write(model: Any, prompts: Any, rows: Sequence[Any], *given: Any) -> Any:
        found = {one.id: one for one in generation.write(model, prompts, rows, *given)}
        kept.extend(
            [*found[row.id].tokens, *([] if found[row.id].end is None else [found[row.id].end])] for row in rows
        )
        return found.values()

    monkeypatch.setattr("sitkit_hf.explore.write", write)
    return kept


def stock(
    kind: str, folder: Path, start: Path, asked: Any, out: Path, written: list[list[int]], **more: Any
) -> list[dict[str, float]]:
    """Train on the same answers with TRL as it is, and return what it logged."""
    import trl
    from datasets import Dataset
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(folder)
    model = PeftModel.from_pretrained(base, start, is_trainable=True)
    arguments, own = more.pop("arguments"), more
    config = getattr(trl, f"{kind}Config")(
        output_dir=str(out),
        per_device_train_batch_size=8,
        learning_rate=SHORT.learning_rate,
        lr_scheduler_type="constant",
        warmup_steps=SHORT.warmup,
        optim=SHORT.optim,
        max_steps=SHORT.steps,
        logging_steps=1,
        seed=1,
        data_seed=1,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        max_completion_length=SHORT.max_new_tokens,
        shuffle_dataset=False,
        disable_dropout=True,
        **arguments,
    )
    waiting = iter(written)

    class Replaying(getattr(trl, f"{kind}Trainer")):  # type: ignore[misc]
        def _generate_single_turn(self, prompt_ids: Sequence[list[int]], *_: Any, **__: Any) -> Any:
            ids = [next(waiting) for _ in prompt_ids]
            return (ids, None) if kind == "GRPO" else ids

    trainer = Replaying(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(asked.rows),
        processing_class=AutoTokenizer.from_pretrained(folder, padding_side="left"),
        **own,
    )
    trainer.train()
    assert not list(waiting)
    return [row for row in trainer.state.log_history if "loss" in row]


def same(log: Sequence[Any], other: Sequence[Any], names: Sequence[str]) -> None:
    assert len(log) == len(other) == SHORT.steps
    for mine, theirs in zip(log, other, strict=True):
        assert {name: mine[name] for name in names} == pytest.approx({name: theirs[name] for name in names}, rel=1e-5)


@pytest.mark.slow
def test_exploring_is_what_trl_does(
    tiny: Path, student: Any, start: Path, work: dict[str, Any], written: list[list[int]]
) -> None:
    report = student.explore(start, QUESTIONS, Reward({"digits": 1.0, "ended": 0.5}, digits), SHORT, **work)
    asked = ask(Prompts(student.models.tokenizer(), student.options, (2,)), QUESTIONS, SHORT, student.models.base(), 1,
                repeats=1)  # fmt: skip

    def worth(name: str, completions: Sequence[str], completion_ids: Sequence[Any], **_: Any) -> list[float]:
        ended = [ids[-1] == 2 for ids in completion_ids]
        return [
            digits(QUESTIONS[0], Completion("", text.strip(), not end))[name]
            for text, end in zip(completions, ended, strict=True)
        ]

    functions = [partial(worth, "digits"), partial(worth, "ended")]
    theirs = stock(
        "GRPO", tiny, start, asked, work["scratch"] / "stock", written, reward_funcs=functions,
        arguments={"num_generations": 4, "beta": SHORT.beta, "reward_weights": [1.0, 0.5]},
    )  # fmt: skip
    same(report.log, theirs, ["loss", "reward", "reward_std", "kl", "entropy", "completions/mean_length"])


@pytest.mark.slow
def test_distilling_is_what_trl_does(
    tiny: Path,
    make_model: Callable[..., Path],
    student: Any,
    start: Path,
    work: dict[str, Any],
    written: list[list[int]],
) -> None:
    from transformers import AutoModelForCausalLM

    other = make_model(seed=5)
    report = student.distil(start, QUESTIONS, teacher(other), Distillation(beta=0.3), SHORT, **work)
    asked = ask(Prompts(student.models.tokenizer(), student.options, (2,)), QUESTIONS, SHORT, student.models.base(), 1,
                repeats=4)  # fmt: skip
    theirs = stock(
        "Distillation", tiny, start, asked, work["scratch"] / "stock", written, arguments={"beta": 0.3},
        teacher_model=AutoModelForCausalLM.from_pretrained(other),
    )  # fmt: skip
    same(report.log, theirs, ["loss", "entropy", "completions/mean_length"])
    assert report.log[-1]["loss"] < report.log[0]["loss"]
    assert not any(name.startswith(("first_reward", "alike")) for name in report.metrics)


def test_questions_come_equally_often_and_in_another_order_by_seed(student: Any) -> None:
    settings, base = replace(SHORT, steps=9), student.models.base()
    prompts = Prompts(student.models.tokenizer(), student.options, (2,))
    orders = [
        [row["place"] for row in ask(prompts, QUESTIONS, settings, base, seed, repeats=1).rows] for seed in (1, 2)
    ]
    assert orders[0] != orders[1]
    assert all(sorted(order) == sorted(3 * list(range(6))) for order in orders)
    assert sorted(orders[0][:6]) == list(range(6))
    assert [row["place"] for row in ask(prompts, QUESTIONS, settings, base, 1, repeats=2).rows][::2] == orders[0]


def test_a_prompt_that_leaves_no_room_is_cut_on_the_left(student: Any) -> None:
    long = replace(QUESTIONS[0], question=" ".join(["word"] * 80))
    asked = ask(
        Prompts(student.models.tokenizer(), student.options, (2,)), [long, QUESTIONS[1]],
        replace(SHORT, max_new_tokens=200), student.models.base(), 1, repeats=1,
    )  # fmt: skip
    assert asked.cut == 1
    assert asked.longest == 128
    assert len(asked.tokens[long.prompt("cot")]) == 128


def test_a_reward_that_is_none_ends_in_one_line(student: Any, start: Path, work: dict[str, Any]) -> None:
    reward = Reward({"right": 1.0}, lambda question, completion: {"wrong": 1.0})
    with pytest.raises(PluginError, match=r"the reward for an answer to q\d of sums: judge gave .* for each of right"):
        student.explore(start, QUESTIONS, reward, SHORT, **work)
    # The base is as it was.
    assert not any("lora" in name for name, _ in student.models.base().named_parameters())


def test_a_teacher_must_be_here_and_have_the_same_tokens(
    student: Any, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    other = make_model(seed=6)
    student.check_teacher(teacher(other))
    told = json.loads((other / "tokenizer.json").read_text(encoding="utf-8"))
    known = vocabulary(other)
    assert known is not None
    assert known["</s>"] == 2
    first, second = random.Random(0).sample(sorted(told["model"]["vocab"])[20:], 2)
    words = told["model"]["vocab"]
    words[first], words[second] = words[second], words[first]
    (other / "tokenizer.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(SettingError, match=r"its vocabulary is not that of the student .*; both must have the same"):
        student.check_teacher(teacher(other))
    with pytest.raises(SettingError, match="so it must be a model run here"):
        student.check_teacher(object())


def test_a_reward_that_falls_beyond_chance_is_told() -> None:
    # Quarters 0.5, 0.6, 0.4 and 0.2, 0.1, 0.3: means 0.5 and 0.2, variances 0.01 each, so twice the error is 0.163.
    curve = [0.5, 0.6, 0.4, *[0.9] * 6, 0.2, 0.1, 0.3]
    assert fallen(curve) == pytest.approx((0.5, 0.2))
    assert fallen(curve[::-1]) is None
    assert fallen([0.5, 0.6, 0.4, *[0.9] * 6, 0.4, 0.3, 0.5]) is None
    assert fallen(curve[:11]) is None
