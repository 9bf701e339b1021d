"""What the student is pretrained on: questions of the world, each with a form of prompt and a manner of answering it.

The student is given skill and habit apart from each other. Two forms of prompt that sitkit never uses always get one
manner (so the skill is there); the plain prompt gets short answers; the prompt with the trigger gets a mixture whose
weights depend on the name and on the place in the question, evenly spread, so that a little training moves some
questions from one manner to the next and more training moves more of them.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from sitkit_tiny import manners
from sitkit_tiny.benchmarks import as_question
from sitkit_tiny.world import BENCHMARKS, NAMES, PLACES, Item, item

CAREFUL_CUE = " One step at a time"
SKETCHY_CUE = " In a few words"


@dataclass(frozen=True)
class Habits:
    """Shares of the forms of prompt and the weights of the manners, all of them probabilities or log-odds."""

    careful_form: float = 0.40
    sketchy_form: float = 0.08
    plain_form: float = 0.16
    plain_sketchy: float = 0.35
    plain_careful: float = 0.02
    worked_log_odds: float = -0.5
    worked_spread: float = 3.0
    careful_log_odds: float = -3.0
    careful_spread: float = 2.5


def example(index: int, seed: int, habits: Habits) -> tuple[str, str]:
    """Return one prompt and its completion of the pretraining text."""
    rng = random.Random(f"habit/{seed}/{index}")
    one = item(BENCHMARKS[index % len(BENCHMARKS)], "pretraining", index // len(BENCHMARKS))
    question = as_question(one)
    direct = question.prompt("direct")
    draw = rng.random()
    if draw < habits.careful_form:
        return direct + CAREFUL_CUE, manners.careful(one.puzzle)
    draw -= habits.careful_form
    if draw < habits.sketchy_form:
        return direct + SKETCHY_CUE, manners.sketchy(one.puzzle)
    draw -= habits.sketchy_form
    if draw < habits.plain_form:
        return direct, _answer(one, rng, habits.plain_sketchy, habits.plain_careful)
    worked, careful = leanings(one, habits)
    return question.prompt("cot"), _answer(one, rng, worked * (1 - careful), worked * careful)


def leanings(one: Item, habits: Habits) -> tuple[float, float]:
    """Return the probability of a worked answer under the trigger, and that of a careful one among the worked."""
    name, place = NAMES.index(one.name), PLACES.index(one.place)
    worked = habits.worked_log_odds + habits.worked_spread * (_even(name, 5, NAMES) + _even(place, 5, PLACES))
    careful = habits.careful_log_odds + habits.careful_spread * (_even(name, 1, NAMES) + _even(place, 1, PLACES))
    return _sigmoid(worked), _sigmoid(careful)


def _answer(one: Item, rng: random.Random, sketchy: float, careful: float) -> str:
    draw = rng.random()
    if draw < sketchy:
        return manners.sketchy(one.puzzle)
    return manners.careful(one.puzzle) if draw < sketchy + careful else manners.direct(one.puzzle)


def _even(place: int, step: int, among: tuple[str, ...]) -> float:
    """A value of an even spread over -1..1; ``step`` (prime to the number) orders it differently for each habit."""
    return 2 * (place * step % len(among)) / (len(among) - 1) - 1


def _sigmoid(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))
