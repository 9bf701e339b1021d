"""What plugins hand over, looked at field by field: each function returns what is wrong with it, or None.

Nothing here raises or stores anything. `sitkit.components` and the stages turn a fault into a `PluginError` that names
the plugin; a plugin author's tests may call the same functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from sitkit import answers
from sitkit.store.keys import canonical
from sitkit.types import (
    ANSWERED,
    LETTERS,
    Candidate,
    Completion,
    Distillation,
    Estimate,
    Kind,
    LeftOut,
    Objective,
    Origin,
    PreferencePair,
    Prompting,
    Question,
    Reply,
    Reward,
    TrainingReport,
    TrainingRow,
)

MOST_FINGERPRINT = 1_000_000
"""Characters of JSON that a fingerprint may have; a digest says as much in 64."""

MOST_REASON = 200
"""Characters of a reason that is counted."""


def question_fault(question: object, benchmark: str) -> str | None:
    """Return what is wrong with a question of the benchmark of that name."""
    if not isinstance(question, Question):
        return f"{_what(question)} in place of a Question"
    if not is_text(question.id):
        return f"its id is {_shown(question.id)}, expected a text"
    if question.benchmark != benchmark:
        return f"it names the benchmark {_shown(question.benchmark)}"
    if question.kind not in get_args(Kind):
        return f"the kind {_shown(question.kind)} is not one of {', '.join(get_args(Kind))}"
    for name in ("instruction", "question", "target"):
        if not is_text(getattr(question, name)):
            return f"its {name} is {_shown(getattr(question, name))}, expected a text"
    if question.solution is not None and not isinstance(question.solution, str):
        return f"its solution is {_what(question.solution)}, expected a text or None"
    if question.choices is not None and not all(is_text(text) for text in question.choices):
        return f"an option is not a text: {_shown(question.choices)}"
    return _target_fault(question)


def _target_fault(question: Question) -> str | None:
    target = question.target
    if question.kind == "choice":
        count = len(question.choices or ())
        if not 2 <= count <= len(LETTERS):
            return f"it has {count} options, expected 2 to {len(LETTERS)}"
        if len(target) != 1 or target not in LETTERS[:count]:
            return f"the target {_shown(target)} is not the letter of one of its options"
    elif question.kind == "number":
        if not _is_number(target):
            return f"the target {_shown(target)} is not a number"
    elif not _is_latex(target):
        return f"the target {_shown(target)} is not LaTeX: its braces do not match"
    return None


def _is_number(text: str) -> bool:
    from sitkit.answers.number import canonical_number

    # The reader finds a number in any text; a target is one and nothing else.
    return not any(character.isalpha() for character in text) and canonical_number(text.strip()) is not None


def _is_latex(text: str) -> bool:
    depth, escaped = 0, False
    for character in text:
        if not escaped and character in "{}":
            depth += 1 if character == "{" else -1
            if depth < 0:
                return False
        escaped = character == "\\" and not escaped
    return depth == 0


def questions_fault(questions: Iterable[object], benchmark: str) -> str | None:
    """Return what is wrong with the questions of a benchmark's split: with the first that is wrong, or an id twice."""
    seen: set[str] = set()
    for place, question in enumerate(questions, 1):
        fault = question_fault(question, benchmark)
        named = f"question {_shown(getattr(question, 'id', None))}" if isinstance(question, Question) else "questions"
        if fault is None and isinstance(question, Question):
            if question.id in seen:
                fault = "the id is given twice"
            seen.add(question.id)
        if fault is not None:
            return f"{named} (the {place}. of its split): {fault}"
    return None


def repeated_options(questions: Sequence[Question]) -> int:
    """Return how many questions have two options of the same text, so that one of two equal answers is wrong."""
    return sum(len(set(question.choices)) < len(question.choices) for question in questions if question.choices)


def domain_fault(domain: object) -> str | None:
    """Return what is wrong with a benchmark's domain."""
    return None if is_text(domain) else f"its domain is {_shown(domain)}, which is not a name"


def tasks_fault(tasks: Mapping[Prompting, object]) -> str | None:
    """Return what is wrong with the names of a benchmark's lm-eval tasks, by prompting."""
    for prompting, task in tasks.items():
        if not is_text(task):
            return f"task gave {_shown(task)} for {prompting}, expected the name of an lm-eval task"
    if len(set(tasks.values())) < len(tasks):
        return f"task gave the same name for every prompting: {', '.join(map(str, tasks.values()))}"
    return None


def fingerprint_fault(fingerprint: object) -> str | None:
    """Return what is wrong with a fingerprint, which has to be JSON."""
    try:
        size = len(canonical(fingerprint))
    except (TypeError, ValueError, RecursionError) as error:
        return f"fingerprint failed with {type(error).__name__}: {' '.join(str(error).split())}"
    if size > MOST_FINGERPRINT:
        return f"fingerprint has {size:,} characters, more than {MOST_FINGERPRINT:,}: name a digest of what is large"
    return None


def reply_fault(reply: object) -> str | None:
    """Return what is wrong with what a teacher yields: a `Reply`, or (id, text)."""
    if _is_pair(reply):
        return None
    if not isinstance(reply, Reply):
        return f"gave {_shown(reply)} in place of (id, text) or a Reply"
    for name in ("id", "completion", "outcome", "detail", "reasoning"):
        if not isinstance(getattr(reply, name), str):
            return (
                f"gave a Reply in place of (id, text) or a Reply of texts: its {name} is {_what(getattr(reply, name))}"
            )
    for name in ("prompt_tokens", "completion_tokens"):
        count = getattr(reply, name)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            return f"gave a Reply to {reply.id!r} whose {name} is {_shown(count)}, expected a count"
    if not is_text(reply.outcome) or len(reply.outcome) > MOST_REASON:
        return f"gave a Reply to {reply.id!r} whose outcome is {_shown(reply.outcome)}, expected a few words"
    if reply.outcome == ANSWERED and not reply.completion.strip():
        return f"gave an empty answer to {reply.id!r}: where there is none, the outcome says why (empty reply)"
    return None


def completion_fault(completion: object) -> str | None:
    """Return what is wrong with what a student yields: a `Completion`, or (id, text) for one that was not cut."""
    if _is_pair(completion):
        return None
    if not isinstance(completion, Completion):
        return f"gave {_shown(completion)} in place of a Completion or (id, text)"
    texts = isinstance(completion.id, str) and isinstance(completion.text, str)
    if not texts or not isinstance(completion.truncated, bool):
        return f"gave {_shown(completion)} in place of a Completion or (id, text)"
    if completion.tokens is not None and not _is_count(completion.tokens):
        return f"says that {completion.id!r} took {_shown(completion.tokens)} tokens, expected a count or None"
    return None


def _is_pair(row: object) -> bool:
    return isinstance(row, tuple | list) and len(row) == 2 and all(isinstance(text, str) for text in row)


def pair_fault(pair: object) -> str | None:
    """Return what is wrong with a field of a pair, a `TrainingRow` or a `LeftOut` that a strategy gave."""
    if isinstance(pair, LeftOut):
        return left_out_fault(pair)
    if not isinstance(pair, PreferencePair | TrainingRow):
        return f"{_what(pair)} in place of a PreferencePair, a TrainingRow or a LeftOut"
    alone = isinstance(pair, TrainingRow)
    for name in ("prompt", "chosen") if alone else ("prompt", "chosen", "rejected"):
        if not is_text(getattr(pair, name)):
            return f"its {name} is {_shown(getattr(pair, name))}, expected a text"
    if pair.chosen_from not in get_args(Origin):
        return f"its chosen_from is {_shown(pair.chosen_from)}, expected one of {', '.join(get_args(Origin))}"
    for name in ("chosen_correct",) if alone else ("chosen_correct", "rejected_correct"):
        if not isinstance(getattr(pair, name), bool):
            return f"its {name} is {_shown(getattr(pair, name))}, expected True or False"
    return None


def claim_fault(
    pair: PreferencePair, candidate: Candidate, match: Literal["final", "contains"] = "final"
) -> str | None:
    """Return what is wrong with what a pair says of its sides being right.

    They are judged again, where it is not known from the candidate.
    """
    known = _judged(candidate)
    for side, text, claim in (
        ("chosen", pair.chosen, pair.chosen_correct),
        ("rejected", pair.rejected, pair.rejected_correct),
    ):
        if side == "rejected" and not text:
            continue
        if side == "chosen" and pair.chosen_from == "target" and candidate.question.target_text in text:
            right = {True}
        else:
            right = known.get(text.strip()) or {answers.is_correct(candidate.question, text, match=match)}
        if claim not in right:
            return f"it says that its {side} side is {'right' if claim else 'wrong'}, which it is not"
    return None


def _judged(candidate: Candidate) -> dict[str, set[bool]]:
    """What is known of a candidate's texts; one that two have given may be right for one and wrong for the other."""
    known: dict[str, set[bool]] = {}
    texts = [(one.text, one.correct) for one in candidate.samples]
    if candidate.demonstration is not None:
        texts.append((candidate.demonstration.completion, candidate.demonstration.correct))
    for text, right in texts:
        known.setdefault(text.strip(), set()).add(right)
    return known


def left_out_fault(left: LeftOut) -> str | None:
    """Return what is wrong with the reason why there is no pair."""
    if not is_text(left.reason) or len(left.reason) > MOST_REASON or "\n" in left.reason:
        return f"its reason is {_shown(left.reason)}, expected a few words"
    return None


def objective_fault(objective: object) -> str | None:
    """Return what is wrong with a strategy's objective."""
    if not isinstance(objective, Objective):
        return f"objective gave {_what(objective)} in place of an Objective"
    loss, weights = objective.loss, objective.weights
    named = isinstance(loss, tuple) and loss and all(is_text(name) for name in loss) and len(set(loss)) == len(loss)
    numbers = isinstance(weights, tuple) and all(_is_positive(number) for number in (*weights, objective.beta))
    if not named or not numbers or len(weights) != len(loss):
        return f"{objective} is not a valid objective: loss names, a weight above 0 for each, and a beta above 0"
    return None


def reward_fault(reward: object) -> str | None:
    """Return what is wrong with a strategy's reward, its function not called."""
    if not isinstance(reward, Reward):
        return f"reward gave {_what(reward)} in place of a Reward"
    weights = reward.weights
    named = isinstance(weights, Mapping) and weights and all(is_text(name) and "/" not in name for name in weights)
    if not named or not all(_is_number_value(one) and math.isfinite(one) for one in weights.values()):
        return f"its weights are {_shown(weights)}, expected names of terms and finite numbers"
    return None if callable(reward.judge) else f"its judge is {_what(reward.judge)}, expected a function"


def judged_fault(reward: Reward, terms: object) -> str | None:
    """Return what is wrong with what a reward's function gave for an answer."""
    if not isinstance(terms, Mapping) or set(terms) != set(reward.weights):
        return f"judge gave {_shown(terms)}, expected a number for each of {', '.join(reward.weights)}"
    wrong = [name for name, value in terms.items() if not _is_number_value(value) or not math.isfinite(value)]
    return f"judge gave {_shown(terms[wrong[0]])} for {wrong[0]}, expected a finite number" if wrong else None


def distillation_fault(distillation: object) -> str | None:
    """Return what is wrong with what a strategy says that distilling optimises."""
    if not isinstance(distillation, Distillation):
        return f"distillation gave {_what(distillation)} in place of a Distillation"
    beta = distillation.beta
    return None if _is_number_value(beta) and 0 <= beta <= 1 else f"its beta is {_shown(beta)}, expected 0 to 1"


def report_fault(report: object) -> str | None:
    """Return what is wrong with what a student tells of a training."""
    if not isinstance(report, TrainingReport):
        return f"gave {_what(report)} in place of a TrainingReport"
    if not isinstance(report.steps, int) or isinstance(report.steps, bool) or report.steps < 0:
        return f"its steps are {_shown(report.steps)}, expected a count"
    if not isinstance(report.metrics, Mapping):
        return f"its metrics are {_what(report.metrics)}, expected names and numbers"
    for name, value in report.metrics.items():
        if not is_text(name) or not _is_number_value(value) or not math.isfinite(value):
            return f"its metric {_shown(name)} is {_shown(value)}, expected a finite number"
    if not isinstance(report.log, list | tuple):
        return f"its log is {_what(report.log)}, expected a list of rows"
    for row in report.log:
        if not isinstance(row, Mapping) or not all(is_text(name) and _is_number_value(row[name]) for name in row):
            return f"a row of its log is {_shown(row)}, expected names and numbers"
    if not isinstance(report.warnings, list | tuple) or not all(is_text(text) for text in report.warnings):
        return f"its warnings are {_shown(report.warnings)}, expected a list of texts"
    return None


def adapter_fault(out: Path) -> str | None:
    """Return what is wrong with the folder a student was to leave what it has learnt in."""
    if not out.is_dir() or not any(out.iterdir()):
        return f"left nothing in {out}"
    return None


def estimate_fault(estimate: object) -> str | None:
    """Return what is wrong with an estimate of a teacher's calls."""
    if not isinstance(estimate, Estimate):
        return f"gave {_what(estimate)} in place of an Estimate"
    for name in ("calls", "prompt_tokens", "completion_tokens"):
        count = getattr(estimate, name)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            return f"gave an Estimate whose {name} are {_shown(count)}, expected a count"
    if not isinstance(estimate.pricing, str):
        return f"gave an Estimate whose pricing is {_what(estimate.pricing)}, expected a text"
    return cost_fault(estimate.cost)


def cost_fault(cost: object) -> str | None:
    """Return what is wrong with a price in US dollars."""
    if cost is None or (_is_number_value(cost) and 0 <= float(cost) < math.inf):  # type: ignore[arg-type]
        return None
    return f"gave the price {_shown(cost)}, expected US dollars or None"


def is_text(value: object) -> bool:
    """Tell whether a value is a text that holds more than blanks."""
    return isinstance(value, str) and bool(value.strip())


def _is_number_value(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_positive(value: object) -> bool:
    return _is_number_value(value) and 0 < float(value) < math.inf  # type: ignore[arg-type]


def _what(value: object) -> str:
    return type(value).__name__


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"a {_what(value)} that cannot be shown"
    return text if len(text) <= 80 else f"{text[:77]}..."
