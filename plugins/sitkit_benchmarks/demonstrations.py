"""The teacher `file`: demonstrations made elsewhere, one JSON object a line.

    {"question_id": "gsm8k/train/0", "completion": "4 bags hold 24 apples. ... The answer is 19."}
    {"question": "Sam packed 4 bags with 6 apples each. ...", "completion": "..."}
    {"prompt": "Answer the following ...\\nQuestion: Sam ...\\nAnswer: Let's think step by step", "completion": "..."}

A row is matched by the first of these fields it has; blanks are folded. With a field ``benchmark`` it answers that
benchmark's questions alone. Of several rows for one question the first counts. So the demonstrations.jsonl of a
stored annotate stage can be read as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sitkit.errors import DataError
from sitkit.types import PROMPTINGS, Generation, Json, Prompting, Question
from sitkit_benchmarks import ALIASES
from sitkit_benchmarks.rows import read_rows, sha256

KEYS = ("question_id", "question", "prompt")

_FIRST = {alias: name for name, aliases in ALIASES.items() for alias in aliases}


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
        completions = self._read()
        for question in questions:
            for key in _keys(question):
                found = completions.get((question.benchmark, *key)) or completions.get(("", *key))
                if found is not None:
                    yield question.id, found
                    break

    def close(self) -> None:
        """Nothing is held open."""

    def _read(self) -> dict[tuple[str, str, str], str]:
        completions: dict[tuple[str, str, str], str] = {}
        for row in read_rows(self._path):
            key = next((key for key in KEYS if key in row), None)
            if key is None:
                raise DataError(f"{row.where}: expected a field to match by: {', '.join(KEYS)}")
            benchmark = _FIRST.get(name := row.text("benchmark"), name) if "benchmark" in row else ""
            completions.setdefault((benchmark, key, _folded(row.text(key))), row.text("completion"))
        return completions


def _keys(question: Question) -> list[tuple[str, str]]:
    prompts = [("prompt", _folded(question.prompt(prompting))) for prompting in PROMPTINGS]
    return [("question_id", _folded(question.id)), ("question", _folded(question.question)), *prompts]


def _folded(text: str) -> str:
    return " ".join(text.split())
