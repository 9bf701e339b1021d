"""The matrix on the page: where each number stands, what is marked, and what is left blank."""

import re
from dataclasses import replace
from pathlib import Path

from sitkit.report.figures import figures
from sitkit.report.page import write_page
from sitkit.results.accuracy import summarised
from sitkit.results.model import Arm, Cell, Lesson, Results
from sitkit.results.rows import StoredRows
from sitkit.types import PROMPTINGS, Phase
from tests.report.synthetic import blank_cell, made_results
from tests.report.synthetic import score as scored

TASKS = {"sums": "math", "cups": "qa", "gifts": "qa"}


def _results() -> Results:
    cells: list[Cell] = []
    arms = []

    def score(phase: Phase, train: tuple[str, ...], refine: tuple[str, ...], benchmark: str, right: int) -> None:
        for prompting in PROMPTINGS:
            cell = blank_cell(phase=phase, train_on=train, refine_on=refine, benchmark=benchmark, prompting=prompting,
                              domain=TASKS[benchmark])  # fmt: skip
            cells.append(summarised(cell, [scored(0, f"{phase}{train}{refine}{benchmark}", right, 100)]))

    names = list(TASKS)
    for column in names:
        score("baseline", (), (), column, 5)
    for i, train in enumerate(names):
        for j, column in enumerate(names):
            score("instruct", (train,), (), column, 10 + 3 * i + j)
        for refine in names:
            arms.append(
                Arm(student="tiny", teacher="tiny", strategy="dpo-cot", train_on=(train,), refine_on=(refine,),
                    fraction=1.0, method="both", lessons=(Lesson(seed=0),))
            )  # fmt: skip
            for j, column in enumerate(names):
                score("refine", (train,), (refine,), column, (50 if refine == train else 70) + 3 * i + j)
    return made_results(arms, cells)


def _page(tmp_path: Path) -> str:
    return write_page(tmp_path, _results(), StoredRows(tmp_path)).read_text(encoding="utf-8")


def _map(page: str, title: str) -> list[list[str]]:
    found = re.search(rf"<caption>{re.escape(title)}</caption>.*?</table>", page, re.DOTALL)
    assert found is not None
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", found[0], re.DOTALL)
    return [re.findall(r"<td[^>]*>(?:<a[^>]*>([^<]*))?", row) for row in rows[1:]]


def test_each_map_has_its_own_numbers_in_their_places(tmp_path: Path) -> None:
    page = _page(tmp_path)
    instructed = _map(page, "Instructed")
    assert instructed[0] == ["10.0", "11.0", "12.0"]
    assert instructed[2] == ["16.0", "17.0", "18.0"]
    assert instructed[3] == ["5.0", "5.0", "5.0"]
    assert _map(page, "Self-refined")[1] == ["53.0", "54.0", "55.0"]
    # Instructed on the row's task, refined and tested on the column's; the diagonal is no cross.
    assert _map(page, "Cross self-refined") == [["", "71.0", "72.0"], ["73.0", "", "75.0"], ["76.0", "77.0", ""]]
    assert _map(page, "Self-refined minus instructed, in points")[0] == ["+40.0"] * 3
    assert _map(page, "Cross minus self-refined, in points")[0] == ["", "+20.0", "+20.0"]


def test_diagonal_and_domains_are_marked(tmp_path: Path) -> None:
    page = _page(tmp_path)
    refined = re.search(r"<caption>Self-refined</caption>.*?</table>", page, re.DOTALL)
    assert refined is not None
    kinds = [re.findall(r'<td class="heat up ([a-z-]+)', row) for row in refined[0].split("<tr")[2:]]
    assert kinds[0] == ["trained", "out-of-domain", "out-of-domain"]
    assert kinds[1] == ["out-of-domain", "trained", "in-domain"]
    # A line parts math from qa, before the second column and above the second row.
    assert re.search(r'<tr class="parted"><th scope="row">cups', refined[0])
    assert re.search(r'<th scope="col" class="parted">cups', refined[0])


def test_answers_that_are_gone_are_named_and_the_figures_are_drawn_all_the_same(tmp_path: Path) -> None:
    page = _page(tmp_path)
    assert "it is not there any more" in page
    names = ["matrix-0-cross-self-refined", "matrix-0-instructed", "matrix-0-self-refined"]
    assert sorted(path.stem for path in (tmp_path / "figures").glob("matrix-*.svg")) == names
    made = figures(_results(), StoredRows(tmp_path))
    assert sorted(name for name in made if name.startswith("matrix-")) == names


def test_a_link_names_the_arm_whatever_other_arms_there_are(tmp_path: Path) -> None:
    results = _results()
    last = results.arms[-1]
    alone = replace(results, arms=(last,), cells=tuple(results.cells_of(last)))
    links = [
        set(
            re.findall(
                r'href="(#answers\?[^"]+phase=refine)"', write_page(tmp_path, made, StoredRows(tmp_path)).read_text()
            )
        )
        for made in (results, alone)
    ]
    assert links[1]
    assert links[1] < links[0]
