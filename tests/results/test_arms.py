"""Which scores belong to which way of teaching, and how arms are told apart."""

from typing import Any

from sitkit.results.arms import describe, is_low_resource, is_matrix
from sitkit.results.model import Arm, Cell, Lesson
from tests.report.synthetic import blank_cell, made_results


def _arm(train: tuple[str, ...], refine: tuple[str, ...], **more: Any) -> Arm:
    what = {"student": "tiny", "teacher": "tiny", "strategy": "dpo-cot", "fraction": 1.0, "method": "both"}
    return Arm(train_on=train, refine_on=refine, lessons=(Lesson(seed=0),), **{**what, **more})


def _cell(phase: str, train: tuple[str, ...] = (), refine: tuple[str, ...] = (), **more: Any) -> Cell:
    return blank_cell(phase=phase, train_on=train, refine_on=refine, benchmark="a", prompting="cot", **more)


def test_an_arm_of_a_matrix_shares_what_came_before_it() -> None:
    arms = [_arm(("a",), ("a",)), _arm(("a",), ("b",)), _arm(("b",), ("b",))]
    cells = [
        _cell("baseline"), _cell("instruct", ("a",)), _cell("instruct", ("b",)), _cell("refine", ("a",), ("a",)),
        _cell("refine", ("a",), ("b",)), _cell("refine", ("b",), ("b",)),
    ]  # fmt: skip
    assert is_matrix(arms)
    assert [arm.crossed for arm in arms] == [False, True, False]
    assert made_results(arms, cells).cells_of(arms[1]) == [cells[0], cells[1], cells[4]]
    assert describe(arms[1], arms) == "instructed on a, refined on b"


def test_refining_alone_shares_no_instruction() -> None:
    both = _arm(("a",), ("a",), fraction=0.5)
    alone = _arm((), ("a",), fraction=0.5, method="refine")
    cells = [
        _cell("baseline"), _cell("instruct", ("a",), fraction=0.5), _cell("refine", ("a",), ("a",), fraction=0.5),
        _cell("refine", (), ("a",), fraction=0.5, method="refine"), _cell("refine", (), ("a",), method="refine"),
    ]  # fmt: skip
    results = made_results([both, alone], cells)
    assert is_low_resource([both, alone])
    assert results.cells_of(both) == cells[:3]
    assert results.cells_of(alone) == [cells[0], cells[3]]
    assert describe(alone, [both, alone]) == "refine only"


def test_other_students_share_nothing() -> None:
    other = _arm(("a",), ("a",), student="other")
    cells = [_cell("baseline"), _cell("refine", ("a",), ("a",), student="other")]
    assert made_results([other], cells).cells_of(other) == cells[1:]
    assert describe(other, [other, _arm(("a",), ("a",))]) == "tiny → other"
