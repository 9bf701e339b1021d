"""`sitkit judge` on a real run, by a judge that is installed as a plugin: nothing lost, nothing asked twice."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import ArtifactError
from sitkit.results.files import load_results
from sitkit.results.judgements import load_judgements, read_judgement, write_judgement
from tests import installed
from tests.installed import register
from tests.installed import sitkit_here as sitkit

TESTS = Path(__file__).parents[1]
PARTS = ["--teacher", "speller", "--student", "counter", "--strategy", "spelled-first", "--train-on", "letters"]
PROMPTS = 28
"""The example's student guesses the same for all 14 words, or spells one of them out: 28 different answers."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example plugin and the judge, each a distribution."""
    found = tmp_path_factory.mktemp("site")
    shutil.copytree(TESTS / "example_plugin" / "src" / "sitkit_example", found / "sitkit_example")
    shutil.copy(TESTS / "judge_plugin.py", found / "judge_plugin.py")
    register(found, "sitkit-example", ["sitkit_example"])
    register(found, "rule-judge", ["judge_plugin"])
    return found


@pytest.fixture(scope="module")
def finished(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a run of the example's parts."""
    workspace = tmp_path_factory.mktemp("finished") / "w"
    done = sitkit("run", *PARTS, "--eval-teacher", "--workspace", str(workspace), "--name", "r", path=site)
    assert done.returncode == 0, done.stderr
    return workspace


class Judging:
    """A copy of the finished run, and a judge of its own."""

    def __init__(self, site: Path, finished: Path, folder: Path) -> None:
        self.site, self.workspace, self.notes = site, folder / "w", folder / "notes"
        shutil.copytree(finished, self.workspace)
        self.notes.mkdir()

    def arguments(self, *more: str, options: str = "") -> list[str]:
        spec = f"rule:{self.notes}{options}"
        return ["judge", "r", "--judge", spec, "--prompting", "both", "--workspace", str(self.workspace), *more]

    def __call__(self, *more: str, options: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        done = sitkit(*self.arguments(*more, options=options), path=self.site)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def asked(self) -> list[str]:
        path = self.notes / "asked"
        return path.read_text(encoding="utf-8").split() if path.exists() else []

    def answered(self) -> int:
        (path,) = (self.workspace / "journals").glob("judge-*.jsonl")
        return len(path.read_bytes().splitlines())

    def files(self) -> dict[str, bytes]:
        return {path.suffix: path.read_bytes() for path in (self.workspace / "runs/r/judgements").iterdir()}

    def judgement(self) -> Any:
        return json.loads(self.files()[".json"])


@pytest.fixture
def judging(site: Path, finished: Path, tmp_path: Path) -> Judging:
    return Judging(site, finished, tmp_path)


def _means(judgement: Any, prompting: str = "cot") -> dict[str, float]:
    rows = [row for row in judgement["ratings"] if row["prompting"] == prompting and row["benchmark"] is None]
    return {row["phase"]: row["mean"] for row in rows}


def test_every_phase_is_rated_and_compared_and_each_answer_asked_for_once(judging: Judging) -> None:
    shown = judging().stdout
    assert len(judging.asked()) == len(set(judging.asked())) == PROMPTS
    judgement = judging.judgement()
    # Worked answers are 3, others 1: none of 14 at first, then the words of up to 5 letters (8 of them), then all.
    assert _means(judgement) == {"baseline": 1.0, "instruct": pytest.approx(1 + 2 * 8 / 14), "refine": 3.0}
    assert _means(judgement, "direct") == {"baseline": 1.0, "instruct": 1.0, "refine": 1.0}
    changes = {(row["before"], row["after"], row["prompting"], row["benchmark"]): row for row in judgement["changes"]}
    change = changes["instruct", "refine", "cot", "letters"]
    assert (change["n"], change["difference"]) == (14, pytest.approx(2 * 6 / 14))
    assert change["low"] < change["difference"] < change["high"]
    assert judgement["usage"] == {"prompt_tokens": 100 * PROMPTS, "completion_tokens": 20 * PROMPTS, "cost": None}
    assert (judgement["calls"], judgement["outcomes"]) == (PROMPTS, {"answered": PROMPTS})
    items = [json.loads(line) for line in judging.files()[".jsonl"].splitlines()]
    assert len(items) == 3 * 2 * 14
    assert all("How many letters" in item["question"] and item["answer"] and item["reply"] for item in items)
    assert "3.00 ± 0.00" in shown
    assert "+0.86 ±" in shown


def test_the_same_command_again_asks_nothing_and_writes_the_same(judging: Judging) -> None:
    judging("--quiet")
    before = judging.files()
    again = judging("--quiet")
    assert len(judging.asked()) == PROMPTS
    assert judging.files() == before
    assert again.stdout.strip().endswith(".json")


def test_what_was_judged_under_another_recipe_is_not_told_of_this_run(judging: Judging) -> None:
    judging("--quiet")
    folder = judging.workspace / "runs" / "r"
    results = load_results(folder)
    (found,), problems = load_judgements(folder, results)
    assert (found.calls, problems) == (PROMPTS, [])
    assert load_judgements(folder, replace(results, cells=())) == ([], [])


def test_a_judgement_that_cannot_be_used_is_a_warning_in_the_report_and_no_more(judging: Judging) -> None:
    judging("--quiet")
    folder = judging.workspace / "runs" / "r"
    (folder / "judgements" / "half.json").write_text('{"judge": 1')
    done = installed.sitkit("report", "r", "--workspace", str(judging.workspace), path=judging.site)
    assert done.returncode == 0
    report = (folder / "report.md").read_text(encoding="utf-8")
    for text in (done.stderr, report, (folder / "report.html").read_text(encoding="utf-8")):
        assert "half.json cannot be read as judgements" in text
    assert f"Ratings by rule:{judging.notes}" in report


def test_ratings_that_are_not_those_of_the_items_are_not_shown(judging: Judging) -> None:
    judging("--quiet")
    (path,) = (judging.workspace / "runs" / "r" / "judgements").glob("*.json")
    judgement = read_judgement(path)
    first, *others = judgement.ratings
    write_judgement(path, replace(judgement, ratings=(replace(first, mean=2.5), *others)))
    with pytest.raises(ArtifactError, match="its ratings are not those of its items"):
        read_judgement(path)


def test_the_report_shows_what_the_judge_said(judging: Judging) -> None:
    folder = judging.workspace / "runs" / "r"
    title = f"Ratings by rule:{judging.notes}"
    assert title not in (folder / "report.md").read_text(encoding="utf-8")
    judging("--quiet")
    assert title in (folder / "report.md").read_text(encoding="utf-8")
    assert title in (folder / "report.html").read_text(encoding="utf-8")


def test_a_larger_sample_asks_for_what_is_new_only(judging: Judging) -> None:
    judging("--sample", "5", "--quiet")
    small = {(item["question_id"], item["phase"]) for item in map(json.loads, judging.files()[".jsonl"].splitlines())}
    assert len(small) == 5 * 3
    judging("--sample", "9", "--quiet")
    large = {(item["question_id"], item["phase"]) for item in map(json.loads, judging.files()[".jsonl"].splitlines())}
    assert small < large
    assert len(judging.asked()) == len(set(judging.asked())) == 9 * 2


@pytest.mark.slow
def test_killed_at_random_moments_it_goes_on_and_asks_nothing_answered_again(judging: Judging) -> None:
    (judging.notes / "slow").write_text("0.05")
    command = [sys.executable, "-m", "sitkit", *judging.arguments("--quiet")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(judging.site), os.environ.get("PYTHONPATH", "")])}
    draw, kills = random.Random(3), 4
    for _ in range(kills):
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        enough = len(judging.asked()) + draw.randint(1, 6)
        while len(judging.asked()) < enough:
            assert process.poll() is None
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.06))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert 0 < judging.answered() < PROMPTS
    (judging.notes / "slow").unlink()
    judging("--quiet")
    times = Counter(judging.asked())
    assert len(times) == PROMPTS
    # A kill may come between a question and its answer, and then that one question is asked again; no answered one is.
    assert sum(times.values()) - PROMPTS <= kills
    assert judging.answered() == PROMPTS
    killed = judging.files()
    shutil.rmtree(judging.workspace / "journals")
    judging("--quiet")
    assert judging.files() == killed


def test_failures_are_listed_counted_and_tried_again(judging: Judging) -> None:
    (judging.notes / "down").touch()
    said = judging("--max-failures", "0.5", "--quiet").stderr
    judgement = judging.judgement()
    failed = judgement["outcomes"]["time-out"]
    assert failed == sum(index % 3 == 1 for index in range(PROMPTS))
    assert f"{len(judgement['failures'])} of 84 answers have no reply of the judge (calls: {failed} time-out)" in said
    assert {(one["outcome"], one["detail"]) for one in judgement["failures"]} == {("time-out", "no reply in 1 s")}
    rows = [row for row in judgement["ratings"] if row["benchmark"] is None]
    assert sum(row["failed"] for row in rows) == len(judgement["failures"])
    assert all(row["n"] + row["failed"] == 14 for row in rows)
    (judging.notes / "down").unlink()
    assert "note:" not in judging("--quiet").stderr
    assert len(judging.asked()) == PROMPTS + failed
    assert judging.judgement()["failures"] == []
    # What the failed attempts used was used.
    assert judging.judgement()["usage"]["prompt_tokens"] == 100 * (PROMPTS + failed)


def test_a_judge_that_is_down_stops_the_command_and_what_it_said_before_is_kept(judging: Judging) -> None:
    judging("--sample", "4", "--quiet")
    (judging.notes / "dead").touch()
    stopped = judging("--quiet", code=2).stderr.splitlines()
    assert "replies failed" in stopped[-1]
    assert len(judging.asked()) < 4 * 2 + PROMPTS
    assert judging.judgement()["sample"] == 4
    (judging.notes / "dead").unlink()
    judging("--quiet")
    assert judging.judgement()["failures"] == []


def test_a_dry_run_tells_calls_tokens_and_money_and_touches_nothing(judging: Judging) -> None:
    before = sorted(judging.workspace.rglob("*"))
    shown = judging("--dry-run", "--max-new-tokens", "100", options=",price=0.5").stdout
    assert f"{PROMPTS} calls (0 of {PROMPTS} different prompts have a reply already)" in shown
    assert "about 2,800 tokens in and at most 2,800 out, at most $14.00" in shown
    assert sorted(judging.workspace.rglob("*")) == before
    assert judging.asked() == []
    judging("--sample", "4", "--quiet")
    estimate = json.loads(judging("--dry-run", "--json").stdout)
    assert (estimate["replied"], estimate["calls"], estimate["remote"]) == (8, PROMPTS - 8, False)


def test_money_is_watched_over_several_commands(judging: Judging) -> None:
    first = judging("--max-cost", "5", "--quiet", options=",price=0.5", code=2).stderr
    assert "--max-cost" in first.splitlines()[-1]
    assert judging.answered() == 10
    judging("--max-cost", "5", "--quiet", options=",price=0.5", code=2)
    assert judging.answered() == 10
    judging("--max-cost", "14", "--quiet", options=",price=0.5")
    assert judging.judgement()["usage"]["cost"] == pytest.approx(14)


def test_two_judges_of_a_run_lie_side_by_side(judging: Judging) -> None:
    judging("--quiet")
    judging("--quiet", options=",price=0")
    names = sorted(path.name for path in (judging.workspace / "runs/r/judgements").glob("*.json"))
    assert len(names) == 2
    shown = json.loads(judging("--json", "--phase", "refine", "--phase", "baseline").stdout)
    assert shown["phases"] == ["baseline", "refine"]
    assert {(row["before"], row["after"]) for row in shown["changes"]} == {("baseline", "refine")}


def test_the_teacher_and_the_targets_are_rated_on_the_same_questions(judging: Judging) -> None:
    phases = [argument for one in ("refine", "teacher", "target") for argument in ("--phase", one)]
    judging(*phases, "--sample", "5", "--quiet")
    judgement = judging.judgement()
    # The teacher spells every word out, as the refined student does; a target is the number alone.
    assert _means(judgement) == {"refine": 3.0, "teacher": 3.0}
    assert _means(judgement, "direct") == {"refine": 1.0, "teacher": 3.0, "target": 1.0}
    items = [json.loads(line) for line in judging.files()[".jsonl"].splitlines()]
    asked = {phase: {one["question_id"] for one in items if one["phase"] == phase} for phase in judgement["phases"]}
    assert len(asked["target"]) == 5
    assert asked["refine"] == asked["teacher"] == asked["target"]
    assert judgement["changes"] == []


def test_a_run_without_the_teachers_answers_says_how_to_get_them(judging: Judging) -> None:
    again = sitkit("run", *PARTS, "--workspace", str(judging.workspace), "--name", "r2", path=judging.site)
    assert again.returncode == 0, again.stderr
    command = ["judge", "r2", *judging.arguments("--phase", "teacher")[2:]]
    refused = sitkit(*command, path=judging.site)
    assert refused.returncode == 2
    assert "--eval-teacher`" in refused.stderr.splitlines()[-1]


def test_a_copied_run_is_judged_by_its_folder(judging: Judging, tmp_path: Path) -> None:
    done = sitkit(
        "judge", str(judging.workspace / "runs" / "r"), "--judge", f"rule:{judging.notes}", "--quiet",
        "--workspace", str(tmp_path / "other"), path=judging.site,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "other").exists()
    assert _means(judging.judgement())["refine"] == 3.0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--judge", "speller"], "speller cannot judge"),
        (["--judge", "rulle"], "did you mean 'rule'"),
        (["--run-seed", "3"], "has no seed 3 (its seeds: 0)"),
        (["--eval-on", "lettters"], "did you mean 'letters'"),
        (["--max-cost", "5"], "does not say what it costs"),
        (["--sample", "0"], "expected a whole number of at least 1, got '0'"),
        (["--phase", "instrct"], "'instrct'"),
        (["--max-failures", "2"], "expected a number between 0 and 1, got '2'"),
    ],
)
def test_bad_input_is_one_line(judging: Judging, more: list[str], said: str) -> None:
    assert said in judging(*more, code=2).stderr.splitlines()[-1]
    assert judging.asked() == []


def test_an_unknown_run_is_one_line(judging: Judging) -> None:
    done = sitkit("judge", "rr", "--judge", "rule:x", "--workspace", str(judging.workspace), path=judging.site)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("sitkit: no run is called 'rr'")


@pytest.mark.slow
def test_answers_that_are_gone_or_damaged_say_how_to_make_them_again(judging: Judging) -> None:
    (first, *_) = sorted((judging.workspace / "store" / "evaluate").iterdir())
    (first / "predictions.jsonl").write_text("{}\n")
    damaged = judging(code=2).stderr
    assert "is damaged" in damaged
    assert "sitkit run --config" in damaged
    shutil.rmtree(judging.workspace / "store" / "evaluate")
    gone = judging(code=2).stderr
    assert "no longer stored" in gone
    command = gone.partition("`sitkit ")[2].partition("`")[0].split()
    assert sitkit(*command, "--quiet", path=judging.site).returncode == 0
    judging("--quiet")


def test_results_of_another_version_that_the_store_cannot_replace_say_what_to_do(judging: Judging) -> None:
    path = judging.workspace / "runs" / "r" / "results.json"
    path.write_text(path.read_text().replace('"schema": ', '"schema": 9', 1))
    shutil.rmtree(judging.workspace / "store" / "evaluate")
    said = judging(code=2).stderr.splitlines()[-1]
    assert "another version of sitkit wrote it" in said
    assert "sitkit run --config" in said


def test_questions_that_changed_since_are_not_judged(judging: Judging, tmp_path: Path) -> None:
    changed = tmp_path / "site"
    shutil.copytree(judging.site, changed)
    benchmark = changed / "sitkit_example" / "benchmark.py"
    benchmark.write_text(benchmark.read_text().replace("hat oak", "hut oak"))
    judging.site = changed
    assert "not the data that was scored" in judging(code=2).stderr
    assert judging.asked() == []
