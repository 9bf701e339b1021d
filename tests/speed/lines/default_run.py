"""``sitkit run`` without options against the same work as a chain of stock tools, each a process of its own."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.speed import chain
from tests.speed.measure import Options, Row, in_turn, medians, program, run, tell

NAMES = ("tiny_chain", "tiny_shop", "tiny_cups", "tiny_gifts")
TRAINED = ("tiny_chain", "tiny_cups")


def measure(options: Options) -> list[Row]:
    """Run both from nothing, imports included; the quick form takes few questions and so measures the start."""
    limit = 40 if options.quick else None
    inputs = _inputs(options.folder / "inputs", limit)
    steps: dict[str, list[float]] = {}
    scores: dict[str, dict[str, float]] = {}

    def ours() -> float:
        folder = options.folder / "run"
        shutil.rmtree(folder, ignore_errors=True)
        command = [program("sitkit"), "run", "--workspace", str(folder)]
        command += ["--limit", str(limit // 2), "--test-limit", str(limit // 2)] if limit else []
        seconds = run(command, options.folder / "run.log").seconds
        scores["sitkit"] = _sitkit_scores(folder)
        return seconds

    def theirs() -> float:
        seconds, scores["peer"] = _chain(options.folder / "chain", inputs, limit, steps)
        return seconds

    taken = in_turn(options.pairs, {"sitkit": ours, "peer": theirs})
    for name, values in steps.items():
        tell(f"  chain, {name}: {min(values):.1f} s at best")
    middle = medians(taken)
    baseline = {task: value for task, value in scores["peer"].items() if task.startswith("baseline")}
    same = sum(scores["sitkit"].get(task) == value for task, value in baseline.items())
    return [
        Row(
            "default-run",
            "embedded",
            "s",
            middle["sitkit"],
            middle["peer"],
            goal=3.0,
            note=f"before training, {same} of {len(baseline)} scores are the same (training draws its own)",
            samples={**taken, **{f"chain: {name}": values for name, values in steps.items()}},
        )
    ]


def _inputs(folder: Path, limit: int | None) -> dict[str, Path]:
    """Write the prompts and the teacher's right demonstrations: what both begin with."""
    from sitkit.answers import is_correct
    from sitkit.harness.tasks import as_doc
    from sitkit.types import Generation
    from sitkit_tiny.benchmarks import questions
    from sitkit_tiny.teacher import SLIP_RATE, ScriptedTeacher

    folder.mkdir(parents=True, exist_ok=True)
    asked = [one for name in TRAINED for one in questions(name, "train")[: limit and limit // 2]]
    worked = dict(ScriptedTeacher(SLIP_RATE).answer(asked, "cot", Generation(512, 0.7)))
    prompts = [
        {"id": one.id, "direct": one.prompt("direct"), "cot": one.prompt("cot"), "question": as_doc(one)}
        for one in asked
    ]
    demonstrations = [
        {"id": one.id, "prompt": one.prompt("cot"), "completion": f" {worked[one.id]}"}
        for one in asked
        if one.id in worked and is_correct(one, worked[one.id])
    ]
    written: tuple[list[dict[str, Any]], ...] = (prompts, demonstrations)
    paths = {"prompts": folder / "prompts.jsonl", "demonstrations": folder / "demonstrations.jsonl"}
    for path, rows in zip(paths.values(), written, strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    # Stock trainers want no column that they do not know.
    slim = folder / "sft.jsonl"
    slim.write_text(
        "".join(json.dumps({key: row[key] for key in ("prompt", "completion")}) + "\n" for row in demonstrations),
        encoding="utf-8",
    )
    return {**paths, "sft": slim}


def _chain(
    folder: Path, inputs: dict[str, Path], limit: int | None, steps: dict[str, list[float]]
) -> tuple[float, dict[str, float]]:
    from sitkit_tiny import STUDENT

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    scripts, model = Path(chain.__file__).parent, str(STUDENT)
    sft, dpo, answers = str(folder / "sft"), str(folder / "dpo"), str(folder / "answers.jsonl")
    prompts, demonstrations = str(inputs["prompts"]), str(inputs["demonstrations"])

    def python(script: str, *arguments: str) -> list[str]:
        return [sys.executable, str(scripts / script), *arguments]

    commands: dict[str, Sequence[str]] = {
        "lm_eval baseline": _lm_eval(model, None, folder / "baseline", limit),
        "sft": python("sft.py", model, str(inputs["sft"]), sft),
        "sample": python("sample.py", model, sft, prompts, answers),
        "lm_eval instruct": _lm_eval(model, sft, folder / "instruct", limit),
        "dpo": python("dpo.py", model, sft, prompts, demonstrations, answers, dpo),
        "lm_eval refine": _lm_eval(model, dpo, folder / "refine", limit),
    }
    for name, command in commands.items():
        steps.setdefault(name, []).append(run(command, folder / f"{name}.log").seconds)
    scores = {f"{phase} {task}": value for phase in ("baseline",) for task, value in _lm_scores(folder / phase).items()}
    return sum(values[-1] for values in steps.values()), scores


def _lm_eval(model: str, adapter: str | None, out: Path, limit: int | None) -> list[str]:
    from sitkit.harness.folders import tasks_dir

    tasks = ",".join(f"sit_{name}_{prompting}" for name in NAMES for prompting in ("direct", "cot"))
    arguments = f"pretrained={model},dtype=float32" + (f",peft={adapter}" if adapter else "")
    command = [program("lm_eval"), "run", "--model", "hf", "--model_args", arguments, "--tasks", tasks]
    command += ["--include_path", str(tasks_dir()), "--batch_size", "16", "--device", "cpu"]
    command += ["--gen_kwargs", "max_gen_toks=96", "--log_samples", "--output_path", str(out)]
    return [*command, *(["--limit", str(limit // 2)] if limit else [])]


def _lm_scores(folder: Path) -> dict[str, float]:
    (path,) = folder.rglob("results_*.json")
    found = json.loads(path.read_text(encoding="utf-8"))["results"]
    return {task: float(values["accuracy,none"]) for task, values in found.items()}


def _sitkit_scores(workspace: Path) -> dict[str, float]:
    (path,) = workspace.glob("runs/*/results.json")
    cells = json.loads(path.read_text(encoding="utf-8"))["scores"]
    return {f"{cell['phase']} sit_{cell['benchmark']}_{cell['prompting']}": float(cell["value"]) for cell in cells}
