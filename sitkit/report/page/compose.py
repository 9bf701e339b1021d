"""Put a page together from a run's results and what the store has of its artifacts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sitkit.registry import Registry
from sitkit.report.answers_table import chunks, index
from sitkit.report.arms import Arm, arms
from sitkit.report.comparisons import Comparisons
from sitkit.report.judgements import judgement_tables
from sitkit.report.page.answers import answers, pack
from sitkit.report.page.charts import curves, low, phases
from sitkit.report.page.document import document
from sitkit.report.page.headline import headline
from sitkit.report.page.html import Html, el
from sitkit.report.page.matrix import matrix
from sitkit.report.page.parts import plain_table, section
from sitkit.report.page.provenance import pairs, provenance
from sitkit.report.page.shelf import FigureSet
from sitkit.report.tables import gain_table, worked_table
from sitkit.report.warnings import remarks
from sitkit.results.artifacts import Stored
from sitkit.results.questions import TestQuestions
from sitkit.types import Json
from sitkit_paper.beside import paper_tables
from sitkit_paper.verdicts import claim_table, claims, contradiction_table


def compose(
    name: str, digest: str, results: Json, judgements: Sequence[Json], workspace: Path, registry: Registry | None
) -> tuple[str, FigureSet]:
    """Return the page and its figures."""
    found, stored, shelf = arms(results), Stored(workspace), FigureSet()
    comparisons = Comparisons(results, stored)
    questions = TestQuestions(results, stored, registry)
    packed = pack(chunks(results, stored, questions))
    missing = {**{f"questions of {one}": why for one, why in questions.missing.items()}, **stored.unread}
    sections: list[tuple[str, str, Html | None]] = [
        ("remarks", "To know first", _remarks(results, stored)),
        ("matrix", "From task to task", matrix(results, found, shelf)),
        ("low", "Fewer demonstrations", low(results, found, shelf)),
        ("results", "Accuracy", headline(results, found, comparisons)),
        ("phases", "Phase by phase", phases(results, found, shelf)),
        ("answers", "The answers", answers(index(results), packed, missing)),
        ("gains", "What gains are made of", _gains(results, found)),
        ("pairs", "Where pairs came from", pairs(results)),
        ("training", "Training", curves(results, stored, shelf)),
        ("ratings", "Rated by judges", _ratings(judgements)),
        ("paper", "Beside the paper", _paper(results, judgements)),
        ("made", "How it was made", provenance(results, _yaml(results["recipe"]))),
    ]
    shown = [(anchor, title, content) for anchor, title, content in sections if content is not None]
    return document(name, digest, _lead(results, found), shown), shelf


def _lead(results: Json, found: Sequence[Arm]) -> Html:
    def listed(values: Sequence[str]) -> str:
        return ", ".join(dict.fromkeys(value for value in values if value)) or "none"

    recipe = results["recipe"]
    facts = [
        ("student", listed([arm.student for arm in found])),
        ("teacher", listed([arm.teacher for arm in found])),
        ("strategy", listed([arm.strategy for arm in found])),
        ("trained on", listed([one for arm in found for one in (*arm.train_on, *arm.refine_on)])),
        ("tested on", listed([str(row["benchmark"]) for row in results["scores"]])),
        ("seeds", listed([str(seed) for arm in found for seed in arm.seeds])),
        ("training limit", str(recipe.get("limit") or "none")),
        ("test limit", str(recipe.get("test_limit") or "none")),
    ]
    return el("dl", *(el("div", el("dt", term), el("dd", said)) for term, said in facts), class_="facts")


def _remarks(results: Json, stored: Stored) -> Html | None:
    said = remarks(results, stored)
    if not said:
        return None
    return section("remarks", "To know first", el("ul", *(el("li", text) for text in said), class_="remarks"))


def _gains(results: Json, found: Sequence[Arm]) -> Html | None:
    # These two take the rows of one student; of several they would make a mean of what does not belong together.
    if len(found) != 1 or found[0].method != "both":
        return None
    tables = plain_table(gain_table(results), "gain"), plain_table(worked_table(results), "worked")
    return section("gains", "What gains are made of", el("div", *tables, class_="side"))


def _ratings(judgements: Sequence[Json]) -> Html | None:
    tables = [table for judgement in judgements for table in judgement_tables(judgement)]
    drawn = [plain_table(table, f"ratings-{number}") for number, table in enumerate(tables) if table.rows]
    return section("ratings", "Rated by judges", *drawn) if drawn else None


def _paper(results: Json, judgements: Sequence[Json]) -> Html | None:
    tables = list(paper_tables(results, judgements))
    if not tables:
        return None
    verdicts = claims(results, judgements)
    tables += [claim_table(verdicts), contradiction_table(verdicts)]
    drawn = [plain_table(table, f"paper-{number}") for number, table in enumerate(tables) if table.rows]
    note = (
        "The run’s own numbers are those of the accuracy and judges’ tables above, where each names the file behind it;"
        " the paper’s are those of the table named in each title (arXiv 2405.00402)."
    )
    return section("paper", "Beside the paper", el("p", note, class_="note"), *drawn)


def _yaml(recipe: Json) -> str:
    import yaml

    return str(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True))
