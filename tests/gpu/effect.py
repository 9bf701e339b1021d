"""``python -m tests.gpu.effect PART DATA OUT --student SPEC``: the real student, several runs at a time on one card.

PART search looks for settings of instruction-tuning and refining, on questions held out of the training file. PART
contest makes every strategy with every seed, all at once, and beside them a student taught GSM8K's own solutions; then
`sitkit contest` over what they have made tells the paired differences. DATA has word_problems, MultiArith, gsm8k,
openbookqa and demonstrations, as ../shared/data has. Each run's results.json is copied to OUT as it ends, so that a
part that is cut short leaves what it has, and is gone on with by the same command.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

COMMON: dict[str, Any] = {
    "annotate": {"max_new_tokens": 256},
    "sample": {"temperature": 0.7, "max_new_tokens": 160},
    "evaluate": {"max_new_tokens": 160},
    "instruct": {"warmup": 0.05, "max_length": 512, "save_steps": 1000},
    "refine": {"warmup": 0.1, "max_length": 512, "save_steps": 1000, "max_steps": 0, "epochs": 1, "eval_steps": 20},
    "explore": {"prompts": 16, "samples": 8, "steps": 16, "max_new_tokens": 160, "save_steps": 1000},
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
BEST = "lr 1e-3, 4 epochs"
"""What the search found for instruction-tuning."""


class Runs:
    """Runs of sitkit in one workspace, several at a time."""

    def __init__(self, data: Path, out: Path, student: str) -> None:
        self.data, self.out, self.student = data, out, student
        self.started = time.monotonic()
        self.going: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, settings: Mapping[str, Any], command: str = "run", **rest: Any) -> None:
        """Start a run; ``settings`` by stage lie over the common ones, ``rest`` over the recipe."""
        recipe = {
            "teacher": f"file:{self.data / 'demonstrations/word_problems.text-davinci-002.jsonl'}",
            "student": self.student,
            "data_dir": str(self.data),
            "set": {stage: {**COMMON.get(stage, {}), **settings.get(stage, {})} for stage in {**COMMON, **settings}},
            **rest,
        }
        path = self.out / f"{name}.yaml"
        path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
        called = [sys.executable, "-m", "sitkit", command, "--config", str(path), "--name", name]
        log = (self.out / f"{name}.log").open("wb")
        environment = {**os.environ, "SITKIT_WORKSPACE": str(self.out / "workspace")}
        self.going[name] = subprocess.Popen(called, stdout=log, stderr=subprocess.STDOUT, env=environment)

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
    """Return every cell in a line."""
    return "; ".join(
        f"{one['strategy']} {one['phase']} {one['benchmark']} {one['prompting']}"
        f" {100 * one['value']:.1f} cut {100 * one['truncated']:.0f}%"
        for one in results["cells"]
    )


def search(runs: Runs, split: str, few: Mapping[str, Any]) -> None:
    """Look for the settings of instruction-tuning, then for those of dpo-cot behind the best."""
    where = {"train_on": [split], "eval_on": [split], "seed": 100, **few}
    for index, one in enumerate(INSTRUCT.values()):
        runs.start(f"instruct-{index}", {"instruct": one}, methods=["instruct"], **where)
    found = runs.wait()
    best = max(found, key=lambda name: accuracy(found[name], "instruct"))
    instruct = list(INSTRUCT.values())[int(best.rpartition("-")[2])]
    for index, one in enumerate(REFINE.values()):
        runs.start(f"refine-{index}", {"instruct": instruct, "refine": one}, **where)
    runs.wait()


def contest(runs: Runs, strategies: Sequence[str], seeds: int, gold: Mapping[str, Any], **where: Any) -> None:
    """Make every strategy with every seed and the student of GSM8K's solutions, then the table of them all."""
    settings = {"instruct": INSTRUCT[BEST]}
    for name in strategies:
        for seed in range(seeds):
            runs.start(f"{re.sub(r'[^A-Za-z0-9.-]+', '-', name)}-{seed}", settings, strategy=name, seed=seed, **where)
    if gold:
        taught = {"teacher": "gold", "methods": ["instruct"], "train_on": ["gsm8k"], "seed": 0}
        runs.start("gold", {"instruct": {**INSTRUCT[BEST], "epochs": 2}}, **{**where, **taught, **gold})
    runs.wait()
    runs.start("contest", settings, "contest", strategies=list(strategies), seeds=list(range(seeds)), **where)
    runs.wait()


def main() -> int:
    """Do one part."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.effect", description=(__doc__ or "").partition("\n")[2])
    parser.add_argument("part", choices=["search", "contest"])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--student", default="smol", metavar="SPEC")
    parser.add_argument(
        "--strategies", nargs="+", default=["sft-chosen", "dpo-cot", "dpo-answer", "grpo"], metavar="SPEC"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--eval-on", nargs="+", default=["multiarith", "gsm8k", "obqa"], help="beside word problems")
    parser.add_argument("--limit", type=int, help="training questions, for a look")
    parser.add_argument("--test-limit", type=int)
    parser.add_argument("--no-gold", action="store_true", help="leave out the student of GSM8K's solutions")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    runs = Runs(options.data.absolute(), options.out.absolute(), options.student)
    few = {name: value for name in ("limit", "test_limit") if (value := getattr(options, name)) is not None}
    train = f"file:{runs.data / 'word_problems/train.jsonl.gz'},test=0.2"
    if options.part == "search":
        search(runs, train, few)
        return 0
    test = f"file:{runs.data / 'word_problems/test.jsonl.gz'},name=test"
    gold = {} if options.no_gold else {"eval_on": [test, "multiarith", "gsm8k"]}
    where = {"train_on": [train], "eval_on": [train, test, *options.eval_on], **few}
    contest(runs, options.strategies, options.seeds, gold, **where)
    return 0


if __name__ == "__main__":
    sys.exit(main())
