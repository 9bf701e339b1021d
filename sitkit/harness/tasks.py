"""What the task YAMLs in tasks/ name: the documents, the prompts, and the judging.

It is all that an lm-eval task of a sitkit benchmark needs; a third party's YAML may name these functions as well.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sitkit.answers import extract, is_correct
from sitkit.errors import RecipeError
from sitkit.types import Question

if TYPE_CHECKING:
    from datasets import Dataset

DATA_DIR = "SITKIT_DATA_DIR"
"""The environment variable that names the data folder where the metadata does not."""

_FIELDS = ("id", "benchmark", "kind", "instruction", "question", "choices", "target")


def docs(
    benchmark: str | None = None,
    data_dir: str | None = None,
    seed: int | str = 0,
    questions: Mapping[str, Sequence[Question]] | None = None,
    **_: object,
) -> dict[str, Dataset]:
    """Return a benchmark's test split, as lm-eval's ``custom_dataset`` (0.4.13) wants it: ``{"test": dataset}``.

    The arguments are the task's metadata: ``benchmark`` stands in the YAML, ``data_dir`` and ``seed`` may come from
    ``TaskManager(metadata=…)`` or ``lm_eval --metadata '{…}'``; whatever else lm-eval puts there (the model's
    arguments) is passed over. ``questions`` hands over, by benchmark, test questions that are loaded already.
    Raises `RecipeError` without a benchmark, `UnknownNameError`, `DataError`.
    """
    from datasets import Dataset

    from sitkit.registry import load_plugins

    if not benchmark:
        raise RecipeError("the task's YAML names no benchmark: metadata: {benchmark: NAME}")
    if questions is None or benchmark not in questions:
        folder = data_dir or os.environ.get(DATA_DIR)
        made = load_plugins().benchmark(benchmark, Path(folder).expanduser() if folder else None)
        found = made.questions("test", int(seed))
    else:
        found = questions[benchmark]
    return {"test": Dataset.from_list([as_doc(question) for question in found])}


def as_doc(question: Question) -> dict[str, Any]:
    """Return a question as an lm-eval document: its fields, and its two prompts rendered."""
    doc = {name: getattr(question, name) for name in _FIELDS}
    choices = None if question.choices is None else list(question.choices)
    return {
        **doc,
        "choices": choices,
        "prompt_direct": question.prompt("direct"),
        "prompt_cot": question.prompt("cot"),
    }


def as_question(doc: Mapping[str, Any]) -> Question:
    """Return the question a document was made of (without its worked solution)."""
    return Question(**{name: doc[name] for name in _FIELDS})


def prompt_direct(doc: Mapping[str, Any]) -> str:
    """Return the prompt of the paper's Table 2."""
    return str(doc["prompt_direct"])


def prompt_cot(doc: Mapping[str, Any]) -> str:
    """Return the prompt of the paper's Table 3, with the trigger."""
    return str(doc["prompt_cot"])


def target(doc: Mapping[str, Any]) -> str:
    """Return the target as a person would write it; shown in lm-eval's logs, never judged against."""
    return as_question(doc).target_text


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, int]:
    """Judge one completion with `sitkit.answers`: ``accuracy`` and ``extraction_failure``, each 0 or 1."""
    question, text = as_question(doc), results[0]
    return {"accuracy": int(is_correct(question, text)), "extraction_failure": int(extract(question, text) is None)}
