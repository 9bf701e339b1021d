"""Two runs side by side, as tables of text and as a page with the answers of both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from sitkit.registry import Registry
from sitkit.report.page.answers import Chunk, chunk_name, pack, questions_chunk, questions_name, stage_chunk
from sitkit.report.tables import NOUNS, Table, accuracy, error_note
from sitkit.results.model import PairedTest
from sitkit.results.questions import TestQuestions
from sitkit.store import write_atomically
from sitkit.types import Json
from sitkit.workspace.compare import Compared, ComparedCell, Run, paired_seeds

Names = tuple[str, str]


def comparison_tables(found: Compared, names: Names) -> list[Table]:
    """Return what differs: the recipes, the versions, and the scores; a table that would be empty is left out."""
    changed = [cell for cell in _again(found) if not _alike(cell)]
    headings = ("phase", "prompting", "benchmark", *names, "difference", "95%", "gained/lost", "p", "Holm", "n")
    tables = [
        *(
            Table(title, ("", *names), tuple((entry.name, entry.first, entry.second) for entry in different))
            for title, different in (("Recipe", found.recipe), ("Versions", found.versions))
        ),
        Table("Accuracy", (*found.arm, *headings), tuple(map(_row, changed)), _note(_again(found))),
    ]
    return [table for table in tables if table.rows]


def sameness(found: Compared, names: Names) -> Iterator[str]:
    """Yield a line for each kind of thing that does not differ, or cannot be compared."""
    alike = [title for title, different in (("recipe", found.recipe), ("versions", found.versions)) if not different]
    if alike:
        yield f"the same in both: {' and '.join(alike)}"
    for what, cells in (
        (
            "scored again, every question answered as rightly or wrongly as before",
            [cell for cell in _again(found) if _alike(cell)],
        ),
        ("the same stages in both", [cell for cell in found.cells if cell.same]),
    ):
        if cells:
            phases = ", ".join(dict.fromkeys(cell.first.phase for cell in cells))
            yield f"{what}: {len(cells)} of {len(found.cells)} scores ({phases})"
    for name, count in zip(names, (found.only_first, found.only_second), strict=True):
        if count:
            yield f"note: {count} of the scores of {name} have no counterpart in the other run"


def write_comparison(
    path: Path, runs: tuple[Run, Run], found: Compared, names: Names, registry: Registry | None = None
) -> None:
    """Write the page: what differs, and both runs' answers to the same questions, those that turned to be picked out.

    Scores that are the same stages in both have no answers to compare. Raises OSError if it cannot be written.
    """
    from sitkit.report.page.content import Section, drawn_table, facts
    from sitkit.report.page.render import render

    entries, sources = _entries(found), _Sources(runs, registry)
    packed = pack(sources.chunks(found))
    tables = [drawn_table(table, f"table-{at}") for at, table in enumerate(comparison_tables(found, names))]
    told = {"note": "; ".join(sameness(found, names)), "tables": tables, "beside": False}
    sections = [Section("differences", "What differs" if tables else "Nothing differs", "tables.html", told)]
    if entries:
        index = {
            "arms": entries, "start": len(entries) - 1, "files": packed.files, "leftOut": packed.left_out,
            # The two runs stand where a report has an instructed and a refined student.
            "nouns": dict(zip(("instruct", "refine"), names, strict=True)),
        }  # fmt: skip
        content = {"missing": sources.missing(), "index": index, "chunks": packed.content}
        sections.append(Section("answers", "The answers", "answers.html", content))
    title = f"{names[0]} and {names[1]}"
    ours, theirs = (dict(facts(run.results)) for run in runs)
    head = [
        (term, value if theirs.get(term) in (None, value) else f"{value} / {theirs[term]}")
        for term, value in ours.items()
    ]
    digest = hashlib.sha256(title.encode("utf-8", "backslashreplace")).hexdigest()
    write_atomically(path, render(title, digest, head, sections))


def _entries(found: Compared) -> list[dict[str, Json]]:
    """Return what the browser of answers chooses from: phase by phase and seed by seed, the chunks of both runs."""
    entries: dict[tuple[object, ...], dict[str, Json]] = {}
    for cell in _again(found):
        for number, (first, second) in enumerate(paired_seeds(cell.first, cell.second)):
            label = ", ".join((*filter(None, cell.arm), NOUNS[cell.first.phase], f"seed {first.seed}"))
            entry = entries.setdefault(
                (cell.arm, cell.first.phase, number),
                {
                    "arm": hashlib.sha256(label.encode("utf-8", "backslashreplace")).hexdigest()[:8],
                    "label": label, "teacher": "", "seed": first.seed, "test": {}, "questions": {},
                    "annotate": [], "sample": [], "pair": None,
                },
            )  # fmt: skip
            benchmark = cell.first.benchmark
            entry["test"][benchmark] = {
                "instruct": chunk_name("evaluate", first.key), "refine": chunk_name("evaluate", second.key)
            }  # fmt: skip
            entry["questions"][benchmark] = questions_name(benchmark, first.seed)
    return list(entries.values())


class _Sources:
    """Where the answers of both runs are read from, and what could not be read."""

    def __init__(self, runs: tuple[Run, Run], registry: Registry | None) -> None:
        self._runs = runs
        self._questions = [TestQuestions(run.results, run.stored, registry) for run in runs]

    def chunks(self, found: Compared) -> Iterator[Chunk]:
        """Yield the chunks that `_entries` names, each once."""
        seen: set[str] = set()
        for cell in _again(found):
            for both in paired_seeds(cell.first, cell.second):
                for run, questions, score in zip(self._runs, self._questions, both, strict=True):
                    # The questions are those of the first run; the second's where the first's cannot be had.
                    name = questions_name(cell.first.benchmark, both[0].seed)
                    if name not in seen:
                        asked = questions_chunk(name, questions, cell.first.benchmark, score.seed, score.key)
                        yield from asked
                        seen.update(one.name for one in asked)
                    yield from stage_chunk("evaluate", score.key, run.stored, seen)

    def missing(self) -> dict[str, str]:
        """Return what could not be read, with the reason."""
        return {
            f"{run.folder.name}: {what}": why
            for run, questions in zip(self._runs, self._questions, strict=True)
            for what, why in (
                *((f"questions of {benchmark}", why) for benchmark, why in questions.missing.items()),
                *run.stored.unread.items(),
            )
        }


def _again(found: Compared) -> list[ComparedCell]:
    return [cell for cell in found.cells if not cell.same]


def _alike(cell: ComparedCell) -> bool:
    """Tell whether the figures are the same and no question is answered rightly in one run alone; never where the
    latter cannot be known.
    """
    return (
        accuracy(cell.first) == accuracy(cell.second)
        and cell.paired is not None
        and cell.first.n == cell.second.n == cell.paired.n
        and cell.paired.gained == cell.paired.lost == 0
    )


def _note(cells: Sequence[ComparedCell]) -> str:
    tests = sum(cell.paired is not None for cell in cells)
    these = "this test" if tests == 1 else f"these {tests} tests"
    return (
        f"{error_note([cell for pair in cells for cell in (pair.first, pair.second)])}, as in each run's report."
        " Difference: the second run minus the first in points, over the questions that both answered where there is a"
        " test; 95%: paired bootstrap over questions; gained/lost: questions that only the second, only the first has"
        " right; p: McNemar's exact test, one a seed; n: questions that both answered."
        f" Holm: the largest p of a row with Holm's correction over {these}."
    )


def _row(cell: ComparedCell) -> tuple[str, ...]:
    return (
        *cell.arm,
        cell.first.phase,
        cell.first.prompting,
        cell.first.benchmark,
        accuracy(cell.first),
        accuracy(cell.second),
        f"{100 * cell.difference:+.1f}",
        *_paired(cell.paired, cell),
    )


def _paired(found: PairedTest | None, cell: ComparedCell) -> tuple[str, ...]:
    if found is None:
        return "-", "-", "-", "-", "0"
    known = found.low is not None and found.high is not None and found.gained + found.lost > 0
    everyone = cell.first.n == cell.second.n == found.n
    return (
        f"{100 * (found.low or 0.0):+.1f} to {100 * (found.high or 0.0):+.1f}" if known else "-",
        f"{found.gained}/{found.lost}",
        " ".join(f"{p:.2g}" for p in found.p),
        "-" if cell.holm is None else f"{cell.holm:.2g}",
        str(found.n) if everyone else f"{found.n} of {cell.first.n} and {cell.second.n}",
    )
