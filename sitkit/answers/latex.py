"""Reads the LaTeX expression a text gives as its final answer, and judges whether two expressions are equal."""

from __future__ import annotations

import re

from sitkit.answers.number import canonical_number, read_number
from sitkit.answers.text import refuses

LONGEST_EXPRESSION = 1000
"""Characters beyond which an expression is compared as text alone."""

_BOXED = re.compile(r"\\f?boxed\s{0,3}\{")
_BOXED_BARE = re.compile(r"\\boxed\s{1,3}([^\s{}$]{1,40})")
_STATED = re.compile(
    r"(?:(?<!to )\banswers?\b(?:[^.:=\n]{0,50}?\b(?:is|are|equals)\b|[^.:=\n]{0,50}?:)|\#{4})[ \t:]*\n?",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"\.(?=\s|$)|\n")
_INLINE = re.compile(
    r"(?<!\\)\$\$?((?:[^$\\]|\\[\s\S]){1,1000})\$\$?|\\\(((?:[^\\]|\\[^)]){1,1000}?)\\\)|\\\[((?:[^\\]|\\[^\]]){1,1000}?)\\\]"
)
_COMMAND = re.compile(r"\\[A-Za-z]+")
_BRACE = re.compile(r"[{}]")
_GROUP = re.compile(r"[0-9]{3}(?:\.[0-9]+)?")
_THOUSANDS = re.compile(r"-?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_UNKNOWN = re.compile(r"[A-Za-z]")
_TERMS = re.compile(r"\S\s*[+-]")
_NUMBER_ONLY = re.compile(r"-?[0-9][0-9,]{0,40}(?:\.[0-9]{1,40})?")


def read_latex(text: str) -> str | None:
    """Return the last boxed expression of ``text``, else the stated one, else the last formula, else a number."""
    boxed = _boxed(text)
    if boxed is not None:
        return boxed or None
    for stated in reversed(list(_STATED.finditer(text))):
        stop = _SENTENCE.search(text, stated.end())
        clause = text[stated.end() : stop.start() if stop else len(text)]
        formula = next(iter(_INLINE.finditer(clause)), None)
        answer = _inside(formula) if formula else clause.strip(" *:$.")
        if answer:
            return _right_side(answer) or None
    if refuses(text.lower()):
        return None
    formulas = list(_INLINE.finditer(text))
    if formulas:
        return _right_side(_inside(formulas[-1])) or None
    line = text.strip()
    if line and "\n" not in line and len(line) <= 60 and " " not in line.strip():
        return _right_side(line.strip("*.")) or None
    return read_number(text)


def same_latex(target: str, answer: str) -> bool:
    """Tell whether two expressions are equal: as text, as numbers, else by math-verify under a hard time limit."""
    left, right = _plain(target), _plain(answer)
    if left == right:
        return True
    if _listed(left) and _listed(right) and (same := _same_list(left.split(","), right.split(","))) is not None:
        return same
    target, answer = _right_side(target), _right_side(answer)
    if "=" in answer and "=" not in target:
        answer = answer.rpartition("=")[2].strip()
    left, right = _plain(target), _plain(answer)
    if left == right:
        return True
    if _NUMBER_ONLY.fullmatch(left) and _NUMBER_ONLY.fullmatch(right):
        return canonical_number(left) == canonical_number(right)
    if max(len(target), len(answer)) > LONGEST_EXPRESSION:
        return False
    from sitkit.answers.math_check import verify

    if verify(target, answer):
        return True
    if not (_listed(left) and _listed(right)):
        return False
    return "=" not in left + right and verify(f"\\{{{target}\\}}", f"\\{{{answer}\\}}")


def _listed(plain: str) -> bool:
    """Whether an expression is several, with commas between and no brackets around: their order says nothing."""
    return "," in plain and not any(mark in plain for mark in "()[]|") and _THOUSANDS.fullmatch(plain) is None


def _same_list(left: list[str], right: list[str]) -> bool | None:
    """Whether two lists hold the same in any order; None where their terms need a closer look.

    math-verify would find a list equal to a longer one, and does not count what is in it twice.
    """
    if sorted(left) == sorted(right):
        return True
    if any(_GROUP.fullmatch(part) for part in left[1:] + right[1:]):
        return None
    if len(left) != len(right):
        return False
    if all(_NUMBER_ONLY.fullmatch(part) for part in left + right):
        return sorted(map(str, map(canonical_number, left))) == sorted(map(str, map(canonical_number, right)))
    return None


def _boxed(text: str) -> str | None:
    """What the last box with anything in it holds; None without a box, empty where the last one is not closed."""
    opened = [box.end() for box in _BOXED.finditer(text)]
    if not opened:
        bare = _BOXED_BARE.findall(text)
        return bare[-1].rstrip(".") if bare else None
    for start in reversed(opened):
        end = _closing(text, start)
        inside = text[start:end].strip()
        if inside or end == start - 1:
            return inside
    return ""


def _closing(text: str, start: int) -> int:
    """Where the brace opened before ``start`` is closed; one before ``start`` where it is not."""
    depth = 1
    for brace in _BRACE.finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.start()
    return start - 1


def _inside(formula: re.Match[str]) -> str:
    return next(part for part in formula.groups() if part is not None).strip()


def _right_side(expression: str) -> str:
    """What an equation such as ``x = …`` or ``3 + 4 = …`` comes to.

    Left whole are inequalities, several equations, and an equation between terms with unknowns, such as a line's.
    """
    left, equals, right = expression.rpartition("=")
    if not equals or left[-1:] in "<>!≤≥" or ("=" in left and "," in left) or _has_unknown_terms(left):
        return expression.strip()
    return right.strip()


def _has_unknown_terms(left: str) -> bool:
    sides = (_COMMAND.sub("", side) for side in left.split("="))
    return any(_TERMS.search(side) and _UNKNOWN.search(side) for side in sides)


def _plain(expression: str) -> str:
    for noise in ("\\left", "\\right", "\\!", "\\,", "\\;", "$", " "):
        expression = expression.replace(noise, "")
    return expression.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").rstrip(".")
