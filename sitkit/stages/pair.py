"""Pair: a strategy turns answers and demonstrations into preference pairs (section 2.2, Appendix B)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

from sitkit import answers as reader
from sitkit.components import Component, QuestionSet, Selection
from sitkit.conformance import claim_fault, pair_fault
from sitkit.errors import PluginError
from sitkit.settings import PairSettings, key_material
from sitkit.stages.annotate import Taken, kept_demonstrations
from sitkit.stages.base import Node, Work, stage_label
from sitkit.stages.sample import ANSWERS, SAMPLES, Drawn
from sitkit.store.jsonl import read_rows, write_rows
from sitkit.types import (
    Answers,
    Candidate,
    Demonstration,
    Json,
    LeftOut,
    PreferencePair,
    Question,
    SampledAnswer,
    Strategy,
    TrainingRow,
)

PAIRS = "pairs.jsonl"
LEFT_OUT = "left_out.jsonl"


@dataclass(frozen=True, eq=False)
class Pair:
    """The preference pairs of one student on the tasks refined on.

    The last ``practised`` of ``sampled`` and ``questions`` are for practice: nobody demonstrates them, and
    ``pair.without_demonstration`` does not speak of them.
    """

    name: ClassVar[str] = "pair"
    version: ClassVar[int] = 3

    strategy: Component[Strategy]
    sampled: tuple[Node, ...]
    questions: tuple[QuestionSet, ...]
    demonstrations: tuple[Node, ...]
    taken: Taken
    settings: PairSettings
    seed: int
    where: str = ""
    share: Selection | None = None
    practised: int = 0

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
            **self.taken.material(),
            "settings": key_material(self.settings),
            "reader": reader.READER_VERSION,
            **({} if self.share is None else {"share": self.share.material()}),
            **({"practised": self.practised} if self.practised else {}),
        }

    def prompts(self) -> int:
        """Pairing answers no prompt."""
        return 0

    def run(self, work: Work) -> Json:
        """Write pairs.jsonl and left_out.jsonl, and count where both sides came from."""
        candidates = self._candidates(work)
        considered = {(one.question.benchmark, one.question.id): one for one in candidates if self._considers(one)}
        pairs = list[PreferencePair]()
        left_out = [
            LeftOut(one.question.id, one.question.benchmark, "no kept demonstration")
            for one in candidates
            if not self._considers(one)
        ]
        given: dict[tuple[str, str], list[PreferencePair | LeftOut]] = {}
        with self.strategy.calling("pairs"):
            items = list(self.strategy.made.pairs(list(considered.values())))
        for item in items:
            place = self._place(item, considered, given)
            pair = item if isinstance(item, LeftOut) else self._checked(_as_pair(item), considered[place])
            given.setdefault(place, []).append(pair)
        missing = len(considered) - len(given)
        if missing:
            raise PluginError(f"{self.strategy}: returned no result for {missing} of {len(considered)} candidates")
        same = 0
        for (benchmark, question_id), found in given.items():
            # The same text on both sides trains in silence at ln 2: a strategy must not, so it is counted for it.
            kept = [one for one in found if isinstance(one, PreferencePair) and not _same_text(one)]
            pairs += kept
            if kept:
                same += len(found) - len(kept)
            else:
                first = found[0]
                reason = first.reason if isinstance(first, LeftOut) else "same text"
                left_out.append(LeftOut(question_id, benchmark, reason))
        if same:
            work.notice(f"{self.strategy.spec}: {same} pairs say the same on both sides and are left out")
        write_rows(work.folder / PAIRS, pairs)
        write_rows(work.folder / LEFT_OUT, left_out)
        return pair_counts(candidates, pairs, left_out)

    def _checked(self, pair: PreferencePair, candidate: Candidate) -> PreferencePair:
        """Return the pair with ``rejected_truncated`` as it is.

        Raises `PluginError` where a cut answer was chosen, or a side is said to be right that is not, or the reverse.
        """
        if _same_text(pair):
            return pair
        fault = claim_fault(pair, candidate, self.settings.match)
        cut = _texts(candidate, truncated=True)
        self._refuse_cut(pair, candidate, cut)
        self.strategy.refuse("pairs", fault and f"pairs, question {pair.question_id!r}: {fault}")
        rejected = pair.rejected.strip() in cut - _texts(candidate, truncated=False)
        return replace(pair, rejected_truncated=rejected)

    def _refuse_cut(self, pair: PreferencePair, candidate: Candidate, cut: set[str]) -> None:
        whole = _texts(candidate, truncated=False)
        given = {candidate.question.target_text}
        if candidate.demonstration is not None:
            given.add(candidate.demonstration.completion.strip())
        if pair.chosen.strip() in cut - whole - given:
            raise PluginError(
                f"{self.strategy}: chose an answer to {pair.question_id} of {pair.benchmark} that was cut at"
                " sample.max_new_tokens, so that training would teach to end there; choose another, or leave it out"
            )

    def _considers(self, candidate: Candidate) -> bool:
        """Whether a question is in the set that pairs are made over (the paper's D, where that is asked for)."""
        everything = self.settings.without_demonstration == "use" or not self.demonstrations
        place = (candidate.question.benchmark, candidate.question.id)
        return everything or candidate.demonstration is not None or place in self._practice

    @cached_property
    def _practice(self) -> frozenset[tuple[str, str]]:
        sources = self.questions[len(self.questions) - self.practised :]
        return frozenset((one.benchmark, one.id) for source in sources for one in source.questions)

    def _place(
        self,
        item: object,
        considered: Mapping[tuple[str, str], Candidate],
        given: Mapping[tuple[str, str], Sequence[PreferencePair | LeftOut]],
    ) -> tuple[str, str]:
        """Return which candidate an item is about. Raises `PluginError` for one that is nothing to go on with."""
        fault = pair_fault(item)
        if isinstance(item, PreferencePair | TrainingRow | LeftOut):
            named = f"question {item.question_id!r} of {item.benchmark!r}"
            place = (item.benchmark, item.question_id)
            if fault is None and not (all(isinstance(name, str) for name in place) and place in considered):
                fault = "which is not about one of its candidates"
            if fault is None:
                earlier = given.get(place, ())
                if not earlier or not (isinstance(item, LeftOut) or isinstance(earlier[0], LeftOut)):
                    return place
                fault = "which is left out, and given another time"
            fault = f"{named}: {fault}"
        raise PluginError(f"{self.strategy.at('pairs')}: pairs gave {fault}")

    def _candidates(self, work: Work) -> list[Candidate]:
        kept, _ = kept_demonstrations(work, self.demonstrations, self.taken, self.share)
        taught = {(row.benchmark, row.question_id): row for row in kept}
        found = []
        for sampled, source in zip(self.sampled, self.questions, strict=True):
            folder = work.artifact(sampled).folder
            answers = {row.question_id: row for row in read_rows(folder / ANSWERS, Answers)}
            drawn: dict[str, list[Drawn]] = {}
            for row in read_rows(folder / SAMPLES, Drawn) if (folder / SAMPLES).exists() else ():
                drawn.setdefault(row.question_id, []).append(row)
            found += [
                self._candidate(one, answers[one.id], taught.get((one.benchmark, one.id)), drawn.get(one.id, ()))
                for one in source.questions
            ]
        return found

    def _candidate(
        self, question: Question, answers: Answers, demonstration: Demonstration | None, drawn: Sequence[Drawn]
    ) -> Candidate:
        return Candidate(
            question=question,
            answers=answers,
            demonstration=demonstration,
            direct_correct=self._right(question, answers.direct, truncated=answers.direct_truncated),
            cot_correct=self._right(question, answers.cot, truncated=answers.cot_truncated),
            samples=tuple(
                SampledAnswer(
                    one.prompting,
                    one.text,
                    self._right(question, one.text, truncated=one.truncated),
                    one.truncated,
                    one.hinted,
                )
                for one in drawn
            ),
        )

    def _right(self, question: Question, text: str, *, truncated: bool) -> bool:
        # What was cut has no final answer yet, whatever the last number in it is.
        return not truncated and reader.is_correct(question, text, match=self.settings.match)


def _as_pair(item: PreferencePair | TrainingRow) -> PreferencePair:
    if isinstance(item, PreferencePair):
        return item
    return PreferencePair(
        question_id=item.question_id,
        benchmark=item.benchmark,
        prompt=item.prompt,
        chosen=item.chosen,
        rejected="",
        chosen_from=item.chosen_from,
        chosen_correct=item.chosen_correct,
        rejected_correct=False,
    )


def _same_text(pair: PreferencePair) -> bool:
    return pair.chosen.strip() == pair.rejected.strip()


def _texts(candidate: Candidate, *, truncated: bool) -> set[str]:
    """Return what the student wrote and was cut, or what was not, also what it wrote with its target as a hint."""
    return {one.text.strip() for one in candidate.samples if one.truncated == truncated}


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
        # What was written with a hint is not the student's own.
        "truncated": sum(any(own.truncated and not own.hinted for own in one.samples) for one in candidates),
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
