"""Sample: the instructed student answers its training questions, without and with the trigger (section 2.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sitkit.components import Component, QuestionSet
from sitkit.settings import SampleSettings, key_material
from sitkit.stages.base import Node, Work, stage_label
from sitkit.stages.completions import complete_all
from sitkit.stages.training import ADAPTER
from sitkit.store.jsonl import write_rows
from sitkit.types import PROMPTINGS, Answers, Generation, Json, Prompt, Prompting, Question, Student

ANSWERS = "answers.jsonl"


@dataclass(frozen=True, eq=False)
class Sample:
    """One instructed student's answers to one benchmark's training questions."""

    name: ClassVar[str] = "sample"
    version: ClassVar[int] = 2

    student: Component[Student]
    instructed: Node
    questions: QuestionSet
    settings: SampleSettings
    seed: int
    where: str = ""

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The instructed student."""
        return (self.instructed,)

    @property
    def components(self) -> tuple[Component[Any], ...]:
        """The student."""
        return (self.student,)

    def label(self) -> str:
        """Return benchmark, where in the run it stands, and seed."""
        return stage_label(self.questions.benchmark.spec, self.where, self.seed)

    def material(self) -> Json:
        """Return questions, generation and seed; the student is in the input's key."""
        return {"questions": self.questions.material(), "settings": key_material(self.settings), "seed": self.seed}

    def prompts(self) -> int:
        """Return the number of questions, each asked in both promptings."""
        return len(PROMPTINGS) * len(self.questions.questions)

    def run(self, work: Work) -> Json:
        """Write answers.jsonl."""
        questions = self.questions.questions
        prompts = [
            Prompt(_prompt_id(prompting, question), question.prompt(prompting))
            for question in questions
            for prompting in PROMPTINGS
        ]
        drawn = self.settings
        generation = Generation(
            drawn.max_new_tokens, drawn.temperature, self.seed, top_p=drawn.top_p, top_k=drawn.top_k
        )
        adapter = work.artifact(self.instructed).folder / ADAPTER
        done = complete_all(work, self.student, adapter, prompts, generation)
        rows = []
        for question in questions:
            direct, cot = (done[_prompt_id(prompting, question)] for prompting in PROMPTINGS)
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
        return {"questions": len(questions), "truncated": sum(one.truncated for one in done.values())}


def _prompt_id(prompting: Prompting, question: Question) -> str:
    return f"{prompting}|{question.benchmark}|{question.id}"
