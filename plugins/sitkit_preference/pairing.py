"""The paper's rules for preference pairs (Appendix B), as pure functions of one judged candidate.

Three cases give no pair, so that what a pair teaches is the difference between two answers:

- "no demonstration": the student was wrong and the teacher has no answer to put in its place;
- "empty answer": one side is empty. Nothing to prefer, or a rejected side that consists of the end-of-sequence token
  alone, which would teach never to end at once rather than how to answer;
- "same text": both sides say the same; such a pair has no gradient, and trains in silence at a loss of ln 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sitkit.types import Candidate, Json, LeftOut, Objective, Origin, PreferencePair, TrainingRow

Items = Sequence[PreferencePair | TrainingRow | LeftOut]


@dataclass(frozen=True)
class PairingStrategy:
    """A strategy that judges each candidate by itself.

    ``rule`` names what ``choose`` does: strategies that share it choose the same pairs, whatever they optimise.
    ``options`` are those of the rule, and ``recommends`` the settings its source has, by stage.
    """

    rule: str
    choose: Callable[[Candidate], Items]
    optimises: Objective
    options: Mapping[str, Json] = field(default_factory=dict)
    recommends: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)

    def fingerprint(self) -> Json:
        """Return the rule's name and options: nothing else determines the pairs."""
        return {"rule": self.rule, **self.options}

    def objective(self) -> Objective:
        """Return what refining on these pairs optimises."""
        return self.optimises

    def recommended(self) -> Mapping[str, Mapping[str, Json]]:
        """Return the settings that the rule needs to make sense, by stage."""
        return self.recommends

    def pairs(self, candidates: Sequence[Candidate]) -> Iterator[PreferencePair | TrainingRow | LeftOut]:
        """Yield what each candidate gives, or the reason why it gives nothing, in their order."""
        return (item for candidate in candidates for item in self.choose(candidate))


def pair_cot(candidate: Candidate) -> PreferencePair | LeftOut:
    """Pair by equations 3 and 4: under the CoT prompt, a worked answer over the student's direct one.

    Chosen is the student's own worked answer where it is right, else the teacher's demonstration as it is; rejected
    the student's direct answer, right or wrong.
    """
    demonstration = candidate.demonstration
    if candidate.cot_correct:
        chosen, origin, correct = candidate.answers.cot, _STUDENT, True
    elif demonstration is not None:
        chosen, origin, correct = demonstration.completion, _TEACHER, demonstration.correct
    else:
        return _left_out(candidate, "no demonstration")
    return _pair_or_reason(
        candidate,
        PreferencePair(
            question_id=candidate.question.id,
            benchmark=candidate.question.benchmark,
            prompt=candidate.question.prompt("cot"),
            chosen=chosen,
            rejected=candidate.answers.direct,
            chosen_from=origin,
            chosen_correct=correct,
            rejected_correct=candidate.direct_correct,
        ),
    )


def pair_answer(candidate: Candidate) -> PreferencePair | LeftOut:
    """Pair by equation 5: under the plain prompt, a direct answer over the student's worked one.

    Chosen is the student's own direct answer where it is right, else the target; rejected the student's worked
    answer, right or wrong.
    """
    own = candidate.direct_correct
    return _pair_or_reason(
        candidate,
        PreferencePair(
            question_id=candidate.question.id,
            benchmark=candidate.question.benchmark,
            prompt=candidate.question.prompt("direct"),
            chosen=candidate.answers.direct if own else candidate.question.target_text,
            rejected=candidate.answers.cot,
            chosen_from=_STUDENT if own else _TARGET,
            chosen_correct=True,
            rejected_correct=candidate.cot_correct,
        ),
    )


_STUDENT: Origin = "student"
_TEACHER: Origin = "teacher"
_TARGET: Origin = "target"


def _pair_or_reason(candidate: Candidate, pair: PreferencePair) -> PreferencePair | LeftOut:
    chosen, rejected = pair.chosen.strip(), pair.rejected.strip()
    if not chosen or not rejected:
        return _left_out(candidate, "empty answer")
    if chosen == rejected:
        return _left_out(candidate, "same text")
    return pair


def _left_out(candidate: Candidate, reason: str) -> LeftOut:
    return LeftOut(candidate.question.id, candidate.question.benchmark, reason)
