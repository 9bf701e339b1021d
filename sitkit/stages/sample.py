"""Sample: the student answers its training questions, without and with the trigger (section 2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sitkit import answers as reader
from sitkit.components import Component, QuestionSet
from sitkit.errors import SettingError
from sitkit.settings import SampleSettings, key_material
from sitkit.stages.base import Node, Work, round_seed, stage_label
from sitkit.stages.completions import COMPLETIONS, complete_into, written
from sitkit.stages.training import ADAPTER
from sitkit.store import Journal
from sitkit.store.jsonl import write_rows
from sitkit.types import PROMPTINGS, Answers, Completion, Generation, Json, Prompt, Prompting, Question, Student

ANSWERS = "answers.jsonl"
SAMPLES = "samples.jsonl"
"""All answers, where there are more than one of each prompting; the first of each are in `ANSWERS` as ever."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One answer as it is stored: the ``sample``-th (from 0) to a question under a prompting, or to the question with
    its target given away.
    """

    question_id: str
    benchmark: str
    prompting: Prompting
    sample: int
    text: str
    truncated: bool
    hinted: bool = False


@dataclass(frozen=True, eq=False)
class Sample:
    """One student's answers to one benchmark's training questions: the instructed student's, or, from the second round
    of refining on, those of the student that the round before has made.
    """

    name: ClassVar[str] = "sample"
    version: ClassVar[int] = 3

    student: Component[Student]
    learnt: Node
    questions: QuestionSet
    settings: SampleSettings
    seed: int
    where: str = ""
    round: int = 0

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The student."""
        return (self.learnt,)

    @property
    def components(self) -> tuple[Component[Any], ...]:
        """The student."""
        return (self.student,)

    def label(self) -> str:
        """Return benchmark, how many answers at which temperature if it is several, where it stands, seed, and whether
        it gives hints.
        """
        drawn, chosen = self.settings, self.questions.selection
        after = f" after {chosen.skip}" if chosen is not None and chosen.skip else ""
        several = f" {drawn.samples} samples at {drawn.temperature:g}" if drawn.samples > 1 else ""
        label = stage_label(f"{self.questions.benchmark.spec}{after}{several}", self.where, self.seed)
        return f"{label} with hints" if drawn.hints else label

    def material(self) -> Json:
        """Return questions, generation and seed; the student is in the input's key."""
        # Who gets a hint depends on how answers are read.
        read = {"reader": reader.READER_VERSION} if self.settings.hints else {}
        settings = key_material(self.settings)
        return {"questions": self.questions.material(), "settings": settings, "seed": self._seed(), **read}

    def _seed(self) -> int:
        return round_seed(self.seed, self.round)

    def prompts(self) -> int:
        """Return the number of questions, each asked in both promptings, as often as answers are drawn.

        Who is asked again with a hint is known only when these are answered, and so not counted.
        """
        return len(self.questions.questions) * len(PROMPTINGS) * self.settings.samples

    def run(self, work: Work) -> Json:
        """Write answers.jsonl, and samples.jsonl where several answers are drawn."""
        questions = self.questions.questions
        asked = [
            (question, prompting, sample)
            for sample in range(self.settings.samples)
            for question in questions
            for prompting in PROMPTINGS
        ]
        prompts = [Prompt(_prompt_id(*one), one[0].prompt(one[1])) for one in asked]
        drawn = self.settings
        generation = Generation(
            drawn.max_new_tokens, drawn.temperature, self._seed(), top_p=drawn.top_p, top_k=drawn.top_k
        )
        adapter = work.artifact(self.learnt).folder / ADAPTER
        hinted = dict[str, Completion]()
        with Journal(work.scratch / COMPLETIONS) as journal:
            done = complete_into(journal, self.student, adapter, prompts, generation, work.progress)
            if drawn.hints:
                again = [Prompt(_hint_id(one), one.hinted().prompt("cot")) for one in self._missed(done)]
                hinted = complete_into(
                    journal, self.student, adapter, again, generation, work.progress, before=len(prompts)
                )
        rows = []
        for question in questions:
            direct, cot = (done[_prompt_id(question, prompting)] for prompting in PROMPTINGS)
            rows.append(
                Answers(
                    question.id,
                    question.benchmark,
                    direct=direct.text,
                    cot=cot.text,
                    direct_truncated=direct.truncated,
                    cot_truncated=cot.truncated,
                )
            )
        write_rows(work.folder / ANSWERS, rows)
        told = {
            "questions": len(questions),
            "truncated": sum(one.truncated for one in done.values()),
            **written([*done.values(), *hinted.values()]),
        }
        if drawn.hints:
            told["hinted"] = len(hinted)
        if drawn.samples == 1 and not hinted:
            return told
        every = []
        for question, prompting, sample in asked:
            answer = done[_prompt_id(question, prompting, sample)]
            every.append(Drawn(question.id, question.benchmark, prompting, sample, answer.text, answer.truncated))
        for question in questions:
            if (found := hinted.get(_hint_id(question))) is not None:
                every.append(Drawn(question.id, question.benchmark, "cot", 0, found.text, found.truncated, hinted=True))
        write_rows(work.folder / SAMPLES, every)
        return {**told, "samples": drawn.samples}

    def _missed(self, done: Mapping[str, Completion]) -> list[Question]:
        """Return the questions to which no answer with CoT is right and whole."""
        return [
            question
            for question in self.questions.questions
            if not any(
                not one.truncated and reader.is_correct(question, one.text)
                for one in (done[_prompt_id(question, "cot", sample)] for sample in range(self.settings.samples))
            )
        ]


def _hint_id(question: Question) -> str:
    return f"hinted|{question.benchmark}|{question.id}"


def check_samples(settings: SampleSettings) -> None:
    """Raise `SettingError` where several answers are drawn that could not differ."""
    if settings.samples > 1 and settings.temperature == 0:
        raise SettingError(
            f"sample.samples={settings.samples} at sample.temperature=0 would draw one and the same answer;"
            " set sample.temperature above 0 (0.8, say)"
        )


def _prompt_id(question: Question, prompting: Prompting, sample: int = 0) -> str:
    # Keys the noise of the answer: the first one's is what it was before there were several.
    drawn = f"#{sample}" if sample else ""
    return f"{prompting}{drawn}|{question.benchmark}|{question.id}"
