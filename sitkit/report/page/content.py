"""What the page's templates get: its sections as plain values, every number printed once, here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from markupsafe import Markup

from sitkit.report.figures import MOST_PANELS, Drawing, arms_by_phase
from sitkit.report.page.accuracy import MINUS, headline, matrix_maps
from sitkit.report.page.answers import Packed, fullest, index
from sitkit.report.tables import (
    ReportSection,
    Table,
    contest_tables,
    cut_table,
    demonstration_table,
    forgetting_tables,
    gain_table,
    overlap_tables,
    round_tables,
    sampled_tables,
    settings_tables,
    stage_table,
    teacher_tables,
    worked_table,
)
from sitkit.results.arms import describe, refines
from sitkit.results.model import Cell, Pairs, Results
from sitkit.results.rows import place
from sitkit.stages.evaluate_task import DOCUMENTS

_ORIGINS = (
    ("student", "the student’s own answer", "instruct"), ("teacher", "the teacher’s", "other"),
    ("target", "the target", "cot"), ("left out", "left out", "base"),
)  # fmt: skip
_WHISKERS = "Whiskers: standard error over questions, or standard deviation over seeds where that is larger."
_METRICS = ("first_loss", "last_loss", "best_step", "held_out", "chosen_logp_shift", "watched_before", "watched_after")


@dataclass(frozen=True)
class Section:
    """A section of the page: the template that draws it, and what that template gets."""

    anchor: str
    title: str
    template: str
    content: Mapping[str, object] = field(default_factory=dict)


def page_sections(
    results: Results,
    *,
    warnings: Sequence[str],
    drawn: Sequence[tuple[Drawing, str]],
    packed: Packed,
    missing: Mapping[str, str],
    ratings: Sequence[Table],
    added: Sequence[ReportSection],
) -> list[Section]:
    """Return the sections in order; ``drawn`` are the figures as SVG, ``missing`` says what could not be had and why,
    ``added`` come from plugins.
    """
    maps = matrix_maps(results)
    sections = [
        *([Section("warnings", "Read this first", "warnings.html", {"warnings": warnings})] if warnings else []),
        *([Section("matrix", "From task to task", "matrix.html", maps)] if maps["blocks"] else []),
        *_panels("low", "With fewer demonstrations", drawn, "Accuracy with CoT against the share of the"
                 f" {results.shared} (nested random subsets). {_WHISKERS}"),
        *_tables("contest", "Strategy against strategy", "", contest_tables(results)),
        Section("results", "Accuracy", "results.html", headline(results)),
        *_panels("phases", "Phase by phase", drawn, _WHISKERS + _left_out(results)),
        _answers(results, packed, missing),
        *_gains(results),
        *_whole("forgetting", "By task", forgetting_tables(results)),
        *_whole("overlap", "By cell", overlap_tables(results)),
        *_cut(results),
        *_tables("sampled", "Several answers to each question", "", sampled_tables(results)),
        *_panels("rounds", "Round by round", drawn, f"Round 0 is the instructed student. {_WHISKERS}"),
        *_tables("rounds-table", "Round by round, in numbers", "", round_tables(results)),
        _pairs(results),
        _training(results, drawn),
        *_tables("ratings", "Rated by judges", "", ratings),
        *(section for own in added for section in _tables(own.anchor, own.title, own.note, own.tables)),
        *_tables("settings", "Settings", "", settings_tables(results)),
        _made(results),
    ]  # fmt: skip
    return _apart(sections)


def facts(results: Results) -> list[tuple[str, str]]:
    """Return what was done, for the top of the page."""
    recipe, arms = results.recipe, results.arms
    return [
        ("student", _listed(arm.student for arm in arms)),
        ("teacher", _listed(arm.teacher for arm in arms)),
        ("strategy", _listed(arm.strategy for arm in arms if arm.method != "instruct")),
        ("trained on", _listed(task for arm in arms for task in (*arm.train_on, *arm.refine_on))),
        ("tested on", _listed(results.benchmarks)),
        *([("loss", loss)] if (loss := _loss(results)) else []),
        ("seeds", _listed(str(seed) for arm in arms for seed in arm.seeds)),
        ("training limit", str(recipe.get("limit") or "none")),
        ("test limit", str(recipe.get("test_limit") or "none")),
    ]


def _loss(results: Results) -> str:
    """What refining minimised, as loss and beta, once for each that differs."""
    common = results.recipe.get("set", {}).get("refine", {})
    used = [{**common, **arm.settings.get("refine", {})} for arm in results.arms if arm.refine_on]
    said = (
        f"{refine['loss']}, beta {refine['beta']}" if refine["loss"] != "sft" else "sft"
        for refine in used
        if refine.get("loss") is not None
    )
    return "; ".join(dict.fromkeys(said))


def _panels(name: str, title: str, drawn: Sequence[tuple[Drawing, str]], note: str) -> list[Section]:
    pictures = _pictures(name, drawn)
    return [Section(name, title, "figures.html", {"note": note, "pictures": pictures})] if pictures else []


def _pictures(name: str, drawn: Sequence[tuple[Drawing, str]]) -> list[dict[str, object]]:
    return [
        {
            "svg": Markup(svg),
            "label": drawing.caption,
            "caption": "" if drawing.titled else drawing.caption,
            "file": f"figures/{drawing.name}.svg",
        }
        for drawing, svg in drawn
        if drawing.section == name
    ]


def _left_out(results: Results) -> str:
    more = len(arms_by_phase(results)) - MOST_PANELS
    return f" {more} more are left to the tables." if more > 0 else ""


def _answers(results: Results, packed: Packed, missing: Mapping[str, str]) -> Section:
    arms = index(results)
    data = {
        "arms": arms, "start": fullest(results), "files": packed.files, "leftOut": packed.left_out
    }  # fmt: skip
    content = {"missing": missing, "index": data, "chunks": packed.content, "paired": any(arm["pair"] for arm in arms)}
    return Section("answers", "The answers", "answers.html", content)


def _gains(results: Results) -> list[Section]:
    # These two are of one student; of several they would make a mean of what does not belong together.
    if len(results.arms) != 1:
        return []
    tables = [drawn_table(gain_table(results), "gain"), drawn_table(worked_table(results), "worked")]
    return [Section("gains", "What gains are made of", "tables.html", {"tables": tables, "note": "", "beside": True})]


def _whole(anchor: str, title: str, tables: Sequence[Table]) -> list[Section]:
    """A table as a section of its own."""
    return [
        section
        for table in tables
        for section in _tables(anchor, table.title, table.note, [replace(table, title=title, note="")])
    ]


def _cut(results: Results) -> list[Section]:
    return _whole("cut", "By cell", [cut_table(results)])


def _tables(anchor: str, title: str, note: str, tables: Sequence[Table]) -> list[Section]:
    shown = [drawn_table(table, f"{anchor}-{number}") for number, table in enumerate(tables) if table.rows]
    return [Section(anchor, title, "tables.html", {"note": note, "tables": shown, "beside": False})] if shown else []


def drawn_table(table: Table, anchor: str) -> dict[str, object]:
    """A table of texts; columns of numbers are set right."""
    kinds = [
        "n" if table.rows and all(_is_number(row[at]) for row in table.rows if row[at] not in ("", "-")) else ""
        for at in range(len(table.headings))
    ]
    return {
        "anchor": anchor,
        "title": table.title,
        "note": table.note,
        "headings": list(zip(table.headings, ["", *kinds[1:]], strict=True)),
        "rows": [(row[0], list(zip(row[1:], kinds[1:], strict=True))) for row in table.rows],
    }


def _is_number(text: str) -> bool:
    return text.lstrip("+-" + MINUS)[:1].isdigit()


def _pairs(results: Results) -> Section:
    origins = [origin for origin in _ORIGINS if any(_origin(pairs, origin[0]) for pairs in results.pairs)]
    tables = [drawn_table(demonstration_table(results), "demonstrations")]
    tables += [drawn_table(table, f"teacher-{number}") for number, table in enumerate(teacher_tables(results))]
    content = {
        "origins": [(label, tone) for _, label, tone in origins],
        "rows": [_pair_row(results, pairs, origins) for pairs in results.pairs],
        "tables": tables,
    }
    if not refines(results.arms):
        return Section("pairs", "What was learnt from", "tables.html", {"tables": tables, "note": "", "beside": True})
    return Section("pairs", "Where the pairs came from", "pairs.html", content)


def _origin(pairs: Pairs, name: str) -> int:
    if name == "left out":
        return pairs.left_out
    return next((count for origin, count in pairs.chosen_from.items() if origin == name), 0)


def _pair_row(results: Results, pairs: Pairs, origins: Sequence[tuple[str, str, str]]) -> dict[str, object]:
    questions = pairs.questions or 1
    whole = max(questions, pairs.total + pairs.left_out)
    counts = [(_origin(pairs, name), label, tone) for name, label, tone in origins if _origin(pairs, name)]
    names = [
        (f"{describe(arm, results.arms)}, " if len(results.arms) > 1 else "") + f"seed {lesson.seed}"
        for arm in results.arms
        for lesson in arm.lessons
        if lesson.pair == pairs.key
    ]
    return {
        "name": "; ".join(names) or pairs.label,
        "parts": [(tone, f"{100 * count / whole:.2f}", f"{count}: {label}") for count, label, tone in counts],
        "counts": "; ".join(f"{count} {label}" for count, label, _ in counts),
        "numbers": (
            f"{pairs.total}",
            f"{pairs.rejected_correct}",
            f"{pairs.rejected_truncated}",
            f"{pairs.fell_back}",
            f"{100 * pairs.direct_correct / questions:.1f}%",
            f"{100 * pairs.cot_correct / questions:.1f}%",
        ),
        "reasons": "; ".join(f"{reason} ({count})" for reason, count in pairs.left_out_reasons.items()) or "–",
        "file": place("pair", pairs.key),
    }


def _training(results: Results, drawn: Sequence[tuple[Drawing, str]]) -> Section:
    names = [name for name in _METRICS if any(name in run.metrics for run in results.training)]
    rows = [
        {
            "name": f"{run.stage} {run.label}".strip(),
            "numbers": (
                run.examples,
                run.steps,
                *(f"{run.metrics[name]:.4g}" if name in run.metrics else "–" for name in names),
            ),
            "file": place(run.stage, run.key),
        }
        for run in results.training
    ]
    headings = ("examples", "steps", *(name.replace("_", " ") for name in names))
    content = {"pictures": _pictures("training", drawn), "headings": headings, "rows": rows}
    return Section("training", "Training", "training.html", content)


def _made(results: Results) -> Section:
    import yaml

    others = {seed.key for score in results.forgetting for seed in score.seeds}
    content = {
        "summary": stage_table(results).note,
        "stages": [
            {
                "name": stage.title,
                "seconds": f"{stage.seconds:.1f}",
                "how": "reused" if stage.reused else "run",
                "file": place(stage.stage, stage.key, DOCUMENTS if stage.key in others else None),
                "key": stage.key,
            }
            for stage in results.stages
        ],
        "recipe": yaml.safe_dump(results.recipe, sort_keys=False, allow_unicode=True),
        "versions": list(results.versions.items()),
        **_score_files(results),
    }
    return Section("made", "How it was made", "made.html", content)


def _score_files(results: Results) -> dict[str, object]:
    """The file behind each score, a row for each seed of each cell, with what tells the students apart."""

    def told(cell: Cell, name: str) -> str:
        value = "" if name == "fraction" and cell.phase == "baseline" else getattr(cell, name)
        return f"{value:g}" if isinstance(value, float) else str(value)

    fields = ("student", "teacher", "fraction", "method")
    telling = [name for name in fields if len({told(cell, name) for cell in results.cells} - {""}) > 1]
    rows = [
        {
            "phase": f"{cell.phase}, {cell.prompting}",
            "texts": (
                cell.benchmark,
                "; ".join(filter(None, (", ".join(cell.train_on), ", ".join(cell.refine_on)))),
                *(told(cell, name) for name in telling),
            ),
            "numbers": (score.seed, f"{100 * score.value:.2f}", score.n, score.unread, score.truncated),
            "file": place("evaluate", score.key),
            "key": score.key,
        }
        for cell in results.cells
        for score in cell.seeds
    ]
    return {"telling": telling, "scores": rows}


def _listed(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(value for value in values if value)) or "none"


def _apart(sections: Sequence[Section]) -> list[Section]:
    """The sections with an anchor each of its own: a plugin's may be one that the page or its script has."""
    taken = {"browser", "index"}
    found = []
    for section in sections:
        anchor = section.anchor
        while anchor in taken:
            anchor += "-"
        taken.add(anchor)
        found.append(Section(anchor, section.title, section.template, section.content))
    return found
