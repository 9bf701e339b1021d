"""The world: the same for everybody, splits that share nothing, targets that an independent solver confirms."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sitkit_tiny
from sitkit_tiny.benchmarks import SIZES, TinyBenchmark, questions
from sitkit_tiny.world import BENCHMARKS, SPLITS, Arithmetic, item

places = st.tuples(st.sampled_from(BENCHMARKS), st.sampled_from(SPLITS), st.integers(0, 50_000))


def solve_by_text(question, choices):
    """The outcome, computed from the words alone and without the plugin's own reader."""
    if choices:
        holds = re.search(r"under the (\w+) cup", question)
        if holds:
            where = holds[1]
        else:
            asked = re.search(r"Who has the (\w+)\?", question)[1]
            where = re.search(rf"(\w+) a {asked}\b", question)[1]
        for one, other in re.findall(r"(\w+) and (\w+)(?=[,.])", question.split(".", 1)[1]):
            where = {one: other, other: one}.get(where, where)
        return "ABCDE"[choices.index(where)]
    value = int(re.search(r"(?:start with|has) (\d+)", question)[1])
    word = r"(add|buys|finds|wins|subtract|sells|loses|drops|multiply by|doubles|triples)(?: (\d+))?"
    for verb, operand in re.findall(word, question):
        if verb in ("doubles", "triples"):
            value *= 2 if verb == "doubles" else 3
        elif verb == "multiply by":
            value *= int(operand)
        else:
            value += int(operand) * (1 if verb in ("add", "buys", "finds", "wins") else -1)
    return str(value)


@given(places)
def test_a_question_depends_on_its_place_alone(place):
    assert item(*place) == item(*place)


@given(places)
def test_the_target_is_what_an_independent_solver_finds(place):
    one = item(*place)
    assert solve_by_text(one.question, one.choices) == one.target


@given(places)
def test_every_value_on_the_way_is_a_number_of_the_world(place):
    puzzle = item(*place).puzzle
    if isinstance(puzzle, Arithmetic):
        assert all(0 <= value <= 99 for value in puzzle.values())
    else:
        assert len(set(puzzle.choices)) == 5


@given(places, st.sampled_from(SPLITS), st.integers(0, 50_000))
def test_no_text_can_be_in_two_splits(place, split, index):
    benchmark, own, _ = place
    if split != own:
        assert item(*place).question != item(benchmark, split, index).question


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_splits_are_of_the_stated_size_and_disjoint(benchmark):
    texts = {split: {one.question for one in questions(benchmark, split)} for split in SIZES}
    assert {split: len(found) for split, found in texts.items()} == SIZES
    for one, other in itertools.combinations(texts.values(), 2):
        assert not one & other


def test_prompts_are_those_of_the_paper():
    question = TinyBenchmark("tiny_cups").questions("test", 0)[0]
    assert question.prompt("cot").startswith(
        "Choose the answer to the question only from options A, B, C, D, E.\nQuestion: At the "
    )
    assert question.prompt("cot").endswith("\nAnswer: Let's think step by step")
    math = TinyBenchmark("tiny_chain").questions("test", 0)[0]
    assert math.prompt("direct").startswith(
        "Answer the following mathematical question with numerical solution.\nQuestion: At the "
    )
    assert math.prompt("direct").endswith("\nAnswer:")


def test_the_seed_of_a_run_changes_no_question():
    tiny = TinyBenchmark("tiny_gifts")
    assert tiny.questions("train", 0) == tiny.questions("train", 7)
    assert tiny.fingerprint("train", 0) == tiny.fingerprint("train", 7)


def test_the_worlds_own_plugin_makes_its_tasks_known():
    names = {path.stem for folder in sitkit_tiny.sitkit_task_folders() for path in folder.rglob("*.yaml")}
    assert {TinyBenchmark(benchmark).task(kind) for benchmark in BENCHMARKS for kind in ("cot", "direct")} <= names
