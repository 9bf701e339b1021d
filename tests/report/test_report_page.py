"""report.html as a file: what is in it, that it is the same each time, and that it is not made in vain."""

import base64
import gzip
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.report.figures import figures
from sitkit.report.page import write_page
from sitkit.report.page.answers import LONGEST, Chunk, pack
from sitkit.report.tables import ReportSection, Table
from sitkit.results.files import load_results
from sitkit.results.model import Results, TeacherScore, encoded, sealed
from sitkit.results.rows import StoredRows
from tests.example_runs import example_registry, make_run
from tests.report.synthetic import invented, question_set, write_workspace

Run = tuple[Path, Results, StoredRows]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    workspace = tmp_path_factory.mktemp("workspace")
    asked = question_set("tiny_chain")
    trained = question_set("tiny_chain", "train").questions[:6]
    folder, results, stored = write_workspace(
        workspace, asked.questions[:12], asked=asked, trained=trained, seeds=(0, 1)
    )
    return folder, results, stored


def _chunks(page: str) -> dict[str, Any]:
    found = re.findall(r'<script type="application/gzip" data-chunk="([^"]+)">([^<]+)</script>', page)
    return {name: json.loads(gzip.decompress(base64.b64decode(packed))) for name, packed in found}


def test_every_accuracy_names_the_files_it_comes_from(run: Run) -> None:
    folder, results, stored = run
    page = write_page(folder, results, stored).read_text(encoding="utf-8")
    links = re.findall(r'<a href="#answers\?[^"]+" title="([^"]+)"', page)
    assert len(links) == 7
    for title in links:
        places = title.split("\n")
        assert len(places) == 2
        assert all((stored.workspace / place).is_file() for place in places)
    for cell in results.cells:
        for key in cell.keys:
            assert f"store/evaluate/{key[:20]}/predictions.jsonl" in page


def test_the_answers_are_all_there_with_their_questions(run: Run) -> None:
    folder, results, stored = run
    chunks = _chunks(write_page(folder, results, stored).read_text(encoding="utf-8"))
    first = results.cells[0].keys[0]
    said = chunks[f"evaluate/{first[:20]}"]["cot"]
    rows = [row for row in stored.rows("evaluate", first) or [] if row["prompting"] == "cot"]
    assert said["text"] == [row["completion"] for row in rows]
    assert said["right"] == [int(row["correct"]) for row in rows]
    asked = question_set("tiny_chain").questions
    assert chunks["questions/tiny_chain/0"]["prompt"][3] == asked[3].prompt("direct")
    (pair,) = [content for name, content in chunks.items() if name.startswith("pair/")][:1]
    assert pair["chosen"][0] == ["cot"]
    assert pair["left_out"][0][2] == "same text"


def test_questions_that_are_not_the_scored_ones_are_not_shown(tmp_path: Path) -> None:
    asked = question_set("tiny_cups")
    folder, results, stored = write_workspace(tmp_path, question_set("tiny_chain").questions[:4], asked=asked)
    page = write_page(folder, results, stored).read_text(encoding="utf-8")
    assert not any(name.startswith("questions/") for name in _chunks(page))
    assert "not the data that was scored" in page


def test_the_page_is_the_same_each_time_and_asks_for_nothing(run: Run, tmp_path: Path) -> None:
    folder, results, stored = run
    first = write_page(folder, results, stored).read_bytes()
    again = tmp_path / "example"
    again.mkdir()
    assert write_page(again, results, stored).read_bytes() == first
    for name in ("phases-0.svg", "phases-direct.svg"):
        assert (again / "figures" / name).read_bytes() == (folder / "figures" / name).read_bytes()
    page = first.decode("utf-8")
    assert "default-src 'none'" in page.replace("&#x27;", "'")
    assert not re.search(r'(?:src|href)="(?!#)', page.replace("xlink:href", "href"))
    assert not re.search(r"@import|url\((?!#)", page)
    assert page.count("<style") == 1


def test_figures_are_well_formed_and_serve_both_schemes(run: Run) -> None:
    folder, results, stored = run
    write_page(folder, results, stored)
    for path in (folder / "figures").glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        assert ET.fromstring(text).tag.endswith("svg")
        assert "prefers-color-scheme:dark" in text
        assert "#0000" not in text
        assert "<dc:date>" not in text


def test_a_page_that_is_up_to_date_is_left_alone_without_matplotlib(run: Run) -> None:
    folder, results, stored = run
    path = write_page(folder, results, stored)
    before = path.stat().st_mtime_ns
    reused = sealed(replace(results, stages=tuple(replace(stage, reused=True) for stage in results.stages)))
    (folder / "again.json").write_bytes(encoded(reused))
    code = (
        "import sys\nfrom pathlib import Path\nfrom sitkit.report.page import write_page\n"
        "from sitkit.results.rows import StoredRows\nfrom sitkit.results.model import decoded\n"
        f"folder = Path({str(folder)!r})\n"
        "results = decoded((folder / 'again.json').read_bytes())\n"
        f"write_page(folder, results, StoredRows(Path({str(stored.workspace)!r})))\n"
        "print(sorted({'matplotlib', 'scipy', 'numpy', 'torch', 'jinja2'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert path.stat().st_mtime_ns == before
    write_page(folder, results, stored, warnings=["something new"])
    assert "something new" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("damaged", ["removed figure", "changed figure", "changed page"])
def test_a_page_or_figure_that_is_not_as_it_was_written_is_made_again(run: Run, damaged: str) -> None:
    folder, results, stored = run
    page = write_page(folder, results, stored)
    path = page if damaged == "changed page" else folder / "figures" / "phases-0.svg"
    whole = path.read_bytes()
    if damaged == "removed figure":
        path.unlink()
    else:
        path.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    write_page(folder, results, stored)
    assert path.read_bytes() == whole


def test_sections_of_plugins_stand_under_anchors_of_their_own(run: Run) -> None:
    folder, results, stored = run
    table = Table("A <b>table</b>", ("what", "how many"), (("things", "+1.5"),), "said of it")
    sections = [ReportSection("paper", "Beside", (table,), "a note"), ReportSection("results", "Taken", (table,))]
    sections.append(ReportSection("empty", "Nothing", (Table("none", ("what",), ()),)))
    page = write_page(folder, results, stored, sections=sections).read_text(encoding="utf-8")
    assert '<section id="paper"' in page
    assert "A &lt;b&gt;table&lt;/b&gt;" in page
    assert page.count('<section id="results"') == 1
    assert '<a href="#results-">Taken</a>' in page
    assert 'id="empty"' not in page


def test_a_figure_for_a_notebook_is_painted_and_holds_the_teachers_line(run: Run) -> None:
    _, results, stored = run
    teacher = TeacherScore(teacher="tiny", benchmark="tiny_chain", split="test", prompting="cot", value=0.97,
                           stderr=0.01, n=100, key="t")  # fmt: skip
    made = figures(replace(results, teacher_scores=(teacher,)), stored)
    assert set(made) == {"phases-0", "phases-direct"}
    (axes,) = made["phases-0"].axes
    assert axes.get_xlim()[1] >= 97
    assert "teacher" in [text.get_text() for text in axes.get_legend().get_texts()]
    assert made["phases-0"].get_facecolor() == (1.0, 1.0, 1.0, 1.0)


def test_the_page_has_holms_correction_beside_each_p_and_says_over_how_many_tests(run: Run, tmp_path: Path) -> None:
    _, results, stored = run
    changes = tuple(replace(change, holm=0.0321 if change.paired else None) for change in results.changes)
    tests = sum(change.paired is not None for change in changes)
    page = write_page(tmp_path, replace(results, changes=changes), stored).read_text(encoding="utf-8")
    assert page.count("<small>(0.032)</small>") == tests > 0
    assert f"with Holm’s correction over the {tests} tests of this run" in page


def test_the_large_numbers_have_an_error_and_the_teacher_beside_them(run: Run) -> None:
    folder, results, stored = run
    teacher = TeacherScore(teacher="tiny", benchmark="tiny_chain", split="test", prompting="cot", value=0.9,
                           stderr=0.03, n=100, key="t")  # fmt: skip
    results = replace(results, teacher_scores=(teacher,))
    page = write_page(folder, results, stored).read_text(encoding="utf-8")
    tile = re.sub(r"<[^>]*>", " ", page[page.index('class="tile"') :].partition("</div>")[0])
    refined = next(cell for cell in results.cells if (cell.phase, cell.prompting) == ("refine", "cot"))
    assert f"{100 * refined.value:.1f} ± {100 * refined.over_questions:.1f} refined" in re.sub(r"\s+", " ", tile)
    assert "90.0 ± 3.0 teacher" in re.sub(r"\s+", " ", tile)


def test_what_is_gone_from_the_store_is_said(tmp_path: Path) -> None:
    folder, results, stored = write_workspace(tmp_path, invented(5))
    gone = tmp_path / f"store/evaluate/{results.cells[0].keys[0][:20]}/predictions.jsonl"
    gone.unlink()
    page = write_page(folder, results, stored).read_text(encoding="utf-8")
    assert f"{gone.relative_to(tmp_path)}: it is not there any more" in page


def test_what_finds_no_room_is_named() -> None:
    chunks = [Chunk("evaluate/a", "store/a", {"x": 1}), Chunk("evaluate/b", "store/b", {"x": list(range(5000))})]
    packed = pack(chunks, most=500)
    assert packed.files == {"evaluate/a": "store/a"}
    assert packed.left_out == {"evaluate/b": "store/b"}


def test_a_megabyte_of_text_is_cut_and_says_so(tmp_path: Path) -> None:
    def rambling(phase: str, prompting: str, question: object) -> tuple[str, str | None, bool]:
        return "word " * 200_000, None, False

    folder, results, stored = write_workspace(tmp_path, invented(3), say=rambling)
    path = write_page(folder, results, stored)
    assert path.stat().st_size < 500_000
    text = _chunks(path.read_text(encoding="utf-8"))[f"evaluate/{results.cells[0].keys[0][:20]}"]["cot"]["text"][0]
    assert f"{1_000_000 - LONGEST} more characters are in the file" in text


@pytest.mark.slow
def test_the_page_of_a_real_run_with_several_arms_holds_each_of_them(tmp_path: Path) -> None:
    with example_registry() as registry:
        folder, _ = make_run(registry, tmp_path, "several", fraction=(0.5, 1.0), seeds=(0, 1))
        results = load_results(folder)
        page = write_page(folder, results, StoredRows(tmp_path), registry=registry).read_text(encoding="utf-8")
    assert "With fewer demonstrations" in page
    assert "50% of the training data" in page
    assert (folder / "figures" / "demonstrations-0.svg").is_file()
    chunks = _chunks(page)
    for cell in results.cells:
        for key in cell.keys:
            assert f"evaluate/{key[:20]}" in chunks
    for pairs in results.pairs:
        assert f"pair/{pairs.key[:20]}" in chunks
    # Two rows of the table of files that say the same of different scores would trace neither.
    table = page[page.index("The file behind each score") :]
    rows = [re.sub(r"<[^>]*>", "|", row) for row in re.findall(r"<tr>(.*?)</tr>", table, flags=re.DOTALL)]
    taught = [row for row in rows if "refine, cot" in row]
    assert len(taught) == 4
    assert sorted("|0.5|" in row for row in taught) == [False, False, True, True]
