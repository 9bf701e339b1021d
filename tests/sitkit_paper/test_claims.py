"""The paper's claims: what its own tables say of them, and what a run's cells can and cannot."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitkit.results.judgements import Judgement
from sitkit_paper.beside import claim_table, contradiction_table
from sitkit_paper.claims import ClaimVerdict, Clause, Difference, Group, claims, find, together
from sitkit_paper.printed import paper
from tests.sitkit_paper.paper_run import cell, judgement, rating, results, run

CHECKED = Path(__file__).parents[2].parent / "shared" / "paper" / "claims.json"
NAMES = {"Llama-2-7": "hf:llama-2-7b", "Llama-2-13": "hf:llama-2-13b", "Mistral-7": "hf:mistral-7b"}
EMPTY = results()


def _by_id(verdicts: Any) -> dict[str, ClaimVerdict]:
    return {one.claim.id: one for one in verdicts}


def _group(*differences: tuple[float, float], same: bool = False) -> Group:
    return Group("s", tuple(Difference(*one, "q" if same else f"q{i}") for i, one in enumerate(differences)))


def test_the_papers_tables_contradict_seven_of_its_claims() -> None:
    assert [one.claim.id for one in claims(EMPTY) if one.contradicted] == [
        "C03", "C08", "C09", "C13", "C16", "C19", "C22",
    ]  # fmt: skip


def test_the_contradictions_are_shown_with_their_numbers() -> None:
    rows = {line[0][:3]: line for line in contradiction_table(claims(EMPTY)).rows}
    assert rows["C03"][2] == (
        "Llama-2-7 holds: +2.5 (2 of 2 above), Llama-2-13 holds: +2.8 (2 of 2 above),"
        " Mistral-7 fails: -3.0 (2 of 2 below)"
    )
    assert "11 of 12 above, 1 below" in rows["C16"][2]


def test_a_plot_without_numbers_proves_nothing() -> None:
    found = _by_id(claims(EMPTY))
    assert [one for one, verdict in found.items() if verdict.paper_verdict == "cannot be said"] == ["C20", "C21"]
    assert found["C20"].paper_numbers() == "a plot without numbers"


@pytest.mark.skipif(not CHECKED.is_file(), reason="the checked claims are not beside the checkout")
def test_verdicts_and_numbers_are_those_of_the_checked_claims() -> None:
    found, compared = _by_id(claims(EMPTY)), 0
    for expected in json.loads(CHECKED.read_text(encoding="utf-8"))["claims"]:
        if "check" not in expected:
            continue
        verdict = found[expected["id"]]
        first = [one for one in verdict.paper_findings if one.part == verdict.claim.parts[0]]
        for one in first:
            values = expected["values"][one.group.name]
            assert len(one.group.differences) == values["n"]
            assert one.group.mean().value == pytest.approx(values["mean"], abs=6e-4)
            assert (one.above, one.below) == (values["above"], values["below"]), expected["id"]
            compared += 1
        by_student = {
            name: together([one.verdict for one in verdict.paper_findings if one.group.name == name]) == "holds"
            for name in NAMES
        }
        assert by_student == expected["holds_in_paper_tables"], expected["id"]
    assert compared == 20 * len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_with_a_students_printed_numbers_and_no_error_gets_the_papers_verdicts(name: str) -> None:
    printed = {one.name: one for one in paper().students}[name]
    tried = 0
    for one in claims(run(name, NAMES[name])):
        theirs = [finding for finding in one.paper_findings if finding.group.name == name]
        if one.tried and theirs and one.claim.parts[0].of == "scores":
            tried += 1
            assert one.verdict == together([finding.verdict for finding in theirs]), one.claim.id
            assert [finding.group.mean().value for finding in one.findings] == pytest.approx(
                [finding.group.mean().value for finding in theirs]
            )
    assert tried == 21
    assert printed.teacher


def test_the_error_of_a_small_test_leaves_open_what_the_signs_decide() -> None:
    found = _by_id(claims(run(stderr=0.03)))
    assert (found["C03"].verdict, found["C03"].paper_verdict) == ("cannot be said", "fails")
    assert found["C01"].verdict == "cannot be said"
    assert found["C01"].numbers() == "+6.3 ± 1.7 (2 of 6 above, 4 within error)"
    # A mean of many cells is surer than each of them.
    assert found["C10"].verdict == "cannot be said"
    assert found["C06"].verdict == "cannot be said"
    assert found["C07"].verdict == "holds"


def test_a_run_without_such_cells_is_not_judged() -> None:
    rows = [cell("baseline", "tiny_a", 50.0, stderr=0.01, prompting=one) for one in ("direct", "cot")]
    verdicts = claims(results(rows))
    table = claim_table(verdicts)
    assert [line[0][:3] for line in table.rows] == ["D05"]
    assert "no cells for C01" in table.note
    assert _by_id(verdicts)["C01"].numbers() == "no such cells"


def test_claims_are_tried_on_any_benchmarks_of_two_domains() -> None:
    rows = []
    for trained in ("a", "b"):
        for evaluated in ("a", "b", "m"):
            more: dict[str, Any] = {"stderr": 0.01, "train_on": (trained,)}
            domain = "math" if evaluated == "m" else "qa"
            rows.append(cell("instruct", evaluated, 50.0, **more, domain=domain))
            fallen = 40.0 if evaluated == "m" else 60.0
            rows.append(cell("refine", evaluated, fallen, **more, domain=domain, refine_on=(trained,)))
    found = _by_id(claims(results(rows)))
    assert [found[one].verdict for one in ("C01", "C02", "C04", "C06")] == ["holds", "holds", "fails", "holds"]
    assert len(found["C02"].findings[0].group.differences) == 2
    assert found["C05"].verdict == "cannot be said"


def test_several_students_must_all_bear_a_claim_out() -> None:
    both = results([*run("Llama-2-7", "one").cells, *run("Mistral-7", "two").cells])
    found = _by_id(claims(both))
    assert (found["C01"].verdict, found["C03"].verdict) == ("holds", "fails")
    assert found["C03"].numbers() == "one holds: +2.5 ± 0.0 (2 of 2 above), two fails: -3.0 ± 0.0 (2 of 2 below)"


def test_low_resource_runs_are_tried_on_every_fraction() -> None:
    rows = []
    for fraction in (0.25, 0.5):
        more: dict[str, Any] = {"fraction": fraction, "stderr": 0.01, "refine_on": ("gsm8k",)}
        rows += [
            cell("instruct", "gsm8k", 40.0, train_on=("gsm8k",), **{**more, "refine_on": ()}),
            cell("refine", "gsm8k", 60.0, train_on=("gsm8k",), **more, method="both"),
            cell("refine", "gsm8k", 50.0, **more, method="refine"),
        ]
    assert _by_id(claims(results(rows)))["C20"].verdict == "holds"
    rows[-1] = replace(rows[-1], value=0.3)
    verdict = _by_id(claims(results(rows)))["C20"]
    assert verdict.verdict == "fails"
    assert "refine - instruct: " in verdict.numbers()
    assert claims(results(rows[:2]))[0].tried
    assert not _by_id(claims(results(rows[:2])))["C20"].tried


def test_families_are_compared_where_both_teach_one_student() -> None:
    rows = []
    for teacher, value in (("hf:llama-2-70b", 50.0), ("openai:gpt-3.5-turbo", 60.0)):
        more: dict[str, Any] = {"student": "hf:llama-2-7b", "teacher": teacher, "train_on": ("gsm8k",)}
        rows.append(cell("refine", "gsm8k", value, stderr=0.01, refine_on=("gsm8k",), **more))
    assert _by_id(claims(results(rows)))["C19"].verdict == "holds"
    rows[1] = replace(rows[1], teacher="gold")
    assert not _by_id(claims(results(rows)))["C19"].tried


def test_a_judge_decides_the_claim_about_quality() -> None:
    def said(refined: float) -> list[Judgement]:
        return [judgement(rating("instruct", "cot", "gsm8k", 2.0), rating("refine", "cot", "gsm8k", refined))]

    assert _by_id(claims(EMPTY, said(2.5)))["C18"].verdict == "holds"
    assert _by_id(claims(EMPTY, said(2.1)))["C18"].verdict == "cannot be said"


@pytest.mark.parametrize(
    ("rule", "cells", "verdict"),
    [
        ("every", [(3.0, 1.0), (3.0, 1.0)], "holds"),
        ("every", [(3.0, 1.0), (1.5, 1.0)], "cannot be said"),
        # -2.1 standard errors refute one cell, but are no surprise in one of two.
        ("every", [(-2.1, 1.0)], "fails"),
        ("every", [(-2.1, 1.0), (9.0, 1.0)], "cannot be said"),
        ("every", [(-2.5, 1.0), (9.0, 1.0)], "fails"),
        ("most", [(3.0, 1.0), (3.0, 1.0), (-9.0, 1.0)], "holds"),
        ("most", [(3.0, 1.0), (1.0, 1.0), (1.0, 1.0)], "cannot be said"),
        ("most", [(3.0, 1.0), (-3.0, 1.0)], "fails"),
        ("mean", [(1.5, 1.0), (1.5, 1.0), (1.5, 1.0)], "holds"),
        ("mean", [(1.5, 1.0)], "cannot be said"),
        ("mean", [(-2.0, 1.0)], "fails"),
        ("some", [(1.0, 1.0), (2.5, 1.0)], "holds"),
        ("some", [(1.0, 1.0), (-2.5, 1.0)], "cannot be said"),
        ("some", [(-2.5, 1.0), (-2.5, 1.0)], "fails"),
        ("near", [(0.5, 0.5)], "holds"),
        ("near", [(2.5, 1.0)], "cannot be said"),
        ("near", [(-6.0, 1.0)], "fails"),
    ],
)
def test_a_verdict_needs_more_than_an_error(rule: Any, cells: list[tuple[float, float]], verdict: str) -> None:
    part = Clause("scores", rule, tolerance=3.0)
    assert find(part, _group(*cells), printed=False).verdict == verdict
    if rule != "near":
        flipped = _group(*((-value, error) for value, error in cells))
        assert find(Clause("scores", rule, below=True), flipped, printed=False).verdict == verdict


def test_printed_figures_are_taken_as_they_stand_and_a_tie_is_no_gain() -> None:
    every = Clause("scores", "every")
    assert find(every, _group((0.1, 0.0), (0.2, 0.0)), printed=True).verdict == "holds"
    assert find(every, _group((0.1, 0.0), (0.0, 0.0)), printed=True).verdict == "fails"


def test_cells_on_the_same_questions_do_not_make_a_mean_surer() -> None:
    assert _group((1.0, 2.0), (1.0, 2.0), same=True).mean().error == pytest.approx(2.0)
    assert _group((1.0, 2.0), (1.0, 2.0)).mean().error == pytest.approx(2.0 / math.sqrt(2))


# The first example pays for the import of scipy.
@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(-100, 100), st.floats(0.01, 50)), min_size=1, max_size=40),
    st.sampled_from(["every", "most", "mean", "some", "near"]),
    st.booleans(),
)
def test_the_opposite_of_what_holds_never_holds_too(cells: list[tuple[float, float]], rule: Any, below: bool) -> None:
    here = find(Clause("scores", rule, below=below), _group(*cells), printed=False)
    there = find(Clause("scores", rule, below=not below), _group(*cells), printed=False)
    assert here.above + here.below <= len(cells)
    if rule in ("every", "most", "mean"):
        assert {here.verdict, there.verdict} != {"holds"}
        if here.verdict == "holds":
            # A claim about every cell fails only at a level that their number makes stricter.
            assert there.verdict == "fails" or (rule == "every" and there.verdict == "cannot be said")
