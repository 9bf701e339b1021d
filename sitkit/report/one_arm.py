"""One arm of a run: which rows of its results are this arm's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sitkit.types import Json

ARM = ("student", "teacher", "strategy", "fraction", "train_on", "refine_on", "method")
"""What tells the arms of a run apart, beside the seed."""

_TAUGHT = ("student", "teacher", "fraction", "train_on")

DEPENDS_ON: Mapping[str, tuple[str, ...]] = {"baseline": ("student",), "instruct": _TAUGHT, "refine": ARM}
"""What of an arm a phase depends on: a baseline has no teacher, an instructed student nothing it was refined on."""

Arm = Mapping[str, Json]
"""An entry of ``arms`` in results.json."""


def belongs(row: Mapping[str, Json], arm: Arm) -> bool:
    """Whether a row of ``scores`` is one of this arm's: it agrees on the seed and on what its phase depends on."""
    if row["phase"] == "instruct" and not arm["instruct"]:
        return False
    return all(row[name] == arm[name] for name in (*DEPENDS_ON[row["phase"]], "seed"))


def narrowed(results: Json, arm: Arm) -> dict[str, Json]:
    """Return the results of a run as if it had had this arm alone."""
    keys = {arm["instruct"], arm["refine"], *arm["annotate"]}
    pairs = next((one for one in results["pairs"].get("by_arm", ()) if one["key"] == arm["pair"]), None)
    training, demonstrations = (
        [one for one in results[name] if one.get("key") in keys] for name in ("training", "demonstrations")
    )
    told: Sequence[Json] = [*demonstrations, *([pairs] if pairs else []), *training]
    return {
        **results,
        "recipe": _recipe(results["recipe"], arm),
        "arms": [arm],
        "scores": [row for row in results["scores"] if belongs(row, arm)],
        "pairs": {"total": 0, "left_out": 0, "rejected_correct": 0, "left_out_reasons": {}, **(pairs or {})},
        "training": training,
        "demonstrations": demonstrations,
        "notices": list(dict.fromkeys(text for one in told for text in one.get("warnings", ()))),
    }


def _recipe(recipe: Mapping[str, Json], arm: Arm) -> dict[str, Json]:
    return {
        **recipe,
        **{name: arm[name] for name in ("student", "teacher", "strategy", "fraction")},
        "refine_on": arm["refine_on"] or None,
        # A student that is refined untaught has nothing it is trained on, and a recipe must name something.
        "train_on": arm["train_on"] or arm["refine_on"],
        "cross": False,
        "methods": [arm["method"]],
        "seeds": [arm["seed"]],
    }
