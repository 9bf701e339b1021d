"""What a reader must be told before believing a table: computed from the results, said in plain sentences.

Every kind of trouble is one sentence, however many cells it is found in: the worst are named, the others counted.
docs/beside-the-paper.md states each threshold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence

from sitkit.results.model import Cell, Change, Contamination, Duplicates, Pairs, Results, Training
from sitkit.types import PHASES, Phase

_NEAR_ZERO = 0.1
_MANY_UNREAD = 0.05
_MANY_TRUNCATED = 0.05
_MANY_REJECTED_RIGHT = 0.1
_MUCH_LONGER = 3.0
_GREW = 1.5
_LOGP_FALL = -1.0
_CERTAIN = 1.96
_CLAIMED = 0.01
_NAMED = 4
_WORST = 3
_ALIKE = 2
_NOTICES = 10

Named = Callable[[Cell], str]
Step = tuple[Cell, Cell, Change]


def warnings_of(results: Results) -> list[str]:
    """Return the sentences, the gravest first; what the stages themselves reported comes last."""
    named = _naming(results.cells)
    last: Phase = "refine" if any(cell.phase == "refine" for cell in results.cells) else "instruct"
    return [
        *_near_zero(results.cells, last),
        *_duplicates(results.duplicates),
        *_contamination(results.contamination),
        *_truncated(results.cells, named),
        *_cut_more(list(results.changes_to("refine")), named),
        *_repeated(results.cells, named),
        *_unread(results.cells, named),
        *_falls(list(results.changes_to("instruct")), "instruction-tuning lowered accuracy", named),
        *_falls(list(results.changes_to("refine")), "refining lowered accuracy", named),
        *_forgetting(results),
        *_likelihood(results.training),
        *_rejected(results.pairs),
        *_sampled(results.pairs),
        *_lengths(results),
        *_too_few(list(results.changes_to(last, "cot")), named, last),
        *_notices(results.notices),
    ]


def _naming(cells: Sequence[Cell]) -> Named:
    """How cells are told apart: by benchmark and prompting, and by what else there are several of."""
    taught = [cell for cell in cells if cell.phase != "baseline"]
    students, teachers = {cell.student for cell in cells}, {cell.teacher for cell in taught}
    fractions, trained = {cell.fraction for cell in taught}, {cell.train_on for cell in taught}
    refined = {(cell.train_on, cell.refine_on) for cell in cells if cell.phase == "refine"}
    strategies = {cell.strategy for cell in cells if cell.phase == "refine"}

    def named(cell: Cell) -> str:
        words = [f"{cell.benchmark}/{cell.prompting}"]
        if cell.train_on and len(trained) > 1:
            words.append(f"trained on {'+'.join(cell.train_on)}")
        if cell.refine_on and len(refined) > 1 and cell.refine_on != cell.train_on:
            words.append(f"refined on {'+'.join(cell.refine_on)}")
        if cell.strategy and len(strategies) > 1:
            words.append(f"by {cell.strategy}")
        if cell.phase != "baseline" and len(fractions) > 1:
            words.append(f"at {cell.fraction:.0%}")
        if cell.teacher and len(teachers) > 1:
            words.append(f"by {cell.teacher}")
        return " ".join(words if len(students) == 1 else [cell.student, *words])

    return named


def _forgetting(results: Results) -> list[str]:
    found = [
        f"{score.title} {score.measure} {change.value:+.4f} [{change.low:+.4f}, {change.high:+.4f}] after {score.phase}"
        for _, score, change in results.task_changes()
        if change.certain and score.higher_is_better is not None and (change.value < 0) == score.higher_is_better
    ]
    if not found:
        return []
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return [f"forgetting: worse than before any training on: {'; '.join(found[:_NAMED])}{more}"]


def _near_zero(cells: Sequence[Cell], phase: Phase) -> list[str]:
    last = [cell for cell in cells if cell.phase == phase]
    after = "refining" if phase == "refine" else "instruction-tuning"
    if last and all(cell.value < _NEAR_ZERO for cell in last):
        best = max(cell.value for cell in last)
        return [
            f"accuracy is near zero everywhere (best {best:.1%} after {after}): this student cannot do these tasks,"
            " and no difference between phases means anything here"
        ]
    best_on: dict[str, float] = {}
    for cell in last:
        if cell.prompting == "cot":
            best_on[cell.benchmark] = max(cell.value, best_on.get(cell.benchmark, 0.0))
    names = sorted(name for name, best in best_on.items() if best < _NEAR_ZERO)
    return [f"accuracy with CoT is near zero after {after} on: {', '.join(names)}"] if names else []


def _duplicates(counts: Iterable[Duplicates]) -> list[str]:
    found = [f"{count.benchmark} {count.in_train} of {count.n}" for count in counts if count.in_train]
    if not found:
        return []
    return [
        f"test questions also in the training set: {', '.join(found)}; --drop-duplicates leaves them out of training"
    ]


def _contamination(found: Sequence[Contamination]) -> list[str]:
    if not found:
        return []
    where = (f"{one.benchmark} {len(one.questions)} of {one.n} (with {', '.join(one.trained)})" for one in found)
    return [
        f"test questions that share {found[0].ngram} words in a row, or all their words, with a question trained on:"
        f" {', '.join(where)}; --drop-contaminated leaves those of benchmarks out of training"
    ]


def _unread(cells: Sequence[Cell], named: Named) -> list[str]:
    found = sorted((cell for cell in cells if cell.unread > _MANY_UNREAD), key=lambda cell: -cell.unread)
    if not found:
        return []
    where = _where(found, cells, lambda cell: f"{cell.phase} {named(cell)} {cell.unread:.0%}")
    return [f"more than {_MANY_UNREAD:.0%} of the answers could not be read and count as wrong: {where}"]


def _truncated(cells: Sequence[Cell], named: Named) -> list[str]:
    found = sorted((cell for cell in cells if cell.truncated > _MANY_TRUNCATED), key=lambda cell: -cell.truncated)
    if not found:
        return []

    def told(cell: Cell) -> str:
        finished = "none finished" if cell.finished_accuracy is None else f"{cell.finished_accuracy:.1%}"
        return f"{cell.phase} {named(cell)} {cell.truncated:.0%} cut ({cell.value:.1%} right, finished: {finished})"

    return [
        f"more than {_MANY_TRUNCATED:.0%} of the answers were cut at evaluate.max_new_tokens, so that a gain may be"
        f" nothing but shorter answers; compare the accuracy of finished ones: {_where(found, cells, told)}"
    ]


def _cut_more(steps: Sequence[Step], named: Named) -> list[str]:
    """Refining that teaches to go on and on: seen to halve accuracy while the chosen side's log-probability stood."""
    found = sorted(
        ((after.truncated - before.truncated, before, after) for before, after, _ in steps), key=lambda one: -one[0]
    )
    grown = [(before, after) for more, before, after in found if more > _MANY_TRUNCATED]
    if not grown:
        return []
    told = [f"{named(after)} from {before.truncated:.0%} to {after.truncated:.0%}" for before, after in grown]
    listed = told if len(told) <= _NAMED else [*told[:_WORST], f"{len(told) - _WORST} more"]
    return [
        f"answers cut at the length limit rose by refining: {'; '.join(listed)}: it teaches to go on and on; lower"
        " refine.learning_rate, or add an sft term (--set refine.loss=sigmoid+sft)"
    ]


def _repeated(cells: Sequence[Cell], named: Named) -> list[str]:
    """Told by the seed that repeats itself most."""
    most = [(cell, max(cell.seeds, key=lambda score: score.repeated / max(score.n, 1))) for cell in cells if cell.seeds]
    found = {id(cell): score for cell, score in most if score.repeated}
    if not found:
        return []

    def told(cell: Cell) -> str:
        score = found[id(cell)]
        return f"{cell.phase} {named(cell)} “{score.repeated_answer}” to {score.repeated} of {score.n}"

    worst = sorted(
        (cell for cell in cells if id(cell) in found),
        key=lambda cell: -found[id(cell)].repeated / max(found[id(cell)].n, 1),
    )
    return [f"a third of the questions or more got one and the same answer: {_where(worst, cells, told)}"]


def _where(found: Sequence[Cell], cells: Sequence[Cell], told: Named) -> str:
    """The cells found, each as ``told``, worst first; of many the worst alone, and how many there are by phase."""
    listed = [told(cell) for cell in found]
    if len(found) <= _NAMED:
        return "; ".join(listed)
    counts = {phase: sum(cell.phase == phase for cell in found) for phase in PHASES}
    of = {phase: sum(cell.phase == phase for cell in cells) for phase in PHASES}
    by_phase = ", ".join(f"{counts[phase]} of {of[phase]} {phase} cells" for phase in PHASES if counts[phase])
    return f"{by_phase}, worst {'; '.join(listed[:_WORST])}"


def _falls(steps: Sequence[Step], what: str, named: Named) -> list[str]:
    falls = sorted(
        (change.value, named(after))
        for before, after, change in steps
        if change.value < 0 and _told(before, after, change)
    )
    if not falls:
        return []
    listed = [f"{name} ({100 * value:+.1f})" for value, name in falls]
    if len(falls) <= _NAMED:
        return [f"{what} on: {', '.join(listed)}"]
    return [f"{what} in {len(falls)} of {len(steps)} cells, most on: {', '.join(listed[:_WORST])}"]


def _told(before: Cell, after: Cell, change: Change) -> bool:
    """Whether the paired test tells a change from none; without paired answers, whether it is beyond both errors."""
    if change.paired is not None:
        return change.paired.certain
    return abs(change.value) > _CERTAIN * math.hypot(before.error, after.error)


def _likelihood(training: Iterable[Training]) -> list[str]:
    shifts = [
        one.metrics["chosen_logp_shift"]
        for one in training
        if one.stage == "refine" and "chosen_logp_shift" in one.metrics
    ]
    fallen = [shift for shift in shifts if shift < _LOGP_FALL]
    if not fallen:
        return []
    return [
        f"in {len(fallen)} of {len(shifts)} refinements the chosen answers became less likely (log-probability"
        f" {min(fallen):+.1f} nats at worst), a known failure of DPO (Pal et al. 2024, arXiv 2402.13228): lower"
        " refine.learning_rate or add an sft term (--set refine.loss=sigmoid+sft)"
    ]


def _rejected(pairs: Sequence[Pairs]) -> list[str]:
    total, right = sum(one.total for one in pairs), sum(one.rejected_correct for one in pairs)
    if not total or right / total <= _MANY_REJECTED_RIGHT:
        return []
    return [f"in {right / total:.0%} of the pairs the rejected answer was right too ({right} of {total})"]


def _sampled(pairs: Sequence[Pairs]) -> list[str]:
    questions, cut = sum(one.questions for one in pairs), sum(one.truncated for one in pairs)
    if not questions or cut / questions <= _MANY_TRUNCATED:
        return []
    fell_back, rejected = sum(one.fell_back for one in pairs), sum(one.rejected_truncated for one in pairs)
    return [
        f"for {cut / questions:.0%} of the questions refined on ({cut} of {questions}) an own answer of the student was"
        f" cut at sample.max_new_tokens: none was chosen ({fell_back} pairs took another's), {rejected} were rejected"
    ]


def _lengths(results: Results) -> list[str]:
    total = sum(pairs.total for pairs in results.pairs)
    chosen = sum(pairs.chosen_characters for pairs in results.pairs)
    rejected = sum(pairs.rejected_characters for pairs in results.pairs)
    if not total or chosen <= _MUCH_LONGER * max(rejected, total):
        return []
    grown = ""
    before, after = (_mean_length(results.cells, phase) for phase in ("instruct", "refine"))
    if before is not None and after is not None:
        if after <= _GREW * before:
            return []
        grown = f", and with CoT they grew from {before:.0f} to {after:.0f} characters"
    return [
        f"chosen answers are {chosen / max(rejected, 1):.0f} times as long as rejected ones"
        f" ({chosen / total:.0f} and {rejected / total:.0f} characters on average): DPO may learn length in place of"
        f" quality (Park et al. 2024, arXiv 2403.19159); see whether answers only grew{grown}"
    ]


def _mean_length(cells: Sequence[Cell], phase: str) -> float | None:
    scores = [score for cell in cells if (cell.phase, cell.prompting) == (phase, "cot") for score in cell.seeds]
    asked = sum(score.n for score in scores)
    return sum(score.characters for score in scores) / asked if asked else None


def _too_few(steps: Sequence[Step], named: Named, last: Phase) -> list[str]:
    among = [step for step in steps if step[0].phase == PHASES[PHASES.index(last) - 1]]
    unsure = [
        (before, after, change)
        for before, after, change in among
        if _CLAIMED <= change.value < _CERTAIN * math.hypot(before.error, after.error)
        and not (change.paired is not None and change.paired.certain)
    ]
    if not unsure:
        return []
    asked = _range([after.n for _, after, _ in unsure], "{:.0f}")
    shown = _range([100 * change.detectable for _, _, change in unsure], "{:.0f}")
    _, largest, change = max(unsure, key=lambda step: step[2].value)
    takes = (
        ""
        if change.needed is None
        else f"; {named(largest)} {100 * change.value:+.1f} would take about "
        + (f"{_two_digits(change.needed)} questions")
    )
    return [
        f"{asked} questions are too few: only gains above {shown} points would show ({len(unsure)} of {len(among)}"
        f" cells{takes})"
    ]


def _range(values: Sequence[float], form: str) -> str:
    low, high = form.format(min(values)), form.format(max(values))
    return low if low == high else f"{low} to {high}"


def _two_digits(n: int) -> str:
    step = 10 ** max(len(str(n)) - 2, 0)
    return f"{math.ceil(n / step) * step:,}"


def _notices(notices: Iterable[str]) -> list[str]:
    """What stages reported; texts that differ in numbers alone are one with a count, and the list ends somewhere."""
    alike: dict[str, list[str]] = {}
    for text in notices:
        alike.setdefault(re.sub(r"\d+", "#", text), []).append(text)
    found = []
    for texts in alike.values():
        found += [f"{texts[0]} (and {len(texts) - 1} more like it)"] if len(texts) > _ALIKE else texts
    if len(found) > _NOTICES:
        found = [*found[:_NOTICES], f"{len(found) - _NOTICES} more notices are in results.json"]
    return found
