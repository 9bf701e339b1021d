"""What a reader must be told before believing a table: computed from the scores, said in plain sentences.

Every kind of trouble is one sentence, however many cells it is found in: the worst are named, the others counted.
docs/beside-the-paper.md states each threshold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence

from sitkit.report.cells import ScoredCell, before, collect
from sitkit.report.power import POWER, detectable, independent_discordance, needed
from sitkit.results.artifacts import Stored
from sitkit.results.significance import compare
from sitkit.types import PHASES, Json, Phase

_NEAR_ZERO = 0.1
_MANY_UNREAD = 0.05
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

Named = Callable[[ScoredCell], str]
Step = tuple[ScoredCell, ScoredCell]


def remarks(results: Json, stored: Stored | None = None) -> list[str]:
    """Return the sentences the run's results hold, or, of an older run, those `find_remarks` finds now."""
    if "remarks" in results:
        return list(results["remarks"])
    return find_remarks(results, stored)


def find_remarks(results: Json, stored: Stored | None = None) -> list[str]:
    """Return the sentences, the gravest first; what the stages themselves reported comes last.

    With ``stored``, a gain that the paired test shows is none that has too few questions.
    """
    cells = collect(results["scores"])
    steps, named = before(cells), _naming(cells)
    return [
        *_near_zero(cells),
        *_duplicates(results.get("duplicates") or ()),
        *_unread(cells, named),
        *_falls(steps, "instruct", "instruction-tuning lowered accuracy", named, _paper_falls),
        *_falls(steps, "refine", "refining lowered accuracy", named),
        *_likelihood(results["training"]),
        *_rejected(results["pairs"]),
        *_lengths(results["pairs"], results["scores"]),
        *_too_few(steps, named, stored),
        *_notices(results.get("notices", ())),
    ]


def _naming(cells: Sequence[ScoredCell]) -> Named:
    """How cells are told apart: by benchmark and prompting, and by what else there are several of."""
    students = {cell.student for cell in cells}
    teachers = {cell.teacher for cell in cells if cell.phase != "baseline"}
    fractions = {cell.fraction for cell in cells if cell.phase != "baseline"}
    trained = {cell.train_on for cell in cells if cell.phase != "baseline"}
    refined = {(cell.train_on, cell.refine_on) for cell in cells if cell.phase == "refine"}

    def named(cell: ScoredCell) -> str:
        words = [f"{cell.benchmark}/{cell.prompting}"]
        if cell.train_on and len(trained) > 1:
            words.append(f"trained on {'+'.join(cell.train_on)}")
        if cell.refine_on and len(refined) > 1 and cell.refine_on != cell.train_on:
            words.append(f"refined on {'+'.join(cell.refine_on)}")
        if cell.phase != "baseline" and len(fractions) > 1:
            words.append(f"at {cell.fraction:.0%}")
        if cell.teacher and len(teachers) > 1:
            words.append(f"by {cell.teacher}")
        return " ".join(words if len(students) == 1 else [cell.student, *words])

    return named


def _near_zero(cells: Sequence[ScoredCell]) -> list[str]:
    last = [cell for cell in cells if cell.phase == "refine"]
    if last and all(cell.value < _NEAR_ZERO for cell in last):
        best = max(cell.value for cell in last)
        return [
            f"accuracy is near zero everywhere (best {best:.1%} after refining): this student cannot do these tasks,"
            " and no difference between phases means anything here"
        ]
    best_on: dict[str, float] = {}
    for cell in last:
        if cell.prompting == "cot":
            best_on[cell.benchmark] = max(cell.value, best_on.get(cell.benchmark, 0.0))
    names = sorted(name for name, best in best_on.items() if best < _NEAR_ZERO)
    return [f"accuracy with the trigger is near zero after refining on: {', '.join(names)}"] if names else []


def _duplicates(counts: Iterable[Json]) -> list[str]:
    found = [f"{one['benchmark']} {one['in_train']} of {one['n']}" for one in counts if one["in_train"]]
    return [
        f"test questions that are training questions too: {', '.join(found)}; --drop-duplicates leaves them out of"
        " training"
    ] if found else []  # fmt: skip


def _unread(cells: Sequence[ScoredCell], named: Named) -> list[str]:
    found = sorted((cell for cell in cells if cell.unread > _MANY_UNREAD), key=lambda cell: -cell.unread)
    if not found:
        return []
    listed = [f"{cell.phase} {named(cell)} {cell.unread:.0%}" for cell in found]
    where = "; ".join(listed)
    if len(found) > _NAMED:
        counts = {phase: sum(cell.phase == phase for cell in found) for phase in PHASES}
        of = {phase: sum(cell.phase == phase for cell in cells) for phase in PHASES}
        by_phase = ", ".join(f"{counts[phase]} of {of[phase]} {phase} cells" for phase in PHASES if counts[phase])
        where = f"{by_phase}, worst {'; '.join(listed[:_WORST])}"
    return [f"more than {_MANY_UNREAD:.0%} of the answers could not be read and count as wrong: {where}"]


def _falls(
    steps: Sequence[Step], phase: Phase, what: str, named: Named, further: Callable[[], str] | None = None
) -> list[str]:
    among = [(earlier, later) for earlier, later in steps if later.phase == phase]
    falls = sorted(
        (later.value - earlier.value, named(later))
        for earlier, later in among
        if earlier.value - later.value > _CERTAIN * math.hypot(earlier.error, later.error)
    )
    if not falls:
        return []
    listed = [f"{name} ({100 * change:+.1f})" for change, name in falls]
    if len(falls) <= _NAMED:
        text = f"{what} on: {', '.join(listed)}"
    else:
        text = f"{what} in {len(falls)} of {len(among)} cells, most on: {', '.join(listed[:_WORST])}"
    return [text + (further() if further is not None else "")]


def _paper_falls() -> str:
    from sitkit_paper.evidence import paper_falls

    below, total = paper_falls()
    return f"; so it did in the paper's Tables 1, 10 and 11, in {below} of {total} cells (below Baseline CoT)"


def _likelihood(training: Iterable[Json]) -> list[str]:
    shifts = [shift for one in training if one["stage"] == "refine" for shift in _shift(one)]
    fallen = [shift for shift in shifts if shift < _LOGP_FALL]
    if not fallen:
        return []
    return [
        f"in {len(fallen)} of {len(shifts)} refinements the chosen answers became less likely (log-probability"
        f" {min(fallen):+.1f} nats at worst), a known failure of DPO (Pal et al. 2024, arXiv 2402.13228): lower"
        " refine.learning_rate or add an sft term (--set refine.loss=sigmoid+sft)"
    ]


def _shift(training: Json) -> list[float]:
    """The mean change of the chosen side's log-probability in nats: as the student measured it, else by its log."""
    measured = training.get("metrics", {}).get("chosen_logp_shift")
    if measured is not None:
        return [float(measured)]
    logged = [float(row["logps/chosen"]) for row in training.get("log", ()) if "logps/chosen" in row]
    return [logged[-1] - logged[0]] if len(logged) > 1 else []


def _rejected(pairs: Json) -> list[str]:
    total, right = pairs.get("total", 0), pairs.get("rejected_correct", 0)
    if not total or right / total <= _MANY_REJECTED_RIGHT:
        return []
    return [f"in {right / total:.0%} of the pairs the rejected answer was right too ({right} of {total})"]


def _lengths(pairs: Json, rows: Sequence[Json]) -> list[str]:
    chosen, rejected = pairs.get("chosen_characters", 0), pairs.get("rejected_characters", 0)
    if not pairs.get("total") or chosen <= _MUCH_LONGER * max(rejected, pairs["total"]):
        return []
    grown = ""
    lengths = [_mean_length(rows, phase) for phase in ("instruct", "refine")]
    if lengths[0] is not None and lengths[1] is not None:
        if lengths[1] <= _GREW * lengths[0]:
            return []
        grown = f", and with the trigger they grew from {lengths[0]:.0f} to {lengths[1]:.0f} characters"
    return [
        f"chosen answers are {chosen / max(rejected, 1):.0f} times as long as rejected ones"
        f" ({chosen / pairs['total']:.0f} and {rejected / pairs['total']:.0f} characters on average): DPO may learn"
        f" length in place of quality (Park et al. 2024, arXiv 2403.19159); see whether answers only grew{grown}"
    ]


def _mean_length(rows: Sequence[Json], phase: Phase) -> float | None:
    told = [row for row in rows if row["phase"] == phase and row["prompting"] == "cot" and "characters" in row]
    asked = sum(int(row["n"]) for row in told)
    return sum(int(row["characters"]) for row in told) / asked if asked else None


def _too_few(steps: Sequence[Step], named: Named, stored: Stored | None) -> list[str]:
    among = [(earlier, later) for earlier, later in steps if (earlier.phase, later.prompting) == ("instruct", "cot")]
    unsure = [
        (earlier, later)
        for earlier, later in among
        if _CLAIMED <= later.value - earlier.value < _CERTAIN * math.hypot(earlier.error, later.error)
        and not (stored is not None and _shown(earlier, later, stored))
    ]
    if not unsure:
        return []
    gains = [(later.value - earlier.value, later, _discordance(earlier, later)) for earlier, later in unsure]
    asked = _range([later.n for _, later, _ in gains], "{:.0f}")
    shown = _range([100 * detectable(later.n, discordance) for _, later, discordance in gains], "{:.1f}")
    gain, largest, discordance = max(gains, key=lambda one: one[0])
    return [
        f"too few questions to tell the gain from instruct to refine with the trigger from none in {len(unsure)} of"
        f" {len(among)} cells: {asked} questions show only gains above {shown} points ({POWER:.0%} power); the largest"
        f" of these, {named(largest)} {100 * gain:+.1f}, takes about {_two_digits(needed(gain, discordance))} questions"
    ]


def _shown(earlier: ScoredCell, later: ScoredCell, stored: Stored) -> bool:
    """Whether the paired test tells the later cell from the earlier one: it is sharper than their two errors."""
    seeds = [
        (stored.correct(key).get(earlier.prompting, {}), stored.correct(later.keys[seed]).get(later.prompting, {}))
        for seed, key in earlier.keys.items()
        if seed in later.keys
    ]
    found = compare(seeds)
    return found is not None and found.certain


def _discordance(earlier: ScoredCell, later: ScoredCell) -> float:
    return independent_discordance(earlier.value, later.value)


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
        if len(texts) > _ALIKE:
            found.append(f"{texts[0]} (and {len(texts) - 1} more like it)")
        else:
            found += texts
    if len(found) > _NOTICES:
        found = [*found[:_NOTICES], f"{len(found) - _NOTICES} more notices stand in results.json"]
    return found
