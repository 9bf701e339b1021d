"""What the rest of a plan is expected to take."""

import pytest

from sitkit.execution.time_left import TimeLeft
from sitkit.plan import build_plan
from sitkit.recipe import make_recipe
from sitkit.registry import load_plugins


def test_a_stage_is_expected_to_take_what_its_like_took_for_each_prompt() -> None:
    given = {"seeds": 2, "limit": 10, "test_limit": 10, "train_on": ["tiny_chain"], "eval_on": ["tiny_chain"]}
    plan = build_plan(make_recipe(given), load_plugins())
    left, nodes = TimeLeft(plan), {node.title: node.key for node in plan.nodes}
    current = nodes["instruct seed 0"]
    seconds = {nodes["evaluate baseline tiny_chain"]: 4.0}
    expected, unknown = left.after(current, seconds)
    # Answering goes by the student: four evaluations and two samplings of 20 prompts each, after a baseline of 20.
    assert expected == pytest.approx(6 * 4.0)
    others = [node for node in plan.nodes if node.stage.name in ("instruct", "pair", "refine", "annotate")]
    assert unknown == len(others) - 1
    seconds[current] = 30.0
    expected, _ = left.after(nodes["sample tiny_chain seed 0"], seconds)
    assert expected == pytest.approx(5 * 4.0 + 30.0)
    assert left.after(current, dict.fromkeys(nodes.values(), 1.0)) == (0.0, 0)
