"""The strategy "spelled-first"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sitkit.types import Candidate, Json, LeftOut, Objective, PreferencePair


class SpelledFirst:
    """The teacher's spelling over whatever the student says without being asked to think."""

    def fingerprint(self) -> Json:
        """Return the version of the rule."""
        return {"rule": 1}

    def objective(self) -> Objective:
        """Return DPO with some plain fine-tuning, as plain data; the student knows what to do with it."""
        return Objective(loss=("sigmoid", "sft"), weights=(1.0, 0.5), beta=0.2)

    def pairs(self, candidates: Sequence[Candidate]) -> Iterator[PreferencePair | LeftOut]:
        """Yield a pair wherever the teacher has shown how and the student's direct answer is another one."""
        for one in candidates:
            question = one.question
            if one.demonstration is None:
                yield LeftOut(question.id, question.benchmark, "no demonstration")
            elif not one.answers.direct.strip():
                yield LeftOut(question.id, question.benchmark, "empty answer")
            elif one.demonstration.completion == one.answers.direct:
                yield LeftOut(question.id, question.benchmark, "same text")
            else:
                yield PreferencePair(
                    question.id,
                    question.benchmark,
                    prompt=question.prompt("cot"),
                    chosen=one.demonstration.completion,
                    rejected=one.answers.direct,
                    chosen_from="teacher",
                    chosen_correct=one.demonstration.correct,
                    rejected_correct=one.direct_correct,
                )
