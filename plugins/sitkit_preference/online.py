"""Strategies without pairs: the student learns from answers that it writes meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sitkit import answers
from sitkit.types import Candidate, Completion, Distillation, Json, LeftOut, Objective, Question, Reward

REWARD = 1
"""Raised whenever an answer would get another reward."""


class _Unpaired:
    """What a strategy must have, of one that is never asked for it."""

    def objective(self) -> Objective:
        """Return the default: there is nothing that it would be an objective for."""
        return Objective()

    def pairs(self, candidates: Sequence[Candidate]) -> Iterator[LeftOut]:
        """Leave every question out."""
        return (LeftOut(one.question.id, one.question.benchmark, "learnt without pairs") for one in candidates)


@dataclass(frozen=True)
class RightAnswers(_Unpaired):
    """A reward for being right, and a smaller one, of weight ``form``, for an answer in the form that was asked for."""

    form: float

    def fingerprint(self) -> Json:
        """Return the version of the reward; its weights are told with it."""
        return {"rule": "right answers", "version": REWARD}

    def reward(self) -> Reward:
        """Return the two terms."""
        return Reward({"correct": 1.0, "format": self.form}, judge)


@dataclass(frozen=True)
class OwnAnswers(_Unpaired):
    """Distillation on the student's own answers."""

    beta: float

    def fingerprint(self) -> Json:
        """Return the rule; what is optimised is told with it."""
        return {"rule": "own answers"}

    def distillation(self) -> Distillation:
        """Return the divergence."""
        return Distillation(self.beta)

    def recommended(self) -> Mapping[str, Mapping[str, Json]]:
        """Recommend one answer to each question, and as many questions as that leaves room for."""
        return {"explore": {"samples": 1, "prompts": 32}}


def judge(question: Question, completion: Completion) -> Mapping[str, float]:
    """Return whether an answer is right, and whether it has the form: worked in steps, with an answer to be read.

    An answer that was cut is and has neither.
    """
    text = "" if completion.truncated else completion.text
    form = answers.is_worked(text) and answers.extract(question, text) is not None
    return {"correct": float(bool(text) and answers.is_correct(question, text)), "format": float(form)}
