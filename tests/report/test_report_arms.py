"""Which scores belong to which way of teaching."""

from typing import Any

from sitkit.report.arms import Arm, arms, describe, is_low_resource, is_matrix, rows_of


def _row(phase: str, train: list[str], refine: list[str], **more: Any) -> dict[str, Any]:
    return {"phase": phase, "train_on": train, "refine_on": refine, "student": "s", "teacher": "t", "strategy": "d",
            "seed": 0, "fraction": 1.0, "method": "both", **more}  # fmt: skip


def _listed(train: list[str], refine: list[str], **more: Any) -> dict[str, Any]:
    row = _row("refine", train, refine, **more)
    del row["phase"]
    return row


MATRIX = [
    _row("baseline", [], []), _row("instruct", ["a"], []), _row("instruct", ["b"], []),
    _row("refine", ["a"], ["a"]), _row("refine", ["a"], ["b"]), _row("refine", ["b"], ["b"]),
]  # fmt: skip


def _phases(arm: Arm, rows: list[dict[str, Any]]) -> list[tuple[str, list[str], list[str]]]:
    return [(row["phase"], row["train_on"], row["refine_on"]) for row in rows_of(arm, rows)]


def test_an_arm_of_a_matrix_shares_what_came_before_it() -> None:
    found = arms({"arms": [_listed(["a"], ["a"]), _listed(["a"], ["b"]), _listed(["b"], ["b"])], "scores": MATRIX})
    assert is_matrix(found)
    assert [arm.crossed for arm in found] == [False, True, False]
    assert _phases(found[1], MATRIX) == [("baseline", [], []), ("instruct", ["a"], []), ("refine", ["a"], ["b"])]
    assert describe(found[1], found) == "instructed on a, refined on b"


def test_refining_alone_shares_no_instruction() -> None:
    rows = [
        _row("baseline", ["a"], ["a"]), _row("instruct", ["a"], ["a"], fraction=0.5),
        _row("refine", ["a"], ["a"], fraction=0.5), _row("refine", [], ["a"], fraction=0.5, method="refine"),
        _row("refine", [], ["a"], fraction=1.0, method="refine"),
    ]  # fmt: skip
    listed = [_listed(["a"], ["a"], fraction=0.5), _listed([], ["a"], fraction=0.5, method="refine")]
    both, alone = arms({"arms": listed, "scores": rows})
    assert is_low_resource([both, alone])
    assert [row["phase"] for row in rows_of(both, rows)] == ["baseline", "instruct", "refine"]
    assert rows_of(alone, rows) == [rows[0], rows[3]]
    assert describe(alone, [both, alone]) == "refine only"


def test_seeds_of_one_arm_are_together_and_other_students_are_not() -> None:
    listed = [_listed(["a"], ["a"], seed=0), _listed(["a"], ["a"], seed=1), _listed(["a"], ["a"], student="other")]
    first, other = arms({"arms": listed, "scores": []})
    assert first.seeds == (0, 1)
    assert [run["seed"] for run in first.runs] == [0, 1]
    assert (
        rows_of(other, [_row("baseline", [], []), _row("refine", ["a"], ["a"], student="other")])[0]["phase"]
        == "refine"
    )


def test_results_that_list_no_arms_have_those_of_their_scores() -> None:
    (arm,) = arms({"scores": [_row("baseline", ["a"], ["a"]), _row("refine", ["a"], ["a"], seed=3)]})
    assert (arm.train_on, arm.seeds, arm.runs) == (("a",), (3,), ())
