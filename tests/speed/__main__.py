"""``python -m tests.speed``: measure, print the table, and write it with machine, versions and command."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sitkit_hf.options import has_cuda
from tests.speed.machine import described
from tests.speed.measure import CPU_CLOCK, Options, Row, tell
from tests.speed.table import table
from tests.speed.work import EMBEDDED, LLAMA, SEVEN, SHAPES, SMOL

LINES = {
    "default-run": "the whole default run against a chain of stock scripts, one process each",
    "sampling": "both answers to training questions against lm-eval's hf model",
    "evaluation": "one model on several tasks against lm-eval's hf model, same scores",
    "instruct": "instruction-tuning against stock SFTTrainer, same loss curve",
    "refine": "preference optimisation against stock DPOTrainer, same loss curve",
    "online": "grpo and gkd against TRL's trainers, which write answers by generate",
    "memory": "peak memory of preference optimisation from an adapter",
    "rerun": "a finished run again",
    "help": "sitkit --help and sitkit run --help against lm_eval --help and trl dpo --help",
    "matrix": "a 4 x 4 matrix against its cells one by one",
    "planning": "planning 10,000 stages, and one more task in a matrix",
    "answers": "reading answers out of text",
    "calls": "calls to an endpoint against concurrency / latency",
}
ON_A_GPU = ("sampling", "instruct", "refine", "memory")
"""The lines that can be measured on a GPU; the others stay on the CPU, where the embedded student is at home."""


def main() -> int:
    """Measure the lines asked for, each in a process of its own."""
    options = _parser().parse_args()
    if options.show:
        kept = json.loads(options.show.read_text(encoding="utf-8"))["rows"]
        fields = {field.name for field in dataclasses.fields(Row)}
        sys.stdout.write(table([Row(**{key: row[key] for key in fields}) for row in kept]) + "\n")
        return 0
    if options.inner:
        return _inner(options)
    chosen = options.only or list(ON_A_GPU if options.device == "cuda" else LINES)
    if options.device == "cuda" and (others := [line for line in chosen if line not in ON_A_GPU]):
        raise SystemExit(f"{', '.join(others)}: measured on the CPU alone; --device cuda is for {', '.join(ON_A_GPU)}")
    if options.device == "cuda" and (options.cpu or EMBEDDED in (options.work or [])):
        raise SystemExit(f"--device cuda: not with --cpu, and not for {EMBEDDED}")
    if options.device == "cuda" and not has_cuda():
        raise SystemExit("--device cuda: no CUDA device is available here")
    machine = described(options.threads)
    rows, failed = list[dict[str, Any]](), list[str]()
    for line in chosen:
        tell(f"{line}: {LINES[line]}")
        try:
            rows += _measured(line, options)
        except RuntimeError as error:
            failed.append(line)
            tell(f"{line} failed: {error}")
        sys.stdout.write("\n" + table([Row(**row) for row in rows]) + "\n")
        sys.stdout.flush()
        if options.out:
            _write(options.out, rows, machine)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.speed",
        description="Measure sitkit beside its peers.",
        epilog="docs/speed.md has results.",
    )
    parser.add_argument("--only", action="append", choices=LINES, metavar="LINE", help=f"one of {', '.join(LINES)}")
    parser.add_argument(
        "--work",
        action="append",
        choices=[EMBEDDED, *SHAPES, SMOL],
        metavar="WORK",
        help=f"{EMBEDDED}, {', '.join(SHAPES)}, {SMOL}, where a line has several (default: {EMBEDDED}, {LLAMA} and,"
        f" where it is installed, {SMOL}; on cuda {SEVEN})",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where models run (default cpu)")
    parser.add_argument("--pairs", type=int, default=3, help="pairs of runs a line (default 3)")
    parser.add_argument("--quick", action="store_true", help="less work, for a look")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch, for both sides (default 1)")
    parser.add_argument("--cpu", action="store_true", help="count CPU seconds, for a look at a busy machine")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with gsm8k/train.jsonl.gz")
    parser.add_argument("--out", type=Path, help="write the rows as JSON, into what is there already by line and work")
    parser.add_argument("--show", type=Path, metavar="FILE", help="print the table of rows written before, and stop")
    parser.add_argument("--inner", nargs=2, metavar=("LINE", "FILE"), help=argparse.SUPPRESS)
    return parser


def _measured(line: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="sitkit-bench-") as folder:
        result = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "tests.speed", "--inner", line, str(result)]
        command += ["--pairs", str(options.pairs), "--threads", str(options.threads), "--data", str(options.data)]
        command += ["--device", options.device, *(["--quick"] if options.quick else [])]
        for work in options.work or []:
            command += ["--work", work]
        done = subprocess.run(command, env=_environment(options, Path(folder)), check=False)
        if done.returncode:
            raise RuntimeError(f"exit code {done.returncode}")
        rows: list[dict[str, Any]] = json.loads(result.read_text(encoding="utf-8"))
        return rows


def _environment(options: argparse.Namespace, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(options.threads),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "LM_HARNESS_CACHE_PATH": str(folder / "lm-eval"),
        "HF_DATASETS_CACHE": str(folder / "datasets"),
        "LMEVAL_LOG_LEVEL": "ERROR",
        CPU_CLOCK: "1" if options.cpu else "",
        # Whatever takes a GPU by itself must not have one that its peer is kept from.
        **({"CUDA_VISIBLE_DEVICES": ""} if options.device == "cpu" else {}),
    }


def _inner(options: argparse.Namespace) -> int:
    line, result = options.inner[0], Path(options.inner[1])
    module = importlib.import_module(f"tests.speed.lines.{line.replace('-', '_')}")
    data = options.data if (options.data / "gsm8k" / "train.jsonl.gz").is_file() else None
    asked = Options(
        pairs=options.pairs,
        quick=options.quick,
        threads=options.threads,
        folder=result.parent.absolute(),
        data=data,
        works=tuple(options.work or ((SEVEN,) if options.device == "cuda" else _usual())),
        device=options.device,
    )
    rows: list[Row] = module.measure(asked)
    result.write_text(json.dumps([dataclasses.asdict(row) for row in rows]), encoding="utf-8")
    return 0


def _usual() -> tuple[str, ...]:
    from sitkit_smol.source import installed

    return (EMBEDDED, LLAMA, *((SMOL,) if installed() else ()))


def _write(path: Path, rows: list[dict[str, Any]], machine: dict[str, Any]) -> None:
    kept: dict[str, Any] = {}
    if path.is_file():
        kept = {_key(one): one for one in json.loads(path.read_text(encoding="utf-8"))["rows"]}
    command = "python -m tests.speed " + " ".join(sys.argv[1:])
    for row in rows:
        made = Row(**row)
        told = {"ratio": made.ratio, "share_of_floor": made.share, "reached": made.reached}
        kept[_key(row)] = {**row, **told, "command": command, "machine": machine}
    order = list(LINES)
    # The order of works within a line is that in which they were measured first.
    every = sorted(kept.values(), key=lambda one: order.index(one["line"]))
    path.write_text(json.dumps({"rows": every}, indent=1) + "\n", encoding="utf-8")


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return row["line"], row["work"]


if __name__ == "__main__":
    sys.exit(main())
