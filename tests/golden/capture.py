"""What a run says, as plain numbers, whatever the shape of its files: ``python -m tests.golden.capture`` writes them.

The files beside this one were captured before results became typed, and put into the shape below. They change only
where a decision says so.
"""

from __future__ import annotations

import html
import json
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

COMMON = ["--student", "dice", "--limit", "16", "--test-limit", "12", "--eval-teacher"]
COMMANDS: Mapping[str, list[str]] = {
    "run": ["run", "--train-on", "tiny_chain,tiny_cups", "--eval-on", "tiny_chain,tiny_cups,tiny_shop", *COMMON],
    "seeds": ["run", "--train-on", "tiny_chain", "--eval-on", "tiny_chain,tiny_shop", "--seeds", "2", *COMMON],
    "matrix": ["matrix", "--tasks", "tiny_chain,tiny_cups", "--student", "dice:two", "--seeds", "2", *COMMON],
    "lowresource": ["lowresource", "--train-on", "tiny_chain", "--eval-on", "tiny_chain", "--fraction", "0.5",
                    "--fraction", "1", *COMMON],
}  # fmt: skip


def captured(folder: Path) -> dict[str, Any]:
    """Return scores, arms, stages, pairs, the teacher's accuracy, and the numbers of report.md and report.html."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return {
        "scores": sorted(
            [*(cell[name] for name in CELL), *(score[name] for name in SCORE), cell["transfer"]]
            for cell in results["cells"]
            for score in cell["seeds"]
        ),
        "arms": sorted(
            [*(arm[name] for name in ARM), *(lesson[name] for name in LESSON)]
            for arm in results["arms"]
            for lesson in arm["lessons"]
        ),
        "stages": [[row["stage"], row["label"], row["key"]] for row in results["stages"]],
        "pairs": [{**{name: row[name] for name in PAIRS}, **row["chosen_from"]} for row in results["pairs"]],
        "teachers": [[row["teacher"], row["benchmark"], row["split"], row["prompting"], row["value"], row["n"]]
                     for row in results["teacher_scores"]],
        "tables": tables((folder / "report.md").read_text(encoding="utf-8")),
        "page": page((folder / "report.html").read_text(encoding="utf-8")),
    }  # fmt: skip


CELL = ("student", "phase", "benchmark", "domain", "prompting")
SCORE = ("seed", "value", "stderr", "n", "unread", "worked", "worked_correct", "characters", "key")
ARM = ("student", "teacher", "strategy", "train_on", "refine_on", "fraction", "method")
LESSON = ("seed", "annotate", "instruct", "sample", "pair", "refine")
PAIRS = (
    "chosen_characters", "cot_correct", "direct_correct", "left_out", "questions", "rejected_characters",
    "rejected_correct", "total",
)  # fmt: skip


_NUMBER = re.compile(r"(?<![\w.-])[-+]?\d+(?:\.\d+)?(?![\w-])")


def tables(markdown: str) -> list[list[list[str]]]:
    """Return the numbers of each row of each table that holds accuracies or counts, not of times and files."""
    found: list[list[list[str]]] = []
    for block in re.split(r"^## ", markdown, flags=re.MULTILINE)[1:]:
        if block.startswith(("Stages", "Overlap with training", "To know first", "Read this first", "Repeat it")):
            continue
        rows = [line for line in block.splitlines() if line.startswith("| ")][1:]
        plain = [re.sub(r"store/\S+", "", row).replace("\N{MINUS SIGN}", "-") for row in rows]
        found.append([_NUMBER.findall(row) for row in plain])
    return found


def page(text: str) -> dict[str, list[list[str]]]:
    """Return section -> the numbers of each row of its tables; p-values and intervals among them."""
    found = {}
    for name in ("results", "matrix", "gains"):
        section = re.search(rf'<section[^>]*id="{name}".*?</section>', text, re.DOTALL)
        rows = re.findall(r"<tr.*?</tr>", section[0], re.DOTALL) if section else []
        cells = [re.findall(r"<td.*?</td>", row, re.DOTALL) for row in rows]
        plain = [[html.unescape(re.sub(r"<[^>]*>", " ", cell)) for cell in row] for row in cells]
        numbers = [_NUMBER.findall(" ".join(row).replace("\N{MINUS SIGN}", "-")) for row in plain if row]
        found[name] = numbers
    return found


def run_all(workspace: Path) -> dict[str, dict[str, Any]]:
    """Run every command in one workspace and return what each says."""
    from sitkit.cli.main import Program
    from tests.golden.dice import registry

    found = {}
    for name, command in COMMANDS.items():
        arguments = [*command, "--name", name, "--workspace", str(workspace), "--quiet"]
        try:
            Program(registry()).main(arguments)
        except SystemExit as stop:
            if stop.code:
                raise
        found[name] = captured(workspace / "runs" / name)
    return found


def default_plan() -> list[list[str]]:
    """Return stage, label and key of every stage of the default run and of one on real benchmarks' names."""
    from sitkit.plan import build_plan
    from sitkit.recipe import Recipe
    from sitkit.registry import load_plugins

    plan = build_plan(Recipe(), load_plugins())
    return [[one.stage.name, one.stage.label(), one.key] for one in plan.nodes]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = run_all(Path(folder))
    for title, content in {**made, "default_plan": default_plan()}.items():
        (HERE / f"{title}.json").write_text(json.dumps(content, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.stdout.write("written\n")
