"""The teacher `file`: demonstrations made elsewhere, one JSON object a line.

    {"question_id": "gsm8k/train/0", "completion": "4 bags hold 24 apples. ... The answer is 19."}
    {"question": "Sam packed 4 bags with 6 apples each. ...", "completion": "..."}
    {"prompt": "Answer the following ...\\nQuestion: Sam ...\\nAnswer: Let's think step by step", "completion": "..."}

A row is matched by the first of these fields it has; blanks are folded. With a field ``benchmark`` it answers that
benchmark's questions alone. Of several rows for one question the first counts. So the demonstrations.jsonl of a
stored annotate stage can be read as it is.

A row answers one prompting: the one its field ``prompting`` ("cot" or "direct") names, else the one its ``prompt`` is
of, else "cot", for reasoning is no answer to a question asked for the answer alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sitkit.errors import DataError
from sitkit.plugin_support import NOTICES
from sitkit.types import PROMPTINGS, Generation, Json, Prompting, Question
from sitkit_benchmarks import ALIASES
from sitkit_benchmarks.rows import read_rows, sha256

KEYS = ("question_id", "question", "prompt")

_FIRST = {alias: name for name, aliases in ALIASES.items() for alias in aliases}


@dataclass(frozen=True)
class _Answer:
    completion: str
    prompting: str
    prompt: str

    def fits(self, question: Question, prompting: Prompting) -> bool:
        """Whether it answers the question asked this way."""
        told = self.prompting or next(
            (way for way in PROMPTINGS if self.prompt == _folded(question.prompt(way))), "cot"
        )
        return told == prompting


class FileTeacher:
    """Answers the questions that a file has a row for; the others stay unanswered."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise DataError(f"file:{path}: there is no such file")
        self._path = path

    def fingerprint(self) -> Json:
        """Return the file's sha256; its place does not matter."""
        return {"sha256": sha256(self._path)}

    def answer(
        self, questions: Sequence[Question], prompting: Prompting, generation: Generation
    ) -> Iterator[tuple[str, str]]:
        """Yield a completion for each question the file has a row for. Raises `DataError` for a row that is wrong."""
        answers = self._read()
        found = 0
        for question in questions:
            rows = (
                row
                for key in _keys(question)
                for benchmark in (question.benchmark, "")
                for row in answers.get((benchmark, *key), ())
            )
            row = next((row for row in rows if row.fits(question, prompting)), None)
            if row is not None:
                found += 1
                yield question.id, row.completion
        if prompting == "direct" and found < len(questions):
            logging.getLogger(NOTICES).warning(
                "file:%s: %d of %d questions are left unanswered with direct prompting, for which it has no row (a row"
                ' for it says "prompting": "direct")',
                self._path,
                len(questions) - found,
                len(questions),
            )

    def close(self) -> None:
        """Nothing is held open."""

    def _read(self) -> dict[tuple[str, str, str], list[_Answer]]:
        answers: dict[tuple[str, str, str], list[_Answer]] = {}
        for row in read_rows(self._path):
            key = next((key for key in KEYS if key in row), None)
            if key is None:
                raise DataError(f"{row.where}: expected a field to match by: {', '.join(KEYS)}")
            benchmark = _FIRST.get(name := row.text("benchmark"), name) if "benchmark" in row else ""
            prompting = row.text("prompting") if "prompting" in row else ""
            if prompting not in ("", *PROMPTINGS):
                raise row.wrong("prompting", f"expected one of {', '.join(PROMPTINGS)}, got {prompting[:40]!r}")
            prompt = _folded(row.text("prompt")) if "prompt" in row else ""
            rows = answers.setdefault((benchmark, key, _folded(row.text(key))), [])
            rows.append(_Answer(row.text("completion"), prompting, prompt))
        return answers


def _keys(question: Question) -> list[tuple[str, str]]:
    prompts = [("prompt", _folded(question.prompt(prompting))) for prompting in PROMPTINGS]
    return [("question_id", _folded(question.id)), ("question", _folded(question.question)), *prompts]


def _folded(text: str) -> str:
    return " ".join(text.split())
