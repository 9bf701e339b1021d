"""What a run says in lines: a line every so often of a stage, and run.log in its folder."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from sitkit.api import run
from sitkit.errors import RecipeError
from sitkit.execution import executors
from sitkit.execution.event_lines import RUN_LOG, EventLines, duration_text, run_log
from sitkit.execution.events import Event, Notice, StageFinished, StageProgress, StageStarted
from sitkit.providers import Provider
from sitkit.registry import Registry, build_registry
from sitkit.types import StageInfo
from sitkit.workspace.runs import list_runs
from tests.installed import sitkit_here

INSTRUCT, SAMPLE = (StageInfo(name, "seed 0", name, Path()) for name in ("instruct", "sample"))
EVERY = 0.12
PARTS = {"teacher": "speller", "student": "counter", "strategy": "spelled-first", "train_on": ["letters"]}


def until(lines: list[str], pattern: str) -> str:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = [line for line in list(lines) if re.search(pattern, line)]
        if found:
            return found[-1]
        time.sleep(0.01)
    raise AssertionError(f"{pattern} is not in {lines}")


def test_a_stage_says_now_and_then_how_far_it_is() -> None:
    lines: list[str] = []
    with EventLines(lines.append, every=EVERY) as heard:
        heard(StageStarted(INSTRUCT, 9, 21, after=7200.0, unknown=1))
        assert re.match(r"\d\d:\d\d:\d\d     loading$", until(lines, "loading"))
        heard(StageProgress(INSTRUCT, 100, 400))
        time.sleep(0.05)
        heard(StageProgress(INSTRUCT, 120, 400, loss=0.51234))
        found = until(lines, "120/400")
        assert re.match(
            r"\d\d:\d\d:\d\d     120/400, \d+\.\d/s, loss 0.512, \d+ s left, at least 2 h 0 min of the run$", found
        ), found
        heard(StageStarted(SAMPLE, 10, 21))
        until(lines, "sample seed 0: loading")
        heard(StageFinished(SAMPLE, 1.0, False, {}))
        heard(StageFinished(INSTRUCT, 2.0, False, {}))
        count = len(lines)
        time.sleep(2 * EVERY)
        assert len(lines) == count
    assert lines[0] == "[9/21] instruct seed 0"
    assert lines[-2:] == ["    done in 1.0 s", "    instruct seed 0 done in 2.0 s"]


def test_what_is_under_way_counts_in_the_time_left() -> None:
    lines: list[str] = []
    with EventLines(lines.append, every=EVERY) as heard:
        heard(StageStarted(SAMPLE, 1, 1))
        heard(StageProgress(SAMPLE, 0, 4))
        # Nothing has ended, and half of all is written: as long again.
        heard(StageProgress(SAMPLE, 0, 4, part=2.0))
        assert re.search(r" 0/4, (\d+\.\d/s|\d+\.\d s each), \d+ s left$", until(lines, "0/4, "))


def test_a_stage_in_parts_is_timed_by_the_part_under_way() -> None:
    lines: list[str] = []
    with EventLines(lines.append, every=EVERY) as heard:
        heard(StageStarted(INSTRUCT, 1, 1))
        # Answers that were found in a journal, then a training.
        heard(StageProgress(INSTRUCT, 40, 40))
        heard(StageProgress(INSTRUCT, 0, 400))
        time.sleep(0.05)
        heard(StageProgress(INSTRUCT, 20, 400))
        assert re.search(r"20/400, \d+\.\d/s, \d+ s left$", until(lines, "20/400"))


def test_a_slow_stage_says_seconds_for_each() -> None:
    lines: list[str] = []
    with EventLines(lines.append, every=0.3) as heard:
        heard(StageStarted(INSTRUCT, 1, 1))
        heard(StageProgress(INSTRUCT, 0, 4))
        time.sleep(1.1)
        heard(StageProgress(INSTRUCT, 1, 4))
        assert re.search(r"1/4, \d\.\d s each, \d s left$", until(lines, "1/4"))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.6, "1 min 0 s"), (725, "12 min 5 s"), (12_000, "3 h 20 min")]
)
def test_durations_are_in_words(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_the_log_of_a_run_is_stamped_and_says_how_it_ended(tmp_path: Path) -> None:
    heard: list[Event] = []

    def stopped() -> None:
        with run_log(tmp_path, "try", heard.append) as listener:
            listener(StageStarted(INSTRUCT, 1, 2))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    with run_log(tmp_path, "try", heard.append) as listener:
        listener(Notice("a\x1b]0;b"))
    lines = (tmp_path / RUN_LOG).read_text(encoding="utf-8").splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in lines)
    said = [line[20:] for line in lines]
    assert said == ["try", "[1/2] instruct seed 0", "stopped: KeyboardInterrupt", "try", "note: a‹U+001B›]0;b", "done"]
    assert len(heard) == 2


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    with run_log(tmp_path / "gone", "try", lambda event: None) as listener:
        listener(Notice("hello"))


def test_a_run_leaves_its_log_beside_its_results(example: Registry, tmp_path: Path) -> None:
    example.manager.register(executors, name="ours")
    registry = build_registry(example.manager, {**example.providers, "ours": Provider("sitkit", "0")})
    keep = {"workspace": tmp_path, "registry": registry, "limit": 4, "test_limit": 2}
    found = run(PARTS, name="try", **keep)
    lines = (found.folder / RUN_LOG).read_text(encoding="utf-8").splitlines()
    assert lines[0][20:].startswith("sitkit ")
    assert lines[-1][20:] == "done"
    assert sum("] instruct " in line for line in lines) == 1
    # The same recipe may take its name again, another one has to say so.
    run(PARTS, name="try", **keep)
    with pytest.raises(RecipeError, match=r"the finished run try has another recipe \(limit: 4, now 5\); choose"):
        run(PARTS, name="try", **{**keep, "limit": 5})
    assert run(PARTS, name="try", replace=True, **{**keep, "limit": 5}).recipe["limit"] == 5


def test_a_run_that_was_interrupted_is_listed_with_how_far_it_came(example: Registry, tmp_path: Path) -> None:
    example.manager.register(executors, name="ours")
    registry = build_registry(example.manager, {**example.providers, "ours": Provider("sitkit", "0")})

    def stopping(event: Event) -> None:
        if isinstance(event, StageStarted) and event.stage.stage == "instruct":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(PARTS, workspace=tmp_path, name="cut", registry=registry, limit=4, test_limit=2, progress=stopping)
    (entry,) = list_runs(tmp_path)
    assert entry.reached is not None
    index, total = entry.reached
    assert 1 < index < total
    assert (
        f"not finished: stage {index} of {total}"
        in sitkit_here("runs", "--workspace", str(tmp_path), path=tmp_path).stdout
    )
