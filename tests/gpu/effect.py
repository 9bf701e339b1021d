"""``python -m tests.gpu.effect PART DATA OUT --student SPEC``: the real student, several runs at a time on one card.

PART search looks for settings of instruction-tuning and refining, on questions held out of the training file. PART
rates tries learning rates of grpo there. PART grpo trains every seed with one of them, and its control, and scores them
on held-out questions, on the test file, MultiArith and OpenBookQA. DATA has word_problems, MultiArith, openbookqa and
demonstrations, as ../shared/data has. Each run's results.json is copied to OUT as it ends, so that a part that is cut
short leaves what it has. Parts that are given the same OUT share what they have made.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sitkit.results.significance import compare, mcnemar, sign_flips

COMMON: dict[str, Any] = {
    "annotate": {"max_new_tokens": 256},
    "sample": {"temperature": 0.7, "max_new_tokens": 160},
    "evaluate": {"max_new_tokens": 160},
    "instruct": {"warmup": 0.05, "max_length": 512, "save_steps": 1000},
    "refine": {"warmup": 0.1, "max_length": 512, "save_steps": 1000, "max_steps": 0, "epochs": 1, "eval_steps": 20},
}

INSTRUCT: dict[str, dict[str, Any]] = {
    "lr 5e-4, 4 epochs": {"learning_rate": 5e-4, "epochs": 4, "batch_size": 16},
    "lr 1e-3, 2 epochs": {"learning_rate": 1e-3, "epochs": 2, "batch_size": 16},
    "lr 1e-3, 4 epochs": {"learning_rate": 1e-3, "epochs": 4, "batch_size": 16},
    "lr 2e-3, 4 epochs": {"learning_rate": 2e-3, "epochs": 4, "batch_size": 16},
}
REFINE: dict[str, dict[str, Any]] = {
    "lr 1e-5": {"learning_rate": 1e-5, "batch_size": 16},
    "lr 5e-5": {"learning_rate": 5e-5, "batch_size": 16},
    "lr 5e-5 with sft": {"learning_rate": 5e-5, "batch_size": 16, "loss": "sigmoid+sft", "weights": "1+1"},
}
EXPLORE = {"prompts": 16, "samples": 8, "max_new_tokens": 160, "save_steps": 1000}
BEST = "lr 1e-3, 4 epochs"
"""What the search found for instruction-tuning."""


class Runs:
    """Runs of sitkit in one workspace, several at a time."""

    def __init__(self, data: Path, out: Path, student: str) -> None:
        self.data, self.out, self.student = data, out, student
        self.started = time.monotonic()
        self.going: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, settings: Mapping[str, Any], train_on: str, eval_on: Sequence[str], **rest: Any) -> None:
        """Start a run; ``settings`` by stage lie over the common ones."""
        recipe = {
            "teacher": f"file:{self.data / 'demonstrations/word_problems.text-davinci-002.jsonl'}",
            "student": self.student,
            "train_on": [train_on],
            "eval_on": list(eval_on),
            "data_dir": str(self.data),
            "set": {stage: {**COMMON.get(stage, {}), **settings.get(stage, {})} for stage in {**COMMON, **settings}},
            **rest,
        }
        path = self.out / f"{name}.yaml"
        path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
        command = [sys.executable, "-m", "sitkit", "run", "--config", str(path), "--name", name]
        log = (self.out / f"{name}.log").open("wb")
        environment = {**os.environ, "SITKIT_WORKSPACE": str(self.out / "workspace")}
        self.going[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)

    def wait(self) -> dict[str, Any]:
        """Wait for all that were started; return the results of those that ended well."""
        found = {}
        while self.going:
            for name, process in list(self.going.items()):
                if (code := process.poll()) is None:
                    continue
                del self.going[name]
                self.tell(f"{name}: exit code {code}")
                results = self.out / "workspace" / "runs" / name / "results.json"
                if code == 0:
                    found[name] = json.loads(results.read_text(encoding="utf-8"))
                    shutil.copy(results, self.out / f"{name}.json")
                    self.tell(f"{name}: {told(found[name])}")
            time.sleep(0.2)
        return found

    def tell(self, text: str) -> None:
        """Write a line with the seconds since the start."""
        sys.stdout.write(f"{time.monotonic() - self.started:5.0f} s  {text}\n")
        sys.stdout.flush()


def accuracy(results: Any, phase: str, prompting: str = "cot") -> float:
    """Return a phase's accuracy, the mean over benchmarks."""
    values = [cell["value"] for cell in results["cells"] if cell["phase"] == phase and cell["prompting"] == prompting]
    return sum(values) / len(values)


def told(results: Any) -> str:
    """Return every cell in a line, and what grpo's answers were worth at first and at last."""
    cells = [
        f"{one['phase']} {one['benchmark']} {one['prompting']}"
        f" {100 * one['value']:.1f} cut {100 * one['truncated']:.0f}%"
        for one in results["cells"]
    ]
    worth = [
        f"{name} {one['metrics'][name]:.3g}"
        for one in results["training"]
        if "last_reward" in one["metrics"]
        for name in ("first_correct", "last_correct", "last_kl", "first_truncated", "last_truncated", "last_length")
    ]
    return "; ".join([*worth, *cells])


def answered(out: Path, name: str, phase: str, benchmark: str, prompting: str) -> dict[str, bool]:
    """Return which questions a run's phase answered right."""
    results = json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
    cell = next(
        one
        for one in results["cells"]
        if (one["phase"], one["benchmark"], one["prompting"]) == (phase, benchmark, prompting)
    )
    path = out / "workspace" / "store" / "evaluate" / cell["seeds"][0]["key"][:20] / "predictions.jsonl"
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {row["question_id"]: row["correct"] for row in rows if row["prompting"] == prompting}


def paired(out: Path, seeds: int) -> None:
    """Write the paired differences over all seeds: a bootstrap interval, and a randomisation test over questions."""
    phases = {"baseline": ("grpo", "baseline"), "instructed": ("grpo", "instruct"), "control": ("control", "refine")}
    phases["grpo"] = ("grpo", "refine")
    for benchmark in ("word_problems", "test", "multiarith", "openbookqa"):
        for prompting in ("direct", "cot"):
            right = {
                name: [answered(out, f"{run}-{seed}", phase, benchmark, prompting) for seed in range(seeds)]
                for name, (run, phase) in phases.items()
            }
            means = ", ".join(
                f"{name} {100 * sum(sum(one.values()) / len(one) for one in each) / len(each):.1f}"
                for name, each in right.items()
            )
            sys.stdout.write(f"{benchmark} {prompting}: {means}\n")
            for earlier, later in (("baseline", "instructed"), ("instructed", "grpo"), ("control", "grpo")):
                pairs = list(zip(right[earlier], right[later], strict=True))
                if (found := compare(pairs)) is None:
                    continue
                sys.stdout.write(
                    f"  {later} - {earlier}: {100 * found.difference:+.1f}, {100 * (found.low or 0):+.1f} to"
                    f" {100 * (found.high or 0):+.1f}, p {sign_flips(pairs):.4f}, gained and lost by seed"
                    f" {[mcnemar(*one)[:2] for one in pairs]}\n"
                )


def search(runs: Runs, split: str, few: Mapping[str, Any]) -> None:
    """Look for the settings of instruction-tuning, then for those of dpo-cot behind the best."""
    for index, one in enumerate(INSTRUCT.values()):
        runs.start(f"instruct-{index}", {"instruct": one}, split, [split], methods=["instruct"], seed=100, **few)
    found = runs.wait()
    best = max(found, key=lambda name: accuracy(found[name], "instruct"))
    instruct = list(INSTRUCT.values())[int(best.rpartition("-")[2])]
    for index, one in enumerate(REFINE.values()):
        runs.start(f"refine-{index}", {"instruct": instruct, "refine": one}, split, [split], seed=100, **few)
    runs.wait()


def explored(runs: Runs, name: str, rate: float, steps: int, split: str, eval_on: list[str], **rest: Any) -> None:
    """Start a run of grpo."""
    settings = {"instruct": INSTRUCT[BEST], "explore": {**EXPLORE, "learning_rate": rate, "steps": steps}}
    runs.start(name, settings, split, eval_on, strategy="grpo", **rest)


def main() -> int:
    """Do one part."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.effect", description=(__doc__ or "").partition("\n")[2])
    parser.add_argument("part", choices=["search", "rates", "grpo"])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--student", default="smol", metavar="SPEC")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=int, help="training questions, for a look")
    parser.add_argument("--test-limit", type=int, default=360)
    parser.add_argument("--rates", type=float, nargs="+", default=[5e-5, 1e-4, 2e-4], help="of grpo")
    parser.add_argument("--steps", type=int, default=10, help="of grpo")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    runs = Runs(options.data.absolute(), options.out.absolute(), options.student)
    split = f"file:{runs.data / 'word_problems/train.jsonl.gz'},test=0.2"
    few = {"test_limit": options.test_limit, **({"limit": options.limit} if options.limit else {})}
    wide = [split, f"file:{runs.data / 'word_problems/test.jsonl.gz'},name=test", "multiarith", "obqa"]
    best = {"instruct": INSTRUCT[BEST]}
    if options.part == "search":
        search(runs, split, few)
    elif options.part == "rates":
        for rate in options.rates:
            explored(runs, f"rate-{rate:g}", rate, options.steps, split, [split], seed=100, **few)
        # What the other part starts from is made meanwhile.
        for seed in range(options.seeds):
            runs.start(f"instructed-{seed}", best, split, wide, methods=["instruct"], seed=seed, **few)
    else:
        for seed in range(options.seeds):
            explored(runs, f"grpo-{seed}", options.rates[0], options.steps, split, wide, seed=seed, **few)
            runs.start(f"control-{seed}", best, split, wide, strategy="sft-chosen", seed=seed, **few)
    runs.wait()
    if options.part == "grpo":
        paired(options.out, options.seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
