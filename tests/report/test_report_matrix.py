"""The matrix on the page: where each number stands, what is marked, and what is left blank."""

import re
from pathlib import Path
from typing import Any

from sitkit.report.page import write_page

TASKS = {"sums": "math", "cups": "qa", "gifts": "qa"}


def _results() -> dict[str, Any]:
    base = {"student": "s", "teacher": "t", "strategy": "d", "fraction": 1.0, "seed": 0, "method": "both"}
    scores: list[dict[str, Any]] = []
    arms = []

    def score(phase: str, train: list[str], refine: list[str], benchmark: str, value: float) -> None:
        for prompting in ("direct", "cot"):
            scores.append({
                **base, "phase": phase, "train_on": train, "refine_on": refine, "benchmark": benchmark,
                "domain": TASKS[benchmark], "prompting": prompting, "metric": "accuracy", "value": value,
                "stderr": 0.01, "n": 100, "extraction_failures": 0, "transfer": "trained", "worked": 0,
                "worked_correct": 0,
            })  # fmt: skip

    names = list(TASKS)
    for column in names:
        score("baseline", [], [], column, 0.05)
    for i, train in enumerate(names):
        for j, column in enumerate(names):
            score("instruct", [train], [], column, 0.1 + 0.01 * (3 * i + j))
        for refine in names:
            arms.append(
                {**base, "train_on": [train], "refine_on": [refine], "annotate": [], "sample": [], "pair": None}
            )
            for j, column in enumerate(names):
                value = 0.5 + 0.01 * (3 * i + j) if refine == train else 0.7 + 0.01 * (3 * i + j)
                score("refine", [train], [refine], column, value)
    recipe = {"data_dir": None, "seeds": [0], "train_on": names, "refine_on": names, "limit": None, "student": "s",
              "teacher": "t", "strategy": "d", "fraction": 1.0, "test_limit": None, "set": {}}  # fmt: skip
    return {"recipe": recipe, "versions": {"python": "3"}, "stages": [], "students": [], "arms": arms, "tasks": {},
            "demonstrations": [], "training": [], "scores": scores, "notices": [],
            "pairs": {"total": 0, "left_out_reasons": {}, "rejected_correct": 0, "by_arm": []}}  # fmt: skip


def _map(page: str, title: str) -> list[list[str]]:
    found = re.search(rf"<caption>{re.escape(title)}</caption>.*?</table>", page, re.DOTALL)
    assert found is not None
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", found[0], re.DOTALL)
    return [re.findall(r"<td[^>]*>(?:<a[^>]*>([^<]*))?", row) for row in rows[1:]]


def test_each_map_has_its_own_numbers_in_their_places(tmp_path: Path) -> None:
    page = write_page(tmp_path, _results(), tmp_path).read_text(encoding="utf-8")
    instructed = _map(page, "Instructed")
    assert instructed[0] == ["10.0", "11.0", "12.0"]
    assert instructed[2] == ["16.0", "17.0", "18.0"]
    assert instructed[3] == ["5.0", "5.0", "5.0"]
    assert _map(page, "Self-refined")[1] == ["53.0", "54.0", "55.0"]
    # Instructed on the row's task, refined and tested on the column's; the diagonal is no cross.
    assert _map(page, "Cross self-refined") == [["", "71.0", "72.0"], ["73.0", "", "75.0"], ["76.0", "77.0", ""]]
    assert _map(page, "Self-refined less instructed, in points")[0] == ["+40.0"] * 3
    assert _map(page, "Cross less self-refined, in points")[0] == ["", "+20.0", "+20.0"]


def test_diagonal_and_domains_are_marked(tmp_path: Path) -> None:
    page = write_page(tmp_path, _results(), tmp_path).read_text(encoding="utf-8")
    refined = re.search(r"<caption>Self-refined</caption>.*?</table>", page, re.DOTALL)
    assert refined is not None
    kinds = [re.findall(r'<td class="heat up (\S+)', row) for row in refined[0].split("<tr")[2:]]
    assert kinds[0] == ["trained", "out-of-domain", "out-of-domain"]
    assert kinds[1] == ["out-of-domain", "trained", "in-domain"]
    # A line parts math from qa, before the second column and above the second row.
    assert re.search(r'<tr class="parted"><th scope="row">cups', refined[0])
    assert re.search(r'<th scope="col" class="parted">cups', refined[0])


def test_results_without_artifacts_make_a_page_that_says_so(tmp_path: Path) -> None:
    page = write_page(tmp_path, _results(), tmp_path).read_text(encoding="utf-8")
    assert "name no stored answers" in page
    assert sorted(path.name for path in (tmp_path / "figures").glob("matrix-*.svg")) == [
        "matrix-0-cross-self-refined.svg", "matrix-0-instructed.svg", "matrix-0-self-refined.svg",
    ]  # fmt: skip
