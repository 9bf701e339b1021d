"""``python -m tests.speed``: its lines run, its table says what was measured. What they measure is for no test."""

from __future__ import annotations

import dataclasses
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.speed import work as works
from tests.speed.__main__ import LINES
from tests.speed.measure import Row, in_turn
from tests.speed.peers import BATCHES, fastest
from tests.speed.table import table
from tests.speed.training import furthest, instruct, instruct_settings, refine, refine_settings, stock_dpo, stock_sft
from tests.speed.work import Work, embedded

ROOT = Path(__file__).parents[1]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program."""
    command = [sys.executable, "-m", "tests.speed", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_ratio_says_how_many_times_better_whichever_way_the_unit_points() -> None:
    seconds = Row("one", "work", "s", sitkit=2.0, peer=6.0, goal=3.0, floor=1.0)
    rate = Row("two", "work", "tokens/s", sitkit=60.0, peer=40.0, goal=2.0, floor=80.0, higher=True)
    assert (seconds.ratio, seconds.share, seconds.reached) == (3.0, 0.5, True)
    assert (rate.ratio, rate.share, rate.reached) == (1.5, 0.75, False)
    assert "2x (not reached)" in table([rate])
    assert "not reached" not in table([seconds])


def test_a_line_without_a_peer_is_judged_by_its_limit() -> None:
    assert Row("one", "work", "s", sitkit=0.6, limit=0.5).reached is False
    assert Row("one", "work", "texts/s", sitkit=0.6, limit=0.5, higher=True).reached is True


def test_sides_take_turns_and_the_order_is_turned_round() -> None:
    order: list[str] = []
    taken = in_turn(2, {"a": lambda: order.append("a"), "b": lambda: order.append("b") or 7.0})
    assert order == ["a", "b", "b", "a"]
    assert taken["b"] == [7.0, 7.0]


@pytest.mark.parametrize(
    ("rates", "wanted"), [([1, 2, 3, 4, 5, 4, 3], 64), ([9, 8, 7, 6, 5, 4, 3], 4), ([1] * 5 + [2, 3], 256)]
)
def test_a_peer_gets_its_fastest_batch_size(rates: list[float], wanted: int) -> None:
    assert fastest(dict(zip(BATCHES, rates, strict=True)).__getitem__) == wanted


@pytest.mark.parametrize("line", LINES)
def test_every_line_has_its_module(line: str) -> None:
    assert callable(importlib.import_module(f"tests.speed.lines.{line.replace('-', '_')}").measure)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--only", "nothing"], "invalid choice"),
        (["--work", "nothing"], "invalid choice"),
        (["--device", "cuda", "--only", "help"], "measured on the CPU alone"),
        (["--device", "cuda", "--work", "embedded"], "not for embedded"),
    ],
)
def test_what_cannot_be_measured_is_one_line(arguments: list[str], told: str) -> None:
    done = bench(*arguments)
    assert done.returncode
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_rows_are_kept_with_machine_and_command_and_shown_again(tmp_path: Path) -> None:
    out = tmp_path / "speed.json"
    done = bench("--only", "answers", "--quick", "--pairs", "1", "--out", str(out))
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert len(rows) == 4
    assert rows[0]["machine"]["versions"]["torch"]
    assert rows[0]["command"].startswith("python -m tests.speed --only answers --quick")
    shown = bench("--show", str(out)).stdout
    assert shown.strip() == done.stdout.strip()
    again = bench("--only", "planning", "--quick", "--pairs", "1", "--out", str(out))
    assert again.returncode == 0, again.stderr
    assert [one["line"] for one in json.loads(out.read_text(encoding="utf-8"))["rows"]] == ["planning"] * 2 + [
        "answers"
    ] * 4


@pytest.mark.slow
@pytest.mark.parametrize("quantized", [False, True])
def test_both_sides_train_on_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quantized: bool) -> None:
    monkeypatch.setitem(
        works.SHAPES,
        "toy",
        {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4},
    )
    monkeypatch.setitem(works.VOCABULARY, "toy", 8192)
    work: Work = dataclasses.replace(works.llama(16, tmp_path, None, "toy"), quantized=quantized)
    student = work.student(trains=True)
    # In 16 bits the two ways round differently.
    near = 2e-2 if quantized else 1e-5
    taught = instruct_settings(8, 2, 4)
    ours = instruct(work, student, taught, tmp_path / "start")
    assert furthest(ours.losses, stock_sft(work, taught).losses) < near
    refined = refine_settings(8, 2, 4)
    ours = refine(work, student, tmp_path / "start", refined)
    assert furthest(ours.losses, stock_dpo(work, tmp_path / "start", refined).losses) < near


def test_the_embedded_work_has_a_worked_answer_to_every_question() -> None:
    work = embedded(4)
    assert len(work.demonstrations()) == 4
    assert len(work.prompts()) == 8
    assert all(one.chosen != one.rejected for one in work.pairs())
