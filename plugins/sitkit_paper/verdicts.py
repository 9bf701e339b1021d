"""The paper's claims, each tried on a run's own cells and on the paper's own tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sitkit.report.cells import signed
from sitkit.report.tables import Table
from sitkit.types import Json
from sitkit_paper.differences import RATING, groups
from sitkit_paper.evidence import Evidence, paper_evidence
from sitkit_paper.own import own_evidence
from sitkit_paper.rules import FAILS, Finding, Verdict, find, together
from sitkit_paper.statements import Claim, Clause, statements

_NO_CELLS = "no such cells"
_NO_FIGURES = "a plot without numbers"


@dataclass(frozen=True)
class ClaimVerdict:
    """A claim, what this run's cells say of it, and what the paper's tables do.

    ``findings`` and ``paper_findings`` hold one entry for each part of the claim and each student; they are empty
    where there are no such cells: the verdict is then "cannot be said".
    """

    claim: Claim
    verdict: Verdict
    findings: tuple[Finding, ...]
    paper_verdict: Verdict
    paper_findings: tuple[Finding, ...]

    @property
    def tried(self) -> bool:
        """Whether this run has cells for every part of it."""
        return {one.part for one in self.findings} == set(self.claim.parts)

    @property
    def contradicted(self) -> bool:
        """Whether the paper says it and its own tables do not bear it out, for one of its students at least."""
        return self.claim.said and self.paper_verdict == FAILS

    def numbers(self) -> str:
        """Return this run's numbers in words: mean difference ± standard error, cells above and below."""
        return _numbers(self.findings, printed=False) or _NO_CELLS

    def paper_numbers(self) -> str:
        """Return the paper's numbers in words."""
        return _numbers(self.paper_findings, printed=True) or _NO_FIGURES


def claims(results: Json, judgements: Sequence[Json] = ()) -> Sequence[ClaimVerdict]:
    """Try every claim on a run's cells, and on what judges said of it (`sitkit.report.judgements.load_judgements`)."""
    own, printed = own_evidence(results, judgements), paper_evidence()
    found = []
    for claim in statements():
        verdict, findings = _try(claim, own)
        paper_verdict, paper_findings = _try(claim, printed)
        found.append(ClaimVerdict(claim, verdict, findings, paper_verdict, paper_findings))
    return found


def claim_table(verdicts: Sequence[ClaimVerdict]) -> Table:
    """Return the claims this run has cells for; the note names the others, and those the paper's tables contradict."""
    tried = [one for one in verdicts if one.tried]
    untried = [one.claim.id for one in verdicts if not one.tried]
    contradicted = [one.claim.id for one in verdicts if one.contradicted]
    note = (
        "What the paper (arXiv 2405.00402) says, in our words, tried on this run's cells with the trigger at 95%:"
        " mean difference in points ± standard error, and how many cells lie above or below 0 beyond their error."
        " Beside it, what the paper's own tables say, taken as they stand. Ids with D are not its own: they say"
        " what else its tables show, or do not."
    )
    if contradicted:
        note += f" The paper's own tables contradict {', '.join(contradicted)}."
    if untried:
        note += f" This run has no cells for {', '.join(untried)}."
    rows = tuple(
        (
            f"{one.claim.id} {one.claim.text}",
            one.verdict,
            one.numbers(),
            one.paper_verdict if one.paper_findings else "-",
            one.paper_numbers(),
        )
        for one in tried
    )
    headings = ("claim", "this run", "its numbers", "the paper's tables", "their numbers")
    return Table("The paper's claims", headings, rows, note)


def contradiction_table(verdicts: Sequence[ClaimVerdict]) -> Table:
    """Return the claims that the paper's own tables contradict, for one of its students at least."""
    rows = tuple(
        (f"{one.claim.id} {one.claim.text}", one.claim.source, one.paper_numbers())
        for one in verdicts
        if one.contradicted
    )
    note = "Evaluated from the figures of Tables 1, 5, 10, 11 and 14 as printed (arXiv 2405.00402v1)."
    return Table("What the paper's own tables contradict", ("claim", "where it is made", "its tables"), rows, note)


def _try(claim: Claim, evidence: Evidence) -> tuple[Verdict, tuple[Finding, ...]]:
    findings: list[Finding] = []
    verdicts: list[Verdict] = []
    for part in claim.parts:
        found = [find(part, group, printed=evidence.printed) for group in groups(part, evidence)]
        verdicts.append(together([one.verdict for one in found]))
        findings += found
    return together(verdicts), tuple(findings)


def _numbers(findings: Sequence[Finding], *, printed: bool) -> str:
    parts: dict[Clause, list[Finding]] = {}
    for one in findings:
        parts.setdefault(one.part, []).append(one)
    said = []
    for part, found in parts.items():
        named = printed or len(found) > 1
        differ = len({one.verdict for one in found}) > 1
        text = ", ".join(_said(one, named=named, differ=differ, printed=printed) for one in found)
        said.append(f"{part.label}: {text}" if part.label else text)
    # Two parts may ask different things of the same differences.
    return "; ".join(dict.fromkeys(said))


def _said(one: Finding, *, named: bool, differ: bool, printed: bool) -> str:
    mean, total = one.group.mean(), len(one.group.differences)
    digits = 2 if one.group.unit == RATING else 1
    text = signed(mean.value, digits)
    if not printed:
        text += f" ± {mean.error:.{digits}f}"
    if total > 1:
        neither = "level" if printed else "within error"
        counts = [(one.above, "above"), (one.below, "below"), (total - one.above - one.below, neither)]
        first, *more = [(count, what) for count, what in counts if count]
        text += f" ({first[0]} of {total} {first[1]}{''.join(f', {count} {what}' for count, what in more)})"
    name = one.group.name + (f" {one.verdict}:" if differ else "")
    return f"{name} {text}" if named else text
