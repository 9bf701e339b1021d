"""The strategies "spelled-first" and "spelled-samples"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sitkit.types import Candidate, Json, LeftOut, Objective, PreferencePair, TrainingRow


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


class SpelledSamples:
    """Every right answer to the CoT prompt over every wrong one: as many pairs as the samples give."""

    def __init__(self, *, alone: bool) -> None:
        self.alone = alone

    def fingerprint(self) -> Json:
        """Return the version of the rule."""
        return {"rule": 1, "alone": self.alone}

    def objective(self) -> Objective:
        """Return DPO, or plain fine-tuning where there is nothing to reject."""
        return Objective(loss=("sft",)) if self.alone else Objective()

    def pairs(self, candidates: Sequence[Candidate]) -> Iterator[PreferencePair | TrainingRow | LeftOut]:
        """Yield the pairs, or rows, of each question, or say which kind of answer is missing."""
        for one in candidates:
            question, prompt = one.question, one.question.prompt("cot")
            right, wrong = one.own("cot", correct=True), one.own("cot", correct=False)
            if not right or not (wrong or self.alone):
                reason = "no right answer" if not right else "no wrong answer"
                yield LeftOut(question.id, question.benchmark, reason)
            elif self.alone:
                for good in right:
                    yield TrainingRow(question.id, question.benchmark, prompt, good.text, "student", True)
            else:
                for good in right:
                    for bad in wrong:
                        yield PreferencePair(
                            question.id,
                            question.benchmark,
                            prompt=prompt,
                            chosen=good.text,
                            rejected=bad.text,
                            chosen_from="student",
                            chosen_correct=True,
                            rejected_correct=False,
                        )
