"""What the task YAMLs in tasks/ name: the documents, the prompts, and the judging.

It is all that an lm-eval task of a sitkit benchmark needs; a third party's YAML may name these functions as well.
"""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from sitkit.answers import extract, is_correct
from sitkit.capabilities import Subdivided
from sitkit.errors import RecipeError
from sitkit.settings import Match
from sitkit.types import LETTERS, Question

if TYPE_CHECKING:
    from datasets import Dataset

DATA_DIR = "SITKIT_DATA_DIR"
"""The environment variable that names the data folder where the metadata does not."""

_FIELDS = ("id", "benchmark", "kind", "instruction", "question", "choices", "target")


def docs(
    benchmark: str | None = None,
    data_dir: str | None = None,
    seed: int | str = 0,
    alias: str | None = None,
    subset: str | None = None,
    questions: Mapping[str, Sequence[Question]] | None = None,
    match: str = "final",
    **_: object,
) -> dict[str, Dataset]:
    """Return a benchmark's test split, as lm-eval's ``custom_dataset`` (0.4.13) wants it: ``{"test": dataset}``.

    The arguments are the task's metadata: ``benchmark`` stands in the YAML, ``data_dir`` and ``seed`` may come from
    ``TaskManager(metadata=…)`` or ``lm_eval --metadata '{…}'``; whatever else lm-eval puts there (the model's
    arguments) is passed over. ``subset`` takes one group of the questions alone, such as an MMLU subject.
    ``questions`` hands over test questions that are loaded already, by benchmark or by ``alias``, its other name.
    ``match`` is how `process_results` judges, as `sitkit.answers.is_correct` takes it.
    Raises `RecipeError` without a benchmark, for a subset it does not have or a match that there is not,
    `UnknownNameError`, `DataError`.
    """
    if not benchmark:
        raise RecipeError("the task's YAML names no benchmark: metadata: {benchmark: NAME}")
    given = {} if questions is None or subset else questions
    name = next((name for name in (benchmark, alias) if name in given), None)
    if name is None:
        found = _load(benchmark, data_dir or os.environ.get(DATA_DIR) or None, int(seed), subset)
    else:
        found = given[name]
    return _dataset(found, match)


def docs_in(path: Path, match: str = "final", **_: object) -> dict[str, Dataset]:
    """Return the questions of a file that `sitkit.harness.made_tasks` wrote, as `docs` returns a benchmark's."""
    with path.open(encoding="utf-8") as lines:
        return _dataset([as_question(json.loads(line)) for line in lines], match)


def _dataset(questions: Sequence[Question], match: str) -> dict[str, Dataset]:
    from datasets import Dataset

    if match not in get_args(Match):
        raise RecipeError(f"the task's metadata asks for match {match!r}: expected one of {', '.join(get_args(Match))}")
    # lm-eval hands metadata to the dataset's function alone: what judges reads it from the document.
    judged = {} if match == "final" else {"match": match}
    return {"test": Dataset.from_list([as_doc(question) | judged for question in questions])}


def _load(benchmark: str, data_dir: str | None, seed: int, subset: str | None) -> Sequence[Question]:
    from sitkit.registry import load_plugins

    folder = None if data_dir is None else Path(data_dir).expanduser()
    made = load_plugins().benchmark(benchmark, folder)
    if subset is None:
        return made.questions("test", seed)
    divided = _subdivided(benchmark, folder, json.dumps(made.fingerprint("test", seed)))
    if divided is None:
        raise RecipeError(f"the task's metadata asks for the subset {subset!r}, but {benchmark} has no subsets")
    found = divided.subset("test", seed, subset)
    if not found:
        raise RecipeError(f"{benchmark} has no test questions in a subset {subset!r}")
    return found


@functools.lru_cache(maxsize=2)
def _subdivided(benchmark: str, folder: Path | None, state: str) -> Subdivided | None:
    """The benchmark, its questions loaded once for all of its subsets; ``state`` changes as its data do."""
    from sitkit.registry import load_plugins

    made = load_plugins().benchmark(benchmark, folder)
    return made if isinstance(made, Subdivided) else None


def as_row(question: Question) -> dict[str, Any]:
    """Return the fields of a question that scoring needs; its worked solution is not among them."""
    choices = None if question.choices is None else list(question.choices)
    return {**{name: getattr(question, name) for name in _FIELDS}, "choices": choices}


def as_doc(question: Question) -> dict[str, Any]:
    """Return a question as an lm-eval document: its fields, and its two prompts rendered."""
    prompts = {"prompt_direct": question.prompt("direct"), "prompt_cot": question.prompt("cot")}
    return {**as_row(question), **prompts}


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
    """Judge one completion with `sitkit.answers`: ``accuracy`` and ``extraction_failure``, each 0 or 1.

    ``truncated`` beside them where it is known: within sitkit. lm-eval's own models do not say whether a text was cut.
    A failure is a text without a final answer, however ``accuracy`` is judged.
    """
    question, text = as_question(doc), results[0]
    right = is_correct(question, text, match=doc.get("match", "final"))
    judged = {"accuracy": int(right), "extraction_failure": int(extract(question, text) is None)}
    truncated = getattr(text, "truncated", None)
    return judged if truncated is None else {**judged, "truncated": int(truncated)}


def letters(doc: Mapping[str, Any]) -> list[str]:
    """Return the letters of a multiple-choice question's options, of which a probe takes the most probable."""
    return list(LETTERS[: len(doc["choices"])])


def target_index(doc: Mapping[str, Any]) -> int:
    """Return the position of the right option."""
    return LETTERS.index(doc["target"])


def process_probe(doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, int]:
    """Judge the options' log-likelihoods: the most probable one is the answer.

    Where two are equally probable, or one is not a number, there is none: that counts as ``extraction_failure``.
    """
    values = [value for value, _ in results]
    best = max(values)
    if values.count(best) > 1 or any(math.isnan(value) for value in values):
        return {"accuracy": 0, "extraction_failure": 1}
    return {"accuracy": int(values.index(best) == target_index(doc)), "extraction_failure": 0}
