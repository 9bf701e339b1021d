"""The report's tables as headings and rows of text, for whoever draws them: Markdown, a terminal, the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sitkit.results.arms import describe, refines
from sitkit.results.contest import told, verdict
from sitkit.results.model import Cell, PairedTest, Results, TaskChange, TaskScore, belongs, belongs_before
from sitkit.results.rows import place
from sitkit.types import PHASES, PROMPTINGS, Phase

_PATHS = (
    "Files are named from the workspace on. Teachers are asked again when the seed or the share changes the questions."
)


_SHOWN = 5

NOUNS: Mapping[Phase, str] = {"baseline": "baseline", "instruct": "instructed", "refine": "refined"}
"""A student after each phase."""


@dataclass(frozen=True)
class Table:
    """A title, headings, and rows of the same length; ``note`` explains it in a sentence or two."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class ReportSection:
    """What a plugin adds to a report: tables under a title. ``anchor`` names the section within a page."""

    anchor: str
    title: str
    tables: tuple[Table, ...]
    note: str = ""


def score_tables(results: Results) -> Sequence[Table]:
    """Return the tables a reader looks for first: one for all arms, or accuracy and gain where there is but one."""
    return (arms_table(results),) if len(results.arms) > 1 else (accuracy_table(results), gain_table(results))


def all_tables(results: Results) -> Sequence[Table]:
    """Return every table of the report, in order."""
    return (
        *contest_tables(results),
        *score_tables(results),
        *(() if len(results.arms) > 1 else (worked_table(results),)),
        *forgetting_tables(results),
        *overlap_tables(results),
        cut_table(results),
        *sampled_tables(results),
        *round_tables(results),
        demonstration_table(results),
        *teacher_tables(results),
        *pair_tables(results),
        *settings_tables(results),
        stage_table(results),
    )


def accuracy_table(results: Results) -> Table:
    """Accuracy per phase and prompting on each benchmark, in percent."""
    cells = {(cell.phase, cell.prompting, cell.benchmark): cell for cell in results.cells}
    last = {cell.benchmark: cell for cell in results.cells}
    rows = tuple(
        (phase, prompting, *(accuracy(cells.get((phase, prompting, name))) for name in results.benchmarks))
        for phase in _phases(results)
        for prompting in PROMPTINGS
    )
    headings = tuple(f"{name} ({last[name].transfer}, n={last[name].n})" for name in results.benchmarks)
    return Table("Accuracy", ("phase", "prompting", *headings), rows, f"{error_note(results.cells)}.")


def overlap_tables(results: Results) -> Sequence[Table]:
    """Return the table of the accuracies with and without the questions that overlap with what was trained on."""
    rows, varying = [], _varying(results.cells)
    for found in results.contamination:
        for score in found.scores:
            cell = results.cells[score.cell]
            rows.append(
                (
                    *(_said(cell, name) for name in varying),
                    cell.benchmark,
                    _done(cell) if len(results.arms) > 1 else cell.phase,
                    cell.prompting,
                    str(cell.n - score.n),
                    f"{100 * cell.value:.1f}",
                    f"{100 * score.value:.1f}",
                    str(score.n),
                )
            )
        if not found.scores:
            unknown = ("-",) * len(varying)
            rows.append(
                (
                    *unknown,
                    found.benchmark,
                    "-",
                    "-",
                    str(len(found.questions)),
                    "-",
                    "-",
                    str(found.n - len(found.questions)),
                )
            )
    if not results.contamination:
        return ()
    listed = (
        f"{found.benchmark} {len(found.questions)} of {found.n}, with {', '.join(found.trained)}:"
        f" {', '.join(found.questions[:_SHOWN])}{', …' if len(found.questions) > _SHOWN else ''}"
        for found in results.contamination
    )
    note = (
        f"Test questions that share {results.contamination[0].ngram} words in a row, or all of their words, with a"
        f" question trained on ({'; '.join(listed)}); results.json names all. Accuracy in percent."
    )
    headings = (*varying, "benchmark", "phase", "prompting", "overlapping", "right", "right without", "n without")
    return (Table("Overlap with training", headings, tuple(rows), note),)


def forgetting_tables(results: Results) -> Sequence[Table]:
    """Return the table of the lm-eval tasks scored beside the benchmarks: each metric by phase, and its change."""
    changes = {change.after: change for change in results.forgetting_changes}
    places = {score: at for at, score in enumerate(results.forgetting)}
    phases = PHASES if refines(results.arms) else PHASES[:-1]
    rows = []
    for arm in results.arms:
        lines: dict[tuple[str, ...], dict[str, TaskScore]] = {}
        for score in results.forgetting:
            if belongs(score, arm):
                lines.setdefault((score.title, score.task, score.measure), {})[score.phase] = score
        for (title, task, measure), line in lines.items():
            moved = [changes.get(places[line[phase]]) if phase in line else None for phase in phases[1:]]
            rows.append(
                (
                    *((describe(arm, results.arms),) if len(results.arms) > 1 else ()),
                    title if task == title.partition(",")[0] else f"{title}: {task}",
                    measure,
                    str(next(iter(line.values())).n),
                    *(_as_printed(line.get(phase)) for phase in phases),
                    *map(_moved, moved),
                )
            )
    if not rows:
        return ()
    headings = (
        *(("student",) if len(results.arms) > 1 else ()),
        "lm-eval task", "metric", "n", *(NOUNS[phase] for phase in phases),
        *(f"{NOUNS[phase]} - baseline" for phase in phases[1:]),
    )  # fmt: skip
    note = (
        "Tasks scored beside the benchmarks, by lm-eval as it is: its prompts, its metrics, ± its standard error. A"
        " difference's 95% interval is paired by document (*) where each counts 0 or 1, else from the standard errors."
    )
    return (Table("Forgetting", headings, tuple(rows), note),)


def _as_printed(score: TaskScore | None) -> str:
    if score is None:
        return "-"
    return f"{score.value:.4f}" + ("" if score.stderr is None else f" ± {score.stderr:.4f}")


def _moved(change: TaskChange | None) -> str:
    if change is None:
        return "-"
    if change.low is None or change.high is None:
        return f"{change.value:+.4f}"
    return f"{change.value:+.4f} [{change.low:+.4f}, {change.high:+.4f}]{'*' if change.paired else ''}"


def arms_table(results: Results) -> Table:
    """Accuracy of every arm of a run, a row each: the paper's Tables 1, 10 and 11, or its Figure 4, in percent."""
    lines: dict[tuple[object, ...], dict[str, Cell]] = {}
    for cell in results.cells:
        if cell.prompting == "cot" or cell.phase == "baseline":
            lines.setdefault(_line(cell), {})[cell.benchmark] = cell
    ordered = sorted(lines.values(), key=lambda line: _order(next(iter(line.values()))))
    firsts = [next(iter(line.values())) for line in ordered]
    varying = _varying(firsts)
    rows = []
    for line, first in zip(ordered, firsts, strict=True):
        values = (accuracy(line.get(name)) + _mark(line.get(name)) for name in results.benchmarks)
        rows.append((*(_said(first, name) for name in varying), _done(first), first.prompting, *values))
    headings = (*varying, "phase", "prompting", *results.benchmarks)
    note = f"{error_note(results.cells)}; * a task trained or refined on."
    return Table("Accuracy", headings, tuple(rows), note)


def _varying(cells: Sequence[Cell]) -> list[str]:
    """The fields that tell the students of these cells apart."""
    taught = [cell for cell in cells if cell.phase != "baseline"] or cells
    names = [name for name in ("student", "teacher", "fraction") if len({_said(cell, name) for cell in taught}) > 1]
    return names + (["strategy"] if len({cell.strategy for cell in cells if cell.phase == "refine"}) > 1 else [])


def _line(cell: Cell) -> tuple[object, ...]:
    return (
        cell.student, cell.teacher, cell.strategy, cell.fraction, cell.train_on, cell.refine_on, cell.method,
        cell.phase, cell.prompting,
    )  # fmt: skip


def _order(cell: Cell) -> tuple[bool, int]:
    return PHASES.index(cell.phase) > 0, PROMPTINGS.index(cell.prompting)


def _done(cell: Cell) -> str:
    """What was done to the student: baseline, instruct A, instruct A refine A, instruct A refine B (cross)."""
    if cell.phase == "baseline":
        return "baseline"
    taught = f"instruct {'+'.join(cell.train_on)}" if cell.train_on else ""
    if cell.phase == "instruct":
        return taught
    crossed = " (cross)" if cell.train_on and set(cell.train_on) != set(cell.refine_on) else ""
    return " ".join(word for word in (taught, f"refine {'+'.join(cell.refine_on)}{crossed}") if word)


def _said(cell: Cell, name: str) -> str:
    # A baseline had no demonstrations, so none were a share of them.
    value = "" if cell.phase == "baseline" and name == "fraction" else getattr(cell, name)
    return f"{value:g}" if isinstance(value, float) else str(value or "-")


def _mark(cell: Cell | None) -> str:
    return " *" if cell is not None and cell.phase != "baseline" and cell.transfer == "trained" else ""


def error_note(cells: Sequence[Cell]) -> str:
    """What the errors of accuracies are over, by name."""
    note = "Accuracy in percent ± standard error over questions"
    seeds = max((len(cell.seeds) for cell in cells), default=1)
    return note + (f", mean of {seeds} seeds (standard deviation over seeds in brackets)" if seeds > 1 else "")


def _phases(results: Results) -> list[Phase]:
    """The phases that were scored, in their order."""
    scored = {cell.phase for cell in results.cells}
    return [phase for phase in PHASES if phase in scored]


def _last_step(results: Results) -> tuple[Phase, Phase]:
    taught = [phase for phase in _phases(results) if phase != "baseline"] or ["instruct"]
    return (taught[-2] if len(taught) > 1 else "baseline"), taught[-1]


def gain_table(results: Results) -> Table:
    """What the last phase gained over the one before it with CoT, and what the gain is made of, in points."""
    rows = []
    first, last = _last_step(results)
    for before, after, change in results.changes_to(last, "cot"):
        if before.phase == first:
            interval = "" if change.interval is None else f" ± {100 * change.interval:.1f}"
            rows.append(
                (after.benchmark, after.transfer, f"{100 * change.value:+.1f}{interval}",
                 f"{100 * change.style:+.1f}", f"{100 * change.skill:+.1f}")
            )  # fmt: skip
    note = (
        "Percentage points with CoT (± 95% t-interval over seeds, where there are several). Style: more answers are"
        " worked out in steps. Skill: answers of the same kind are right more often. Where one of the phases has no"
        " answer of a kind, the change cannot be told apart and counts as style."
    )
    return Table(
        f"{NOUNS[last].capitalize()} minus {NOUNS[first]}",
        ("benchmark", "transfer", "gain", "from style", "from skill"),
        tuple(rows),
        note,
    )


def worked_table(results: Results) -> Table:
    """The share of worked answers with CoT and the accuracy among them, per phase, in percent."""
    rows = [
        (
            cell.phase,
            cell.benchmark,
            f"{100 * cell.worked:.1f}",
            _percent(cell.worked_accuracy),
            _percent(cell.other_accuracy),
            f"{100 * cell.unread:.1f}",
        )
        for phase in PHASES
        for cell in results.cells
        if (cell.phase, cell.prompting) == (phase, "cot")
    ]
    headings = ("phase", "benchmark", "worked", "right among worked", "right among others", "no answer read")
    note = "Percent of the answers with CoT; worked: more than one sentence or line (a rough measure)."
    return Table("Worked answers", headings, tuple(rows), note)


def cut_table(results: Results) -> Table:
    """The cells with answers that were cut at the length limit, and the accuracy among the others, in percent."""
    found = [cell for phase in PHASES for cell in results.cells if cell.phase == phase and cell.truncated]
    varying = _varying(results.cells)
    rows = tuple(
        (
            *(_said(cell, name) for name in varying),
            _done(cell) if len(results.arms) > 1 else cell.phase,
            cell.benchmark,
            cell.prompting,
            f"{100 * cell.truncated:.1f}",
            f"{100 * cell.value:.1f}",
            _percent(cell.finished_accuracy),
        )
        for cell in found
    )
    asked = sum(score.n for cell in results.cells for score in cell.seeds)
    cut = sum(score.truncated for cell in results.cells for score in cell.seeds)
    note = (
        f"{cut:,} of {asked:,} answers were cut at evaluate.max_new_tokens; in percent. What is read in them counts."
        " Where there are many, a gain may be nothing but shorter answers: compare the accuracy of the finished ones."
        if cut
        else f"None of {asked:,} answers was cut at evaluate.max_new_tokens."
    )
    headings = (*varying, "phase", "benchmark", "prompting", "cut", "right", "right among finished")
    return Table("Answers cut at the length limit", headings, rows, note)


def sampled_tables(results: Results) -> Sequence[Table]:
    """Return the table of what answers sampled besides show, in percent, where any were."""
    found = [cell for phase in PHASES for cell in results.cells if cell.phase == phase and cell.sampled]
    names = list(dict.fromkeys(score.name for cell in found for score in cell.sampled))
    varying = _varying(results.cells)
    rows = []
    for cell in found:
        scores = {score.name: score for score in cell.sampled}
        values = (
            f"{100 * scores[name].value:.1f} ({100 * scores[name].low:.1f} to {100 * scores[name].high:.1f})"
            for name in names
        )
        done = _done(cell) if len(results.arms) > 1 else cell.phase
        rows.append((*(_said(cell, name) for name in varying), done, cell.benchmark, cell.prompting, *values))
    note = (
        "Percent (95% interval over questions). mean: accuracy of a sampled answer; pass@k: one of k is right, the"
        " unbiased estimator of Chen et al. 2021; majority: the commonest answer is right."
    )
    headings = (*varying, "phase", "benchmark", "prompting", *names)
    return (Table("Several answers to each question", headings, tuple(rows), note),) if rows else ()


def contest_tables(results: Results) -> Sequence[Table]:
    """Return the verdict with each strategy's difference from the control, and what each took."""
    contest = results.contest
    if contest is None:
        return ()
    cells = {
        (cell.strategy, cell.benchmark): cell
        for cell in results.cells
        if (cell.phase, cell.prompting) == ("refine", "cot")
    }
    means = {one.strategy: f"{100 * one.accuracy:.1f}" for one in contest.contenders}

    def reached(strategy: str, benchmark: str) -> str:
        return accuracy(cells[strategy, benchmark]) if benchmark else means[strategy]

    duels = tuple(
        (
            duel.strategy,
            duel.benchmark or "all",
            reached(duel.strategy, duel.benchmark),
            reached(contest.control, duel.benchmark),
            f"{100 * duel.difference:+.1f}" + ("" if duel.interval is None else f" ± {100 * duel.interval:.1f}"),
            _bounds(duel.paired),
            "-" if duel.paired is None else f"+{duel.paired.gained} -{duel.paired.lost}",
            "-" if duel.p is None else f"{duel.p:.2g}",
            "-" if duel.holm is None else f"{duel.holm:.2g}",
            "yes" if told(duel) else "no",
        )
        for duel in contest.duels
    )
    took = tuple(
        (
            one.strategy,
            means[one.strategy],
            f"{one.prompts:,}",
            _count(one.written),
            f"{one.pairs:,}",
            _count(one.trained),
            f"{one.steps:,}",
            f"{one.seconds:.1f}",
        )
        for one in contest.contenders
    )
    note = (
        f"{verdict(contest)} Accuracy with CoT in percent, the difference in points (± 95% t-interval over seeds, where"
        " there are several); 95%: paired bootstrap over questions; p: randomisation test over questions, each by its"
        " mean over seeds; Holm: with Holm's correction over the strategies, and over strategies and benchmarks in the"
        " rows of one; told: Holm below 0.05, and the seeds' interval without 0."
    )
    headings = (
        "strategy", "benchmark", "accuracy", contest.control, "difference", "95%", "gained, lost", "p", "Holm", "told",
    )  # fmt: skip
    return (
        Table(f"Against the control {contest.control}", headings, duels, note),
        Table(
            "What each strategy took",
            (
                "strategy",
                "mean accuracy with CoT",
                "prompts answered",
                "tokens written",
                "pairs or rows",
                "tokens trained on",
                "steps",
                "seconds",
            ),
            took,
            "From the instructed student on, all seeds and rounds, as if it were alone; what strategies share is made"
            " once. Tokens trained on are those of each step's rows, a prompt with each of its sides; seconds are those"
            " of the stages when they were made.",
        ),
    )


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _bounds(paired: PairedTest | None) -> str:
    if paired is None or paired.low is None or paired.high is None:
        return "-"
    return f"{100 * paired.low:+.1f} to {100 * paired.high:+.1f}"


def round_tables(results: Results) -> Sequence[Table]:
    """Return the accuracy after each round of refining, in percent, where rounds were scored."""
    last = {(*_line(cell), cell.benchmark): cell for cell in results.cells if cell.phase == "refine"}
    found: dict[tuple[object, ...], dict[int, Cell]] = {}
    for one in results.rounds:
        found.setdefault((*_line(one.cell), one.cell.benchmark), {})[one.round] = one.cell
    varying, rows = _varying(results.cells), []
    numbers = sorted({one.round for one in results.rounds})
    for line, rounds in found.items():
        cell = last[line]
        before = [
            one for one in results.cells
            if one.phase == "instruct" and belongs_before(one, cell) and one.benchmark == cell.benchmark
        ]  # fmt: skip
        values = [accuracy(rounds.get(number)) for number in numbers]
        rows.append(
            (*(_said(cell, name) for name in varying), cell.benchmark, cell.prompting,
             accuracy(before[0] if before else None), *values, accuracy(cell))
        )  # fmt: skip
    headings = (
        *varying, "benchmark", "prompting", "instructed", *(f"round {number}" for number in numbers),
        "last round",
    )  # fmt: skip
    note = (
        f"{error_note(results.cells)}. Each round samples from the student that the one before has made, which is also"
        " the reference it is held against."
    )
    return (Table("Round by round", headings, tuple(rows), note),) if rows else ()


def pair_tables(results: Results) -> Sequence[Table]:
    """Return the table of the pairs, where students were refined at all."""
    return (pair_table(results),) if refines(results.arms) else ()


def pair_table(results: Results) -> Table:
    """Where the pairs came from, in counts, a row for each arm (its seeds and rounds summed)."""
    by_key = {pairs.key: pairs for pairs in results.pairs}
    target = any(pairs.chosen_from["target"] for pairs in results.pairs)
    bare = any(pairs.without_demonstration for pairs in results.pairs)
    rows = []
    for arm in results.arms:
        own = [by_key[one.pair] for lesson in arm.lessons for one in lesson.rounds if one.pair in by_key]
        if not own:
            continue
        reasons: Counter[str] = Counter()
        for pairs in own:
            reasons.update(pairs.left_out_reasons)
        listed = "; ".join(f"{reason}: {count}" for reason, count in sorted(reasons.items()))
        chosen = {origin: sum(pairs.chosen_from[origin] for pairs in own) for origin in own[0].chosen_from}
        rows.append(
            (
                describe(arm, results.arms),
                str(sum(pairs.total for pairs in own)),
                str(chosen["student"]),
                str(chosen["teacher"]),
                *((str(chosen["target"]),) if target else ()),
                str(sum(pairs.rejected_correct for pairs in own)),
                str(sum(pairs.rejected_truncated for pairs in own)),
                str(sum(pairs.fell_back for pairs in own)),
                *((str(sum(pairs.without_demonstration for pairs in own)),) if bare else ()),
                f"{sum(pairs.left_out for pairs in own)}" + (f" ({listed})" if listed else ""),
            )
        )
    headings = (
        "student", "pairs", "chosen: the student's own", "chosen: the teacher's",
        *(("chosen: the target",) if target else ()),
        "rejected although right", "rejected: cut", "own answer cut, another's chosen",
        *(("without a kept demonstration",) if bare else ()), "questions left out",
    )  # fmt: skip
    note = "" if rows else "No student was refined on pairs."
    return Table("Preference pairs", headings, tuple(rows), note)


def demonstration_table(results: Results) -> Table:
    """How many demonstrations the teacher gave, how many reach the target, and how many were cut."""
    rows = tuple(
        (
            given.label, str(given.asked), str(given.answered), str(given.right), str(given.truncated),
            place("annotate", given.key),
        )
        for given in results.demonstrations
    )  # fmt: skip
    headings = ("benchmark and teacher", "asked", "answered", "right", "cut", "file")
    return Table("Demonstrations", headings, rows, _PATHS)


def teacher_tables(results: Results) -> Sequence[Table]:
    """Return the teachers' own accuracy (the paper's Table 5), and what their answers took where that is known."""
    rows = tuple(
        (
            score.teacher, score.benchmark, score.split, score.prompting,
            f"{100 * score.value:.1f} ± {100 * score.stderr:.1f}", str(score.n), place("annotate", score.key),
        )
        for score in results.teacher_scores
    )  # fmt: skip
    usage = results.usage
    note = "Over the questions it answered, in percent ± standard error."
    if usage.prompt_tokens or usage.completion_tokens:
        note += f" {usage.prompt_tokens:,} tokens in, {usage.completion_tokens:,} out"
        note += "." if usage.cost is None else f", ${usage.cost:,.2f}."
    table = Table(
        "The teacher's own accuracy", ("teacher", "benchmark", "split", "prompting", "right", "n", "file"), rows, note
    )
    return (table,) if rows else ()


def settings_tables(results: Results) -> Sequence[Table]:
    """Return the settings that students and strategies do not have alike, a column for each pair of them."""
    used = {(arm.student, arm.strategy): arm.settings for arm in results.arms}
    names = [(stage, key) for stage, keys in next(iter(used.values()), {}).items() for key in keys]
    if not names:
        return ()
    several = [len({pair[place] for pair in used}) > 1 for place in (0, 1)]
    headings = (", ".join(text for text, differs in zip(pair, several, strict=True) if differs) for pair in used)
    rows = tuple((f"{stage}.{key}", *(str(settings[stage][key]) for settings in used.values())) for stage, key in names)
    return (Table("Settings that differ", ("setting", *headings), rows, "All others are in recipe.yaml."),)


def stage_table(results: Results) -> Table:
    """How long each stage took and what came from the store."""
    rows = tuple((stage.title, f"{stage.seconds:.1f}", "reused" if stage.reused else "run") for stage in results.stages)
    made = [stage for stage in results.stages if not stage.reused]
    note = (
        f"{len(made)} of {len(rows)} stages were run, {sum(stage.seconds for stage in made):.1f} s;"
        f" {len(rows) - len(made)} were reused from the store (their seconds are what they once took)."
    )
    return Table("Stages", ("stage", "seconds", ""), rows, note)


def accuracy(cell: Cell | None) -> str:
    """Return percent ± standard error over questions, and in brackets the standard deviation over seeds if any."""
    if cell is None:
        return ""
    text = f"{100 * cell.value:.1f} ± {100 * cell.over_questions:.1f}"
    return text if cell.deviation is None else f"{text} ({100 * cell.deviation:.1f})"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
