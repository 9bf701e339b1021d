"""Pair: a strategy turns answers and demonstrations into preference pairs (section 2.2, Appendix B)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from sitkit import answers as reader
from sitkit.components import Component, QuestionSet, Selection
from sitkit.conformance import claim_fault, pair_fault
from sitkit.errors import PluginError
from sitkit.settings import PairSettings, key_material
from sitkit.stages.annotate import kept_demonstrations
from sitkit.stages.base import Node, Work, stage_label
from sitkit.stages.sample import ANSWERS
from sitkit.store.jsonl import read_rows, write_rows
from sitkit.types import Answers, Candidate, Demonstration, Json, LeftOut, PreferencePair, Question, Strategy

PAIRS = "pairs.jsonl"
LEFT_OUT = "left_out.jsonl"


@dataclass(frozen=True, eq=False)
class Pair:
    """The preference pairs of one student on the tasks refined on."""

    name: ClassVar[str] = "pair"
    version: ClassVar[int] = 3

    strategy: Component[Strategy]
    sampled: tuple[Node, ...]
    questions: tuple[QuestionSet, ...]
    demonstrations: tuple[Node, ...]
    keep: Literal["right", "all"]
    settings: PairSettings
    seed: int
    where: str = ""
    share: Selection | None = None

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The student's answers, then the demonstrations."""
        return (*self.sampled, *self.demonstrations)

    @property
    def components(self) -> tuple[Component[Any], ...]:
        """Nothing is loaded."""
        return ()

    def label(self) -> str:
        """Return strategy, where in the run it stands, and seed."""
        return stage_label(self.strategy.spec, self.where, self.seed)

    def material(self) -> Json:
        """Return the strategy and how answers are judged."""
        return {
            "strategy": self.strategy.fingerprint,
            "keep": self.keep,
            "settings": key_material(self.settings),
            "reader": reader.READER_VERSION,
            **({} if self.share is None else {"share": self.share.material()}),
        }

    def prompts(self) -> int:
        """Pairing answers no prompt."""
        return 0

    def run(self, work: Work) -> Json:
        """Write pairs.jsonl and left_out.jsonl, and count where both sides came from."""
        candidates = self._candidates(work)
        left = {(one.question.benchmark, one.question.id): one for one in candidates}
        considered = [one for one in candidates if self._considers(one)]
        pairs = list[PreferencePair]()
        left_out = [
            LeftOut(one.question.id, one.question.benchmark, "no kept demonstration")
            for one in candidates
            if not self._considers(one)
        ]
        for one in left_out:
            del left[one.benchmark, one.question_id]
        with self.strategy.calling("pairs"):
            items = list(self.strategy.made.pairs(considered))
        for item in items:
            candidate = left.pop(self._place(item, left))
            if isinstance(item, LeftOut):
                left_out.append(item)
            elif item.chosen.strip() == item.rejected.strip():
                # Trains in silence at ln 2 and teaches nothing: a strategy must not, so it is counted for it.
                left_out.append(LeftOut(item.question_id, item.benchmark, "same text"))
            else:
                pairs.append(self._checked(item, candidate))
                fault = claim_fault(item, candidate, self.settings.match)
                self.strategy.refuse("pairs", fault and f"pairs, question {item.question_id!r}: {fault}")
        if left:
            raise PluginError(f"{self.strategy}: returned no result for {len(left)} of {len(considered)} candidates")
        write_rows(work.folder / PAIRS, pairs)
        write_rows(work.folder / LEFT_OUT, left_out)
        return pair_counts(candidates, pairs, left_out)

    def _checked(self, pair: PreferencePair, candidate: Candidate) -> PreferencePair:
        """Return the pair with ``rejected_truncated`` as it is. Raises `PluginError` where a cut answer was chosen."""
        cut = own_texts(candidate, truncated=True)
        if not cut:
            return replace(pair, rejected_truncated=False)
        whole = own_texts(candidate, truncated=False)
        given = {candidate.question.target_text}
        if candidate.demonstration is not None:
            given.add(candidate.demonstration.completion.strip())
        chosen, rejected = pair.chosen.strip(), pair.rejected.strip()
        if chosen in cut - whole - given:
            raise PluginError(
                f"{self.strategy}: chose an answer to {pair.question_id} of {pair.benchmark} that was cut at"
                " sample.max_new_tokens, so that training would teach to end there; choose another, or leave it out"
            )
        return replace(pair, rejected_truncated=rejected in cut - whole)

    def _considers(self, candidate: Candidate) -> bool:
        """Whether a question is in the set that pairs are made over (the paper's D, where that is asked for)."""
        everything = self.settings.without_demonstration == "use" or not self.demonstrations
        return everything or candidate.demonstration is not None

    def _place(self, item: object, left: Mapping[tuple[str, str], Candidate]) -> tuple[str, str]:
        """Return which candidate an item is about. Raises `PluginError` for one that is nothing to go on with."""
        fault = pair_fault(item)
        if isinstance(item, PreferencePair | LeftOut):
            named = f"question {item.question_id!r} of {item.benchmark!r}"
            place = next((place for place in left if place == (item.benchmark, item.question_id)), None)
            if place is not None and fault is None:
                return place
            fault = f"{named}: {fault or 'which is not a pair for one of its candidates, or is its second'}"
        raise PluginError(f"{self.strategy.at('pairs')}: pairs gave {fault}")

    def _candidates(self, work: Work) -> list[Candidate]:
        kept, _ = kept_demonstrations(work, self.demonstrations, self.keep, self.share)
        taught = {(row.benchmark, row.question_id): row for row in kept}
        found = []
        for sampled, source in zip(self.sampled, self.questions, strict=True):
            answers = {row.question_id: row for row in read_rows(work.artifact(sampled).folder / ANSWERS, Answers)}
            found += [
                self._candidate(one, answers[one.id], taught.get((one.benchmark, one.id))) for one in source.questions
            ]
        return found

    def _candidate(self, question: Question, answers: Answers, demonstration: Demonstration | None) -> Candidate:
        match = self.settings.match
        return Candidate(
            question=question,
            answers=answers,
            demonstration=demonstration,
            # What was cut has no final answer yet, whatever the last number in it is.
            direct_correct=not answers.direct_truncated and reader.is_correct(question, answers.direct, match=match),
            cot_correct=not answers.cot_truncated and reader.is_correct(question, answers.cot, match=match),
        )


def own_texts(candidate: Candidate, *, truncated: bool) -> set[str]:
    """Return the student's own answers that were cut, or those that were not."""
    own = candidate.answers
    texts = ((own.direct, own.direct_truncated), (own.cot, own.cot_truncated))
    return {text.strip() for text, cut in texts if cut == truncated}


def pair_counts(
    candidates: Sequence[Candidate], pairs: Sequence[PreferencePair], left_out: Sequence[LeftOut]
) -> dict[str, Json]:
    """Return how many pairs there are, where their sides came from, and why questions gave none."""
    origins = Counter(pair.chosen_from for pair in pairs)
    bare = {(one.question.benchmark, one.question.id) for one in candidates if one.demonstration is None}
    return {
        "questions": len(candidates),
        "direct_correct": sum(one.direct_correct for one in candidates),
        "cot_correct": sum(one.cot_correct for one in candidates),
        "total": len(pairs),
        "chosen_from_student": origins["student"],
        "chosen_from_teacher": origins["teacher"],
        "chosen_from_target": origins["target"],
        "chosen_characters": sum(len(pair.chosen) for pair in pairs),
        "rejected_characters": sum(len(pair.rejected) for pair in pairs),
        "rejected_correct": sum(pair.rejected_correct for pair in pairs),
        "rejected_truncated": sum(pair.rejected_truncated for pair in pairs),
        "truncated": sum(bool(own_texts(one, truncated=True)) for one in candidates),
        "fell_back": _fell_back(candidates, pairs),
        "without_demonstration": sum((pair.benchmark, pair.question_id) in bare for pair in pairs),
        "left_out": len(left_out),
        "left_out_reasons": dict(sorted(Counter(item.reason for item in left_out).items())),
    }


def _fell_back(candidates: Sequence[Candidate], pairs: Sequence[PreferencePair]) -> int:
    """How many pairs have another's answer chosen where the student's own, to the same prompt, was cut."""
    by_id = {(one.question.benchmark, one.question.id): one for one in candidates}
    count = 0
    for pair in pairs:
        candidate = by_id[pair.benchmark, pair.question_id]
        own, worked = candidate.answers, pair.prompt == candidate.question.prompt("cot")
        count += pair.chosen_from != "student" and (own.cot_truncated if worked else own.direct_truncated)
    return count
