"""report.html as a file: what is in it, that it is the same each time, and that it is not made in vain."""

import base64
import gzip
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from sitkit.report.answers_table import LONGEST
from sitkit.report.page import write_page
from sitkit.report.page.answers import pack
from sitkit.report.results import load_results
from sitkit.results.artifacts import Stored
from tests.example_runs import example_registry, make_run
from tests.report.synthetic import invented, question_set, write_workspace


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Path]:
    workspace = tmp_path_factory.mktemp("workspace")
    asked = question_set("tiny_chain")
    trained = question_set("tiny_chain", "train").questions[:6]
    folder, results = write_workspace(workspace, asked.questions[:12], asked=asked, trained=trained, seeds=(0, 1))
    return folder, results, workspace


def _chunks(page: str) -> dict[str, Any]:
    found = re.findall(r'<script type="application/gzip" data-chunk="([^"]+)">([^<]+)</script>', page)
    return {name: json.loads(gzip.decompress(base64.b64decode(packed))) for name, packed in found}


def test_every_accuracy_names_the_files_it_comes_from(run: tuple[Path, dict[str, Any], Path]) -> None:
    folder, results, workspace = run
    page = write_page(folder, results, workspace).read_text(encoding="utf-8")
    links = re.findall(r'<a href="#answers\?[^"]+" title="([^"]+)"', page)
    assert len(links) == 7
    for title in links:
        places = title.split("\n")
        assert len(places) == 2
        assert all((workspace / place).is_file() for place in places)
    for row in results["scores"]:
        assert f"store/evaluate/{row['key'][:20]}/predictions.jsonl" in page


def test_the_answers_are_all_there_with_their_questions(run: tuple[Path, dict[str, Any], Path]) -> None:
    folder, results, workspace = run
    chunks = _chunks(write_page(folder, results, workspace).read_text(encoding="utf-8"))
    first = results["scores"][0]["key"]
    said = chunks[f"evaluate/{first[:20]}"]["cot"]
    stored = [row for row in Stored(workspace).rows("evaluate", first) or [] if row["prompting"] == "cot"]
    assert said["text"] == [row["completion"] for row in stored]
    assert said["right"] == [int(row["correct"]) for row in stored]
    asked = question_set("tiny_chain").questions
    assert chunks["questions/tiny_chain/0"]["prompt"][3] == asked[3].prompt("direct")
    (pair,) = [content for name, content in chunks.items() if name.startswith("pair/")][:1]
    assert pair["chosen"][0] == ["cot"]
    assert pair["left_out"][0][2] == "same text"


def test_questions_that_are_not_the_scored_ones_are_not_shown(tmp_path: Path) -> None:
    asked = question_set("tiny_cups")
    folder, results = write_workspace(tmp_path, question_set("tiny_chain").questions[:4], asked=asked)
    page = write_page(folder, results, tmp_path).read_text(encoding="utf-8")
    assert not any(name.startswith("questions/") for name in _chunks(page))
    assert "not the data that was scored" in page


def test_the_page_is_the_same_each_time_and_asks_for_nothing(
    run: tuple[Path, dict[str, Any], Path], tmp_path: Path
) -> None:
    folder, results, workspace = run
    first = write_page(folder, results, workspace).read_bytes()
    again = tmp_path / "example"
    again.mkdir()
    assert write_page(again, results, workspace).read_bytes() == first
    for name in ("phases-0.svg", "phases-direct.svg"):
        assert (again / "figures" / name).read_bytes() == (folder / "figures" / name).read_bytes()
    page = first.decode("utf-8")
    assert "default-src 'none'" in page.replace("&#x27;", "'")
    assert not re.search(r'(?:src|href)="(?!#)', page.replace("xlink:href", "href"))
    assert not re.search(r"@import|url\((?!#)", page)
    assert page.count("<style") == 1


def test_figures_are_well_formed_and_serve_both_schemes(run: tuple[Path, dict[str, Any], Path]) -> None:
    folder, results, workspace = run
    write_page(folder, results, workspace)
    for path in (folder / "figures").glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        assert ET.fromstring(text).tag.endswith("svg")
        assert "prefers-color-scheme:dark" in text
        assert "#0000" not in text
        assert "<dc:date>" not in text


def test_a_page_that_is_up_to_date_is_left_alone_without_matplotlib(run: tuple[Path, dict[str, Any], Path]) -> None:
    folder, results, workspace = run
    path = write_page(folder, results, workspace)
    before = path.stat().st_mtime_ns
    reused = {**results, "stages": [{**one, "reused": True} for one in results["stages"]]}
    (folder / "again.json").write_text(json.dumps(reused), encoding="utf-8")
    code = (
        "import json, sys\nfrom pathlib import Path\nfrom sitkit.report.page import write_page\n"
        f"folder = Path({str(folder)!r})\n"
        f"write_page(folder, json.loads((folder / 'again.json').read_text()), Path({str(workspace)!r}))\n"
        "print(sorted({'matplotlib', 'scipy', 'numpy', 'torch'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert path.stat().st_mtime_ns == before
    other = {**results, "notices": ["something new"]}
    write_page(folder, other, workspace)
    assert "something new" in path.read_text(encoding="utf-8")


def test_what_is_gone_from_the_store_is_said(tmp_path: Path) -> None:
    folder, results = write_workspace(tmp_path, invented(5))
    gone = tmp_path / f"store/evaluate/{results['scores'][0]['key'][:20]}/predictions.jsonl"
    gone.unlink()
    page = write_page(folder, results, tmp_path).read_text(encoding="utf-8")
    assert f"{gone.relative_to(tmp_path)}: it is not there any more" in page


def test_what_finds_no_room_is_named() -> None:
    from sitkit.report.answers_table import Chunk

    chunks = [Chunk("evaluate/a", "store/a", {"x": 1}), Chunk("evaluate/b", "store/b", {"x": list(range(5000))})]
    packed = pack(chunks, most=500)
    assert packed.files == {"evaluate/a": "store/a"}
    assert packed.left_out == {"evaluate/b": "store/b"}


def test_a_megabyte_of_text_is_cut_and_says_so(tmp_path: Path) -> None:
    def rambling(phase: str, prompting: str, question: object) -> tuple[str, str | None, bool]:
        return "word " * 200_000, None, False

    folder, results = write_workspace(tmp_path, invented(3), say=rambling)
    path = write_page(folder, results, tmp_path)
    assert path.stat().st_size < 500_000
    text = _chunks(path.read_text(encoding="utf-8"))[f"evaluate/{results['scores'][0]['key'][:20]}"]["cot"]["text"][0]
    assert f"{1_000_000 - LONGEST} more characters are in the file" in text


@pytest.mark.slow
def test_the_page_of_a_real_run_with_several_arms_holds_each_of_them(tmp_path: Path) -> None:
    with example_registry() as registry:
        folder, _ = make_run(registry, tmp_path, "several", fraction=(0.5, 1.0), seeds=(0, 1))
        results = load_results(folder)
        page = write_page(folder, results, tmp_path, registry).read_text(encoding="utf-8")
    assert "With fewer demonstrations" in page
    assert "50% of the demonstrations" in page
    assert (folder / "figures" / "demonstrations-0.svg").is_file()
    chunks = _chunks(page)
    for row in results["scores"]:
        assert f"evaluate/{row['key'][:20]}" in chunks
    for arm in results["arms"]:
        assert f"pair/{arm['pair'][:20]}" in chunks
    # Two rows of the table of files that say the same of different scores would trace neither.
    table = page[page.index("The file behind each score") :]
    rows = [re.sub(r"<[^>]*>", "|", row) for row in re.findall(r"<tr>(.*?)</tr>", table, flags=re.DOTALL)]
    taught = [row for row in rows if "refine, cot" in row]
    assert len(taught) == 4
    assert sorted("|0.5|" in row for row in taught) == [False, False, True, True]
