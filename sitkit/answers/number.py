"""Reads the number a text gives as its final answer."""

from __future__ import annotations

import functools
import itertools
import re
from fractions import Fraction
from itertools import pairwise

from sitkit.answers.text import REVISION, SENTENCE_END, join_groups, last_matches, lower, refuses
from sitkit.answers.words import WORD_NUMBER, word_value

_PLAIN = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+"
_EXPONENT = r"[eE](?P<exponent>[+-]?[0-9]{1,2})(?![A-Za-z0-9_]|[.-][A-Za-z0-9])"
"""Of two digits at most, and not in a longer word, which is a name: 1e3, but neither 1e3f nor 1e3-2c."""

_FORM = rf"(?:{_PLAIN})(?:{_EXPONENT.replace('?P<exponent>', '?:')})?"
_NUMBER = re.compile(
    rf"""(?:(?P<sign>(?<![\w)\]}}.])-|(?<==[ ])-[ ]|\bnegative[ ]|(?<=is[ ])minus[ ])(?=[$€£₹¥]?[ ]?[0-9.]))?
    (?P<currency>[$€£₹¥][ ]?(?P<inner>-)?)?
    (?<![A-Za-z0-9_])(?P<value>(?<=[$€£])[0-9]{{1,3}}(?:[ ][0-9]{{3}})+(?![0-9])|{_PLAIN})
    (?:{_EXPONENT})?
    (?:(?:[ ]and)?[ ](?P<part>[0-9]{{1,4}})/(?P<parts>[0-9]{{1,4}})(?![0-9/])|[ ]?/[ ]?(?P<over>{_PLAIN})(?![0-9/]))?
    (?:[ ]?(?P<ordinal>st|nd|rd|th)\b|[ ](?P<scale>thousand|million|billion|trillion)\b)?""",
    re.VERBOSE,
)
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_MOST_DIGITS = 60

_QUICK = re.compile(r"(?:[Tt]he answer is|It is) (-?[0-9]{1,15})\.?$")
_MARKER = re.compile(
    r"(?P<hash>\#{2,})"
    r"|(?P<boxed>\\boxed\b)"
    r"|\bis (?P<back>(?:the|our|my|your) (?:\w{1,10} )?answer\b)"
    r"|(?<!to )(?<!-)\banswers?\b"
    r"(?:,? (?:to|for|of|in|on|here|then|therefore|thus)\b[^.:=\n0-9]{0,50}?|[ ]?\([^)\n]{0,30}\))?[ ,]*"
    r"(?:\b(?:is|are|equals?|was|(?:would|will|should|must) be|comes (?:out )?to)\b|[:=]|[ ]*\n)",
    re.IGNORECASE,
)
_OPERATOR = re.compile(r"[+*×÷·^]|\s[-x/]\s|\b(?:plus|minus|divided by|multiplied by)\b|^ times $")
_EQUALS = re.compile(r"[=≈:→]")
_CONCLUDES_ANEW = re.compile(r"[=≈:→]|\b(?:so|thus|therefore|hence|which is|which means|totals?|rounds?|rounded)\b")
_EXPLAINS = re.compile(r"\b(?:because|since)\b")
_CONCLUDES = re.compile(
    r"[=≈:→]|\b(?:is|are|equals?|makes?|making|gives?|(?<!after )giving|so|thus|therefore|hence|was|were|leaving|"
    r"leaves|left with|(?:sells?|sold|goes?|went) for|total|totals|totaling|which|means|gets?|comes? to|or)\b"
)
_SUBORDINATES = re.compile(
    r"\b(?:after|because|since|when|if|for|from|out of|in|by|per|than|given|with|over|at|to|on|every|each|within|"
    r"during|as|while|of|until|before|where|not|instead|using)\b"
)
_LEADING = re.compile(
    r"\s*(?:(?:so|therefore|thus|then|and|hence),? )?"
    r"(?:in|after|if|with|for|over|since|at|by|on|during|given|because|when|from|of|out of) [^,=]*, ",
    re.IGNORECASE,
)
_CHECK = re.compile(
    r"\b(?:to (?:double-)?check|let's (?:check|verify)|to verify|verification|double-check|check:)", re.I
)
_STEP = re.compile(r"\bsteps? [0-9]+|^[ \t]*[0-9]{1,2}[.)](?=[ \t]+[^\s0-9])", re.IGNORECASE | re.MULTILINE)
_DIGIT = re.compile(r"[0-9]")
_UNFINISHED = re.compile(r"[-+*/×÷=]\s*[$(]?$")

_OPENS = "0123456789$€£₹¥-.="
_UNIT = r"(?P<unit>%?(?:[ ]?[A-Za-z][A-Za-z./]{0,14}(?<![.])){0,2})"
_OPENING = re.compile(
    rf"=?[ ]?(?P<number>[$€£₹¥]?-?[$€£₹¥]?{_FORM}){_UNIT}[ ]*"
    r"(?:(?P<item>\.)(?=[ ])|\.?(?=[ ]*\n)|(?=,? (?:because|since)\b)|\.?(?=[ ]*\([^()\n]{0,200}\)[ ]*(?:[.\n]|$)))"
    r"(?P<explains>\s*\(|,? (?:because|since)\b|[\s*#]*\b(?:Explanation|Reason|Reasoning|Rationale|Why|Because)\b)?"
)
_LETTER = re.compile(r"[A-Za-z]")
_SENTENCE = re.compile(r"[^.!?\n]*(?:\.(?=[0-9])[^.!?\n]*){0,20}(?P<mark>[.!?\n]|$)")
_SO = re.compile(r"[\s,:]*(?:so|therefore|thus|hence|in total|in conclusion)\b", re.IGNORECASE)
_ANSWER_FORM = re.compile(
    rf"(?:(?:^|[,:;—])[\s,]{{0,3}}(?:(?:no|wait|so|actually|hmm|sorry|oh|but|rather|then|i mean)[\s,:]{{1,3}}){{0,4}}"
    rf"|\b(?:it's|it is|is|be|so|make that)\s{{1,3}})"
    rf"(?:about |exactly |only |just |=\s*)?([$€£₹¥]?-?{_FORM}){_UNIT}\s{{0,3}}(?=[,;:!]|$|\.(?![0-9]))",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"^([^()]{0,250}[A-Za-z0-9%.] ?)\([^()]{0,200}\)(?=\s*(?:[.,;:]|$|[A-Za-z]))")
_BETWEEN = re.compile(r"\bbetween\s+[$€£]?$", re.IGNORECASE)
_IN_OTHER_WORDS = re.compile(r"\b(?:or|i\.e\.?)\b")
_COMPARES = re.compile(r"(?: \w{1,12})? (?:more|less|fewer|greater|higher|lower|times|larger|smaller)\b")
_HALVES = str.maketrans({"½": " 1/2", "¼": " 1/4", "¾": " 3/4"})
_TIME = re.compile(r"(?<![0-9:])([0-9]{1,2}):[0-5][0-9](?![0-9:])")
_HALF_DAY = re.compile(r" ?[ap]\.?m\b", re.IGNORECASE)

_CENTS = re.compile(r"(?<![0-9.,$])\$?([0-9]{1,15}) dollars?,? and ([0-9]{1,2}) cents\b")

_FRACTION = re.compile(r"\\[dt]?frac(?:\{([^{}]{1,30})\}\{([^{}]{1,30})\}|([0-9])([0-9]))")
_WRAPPER = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textit)\{([^{}]{0,60})\}")
_LATEX = re.compile(r"\{,\}|\\[,!;: ]|\\[()\[\]]|\\(?:times|cdot|div|approx|left|right|quad|qquad|dollar)\b|\\([$%])")
_LATEX_AS = {"{,}": ",", "\\times": "×", "\\cdot": "×", "\\div": "÷", "\\approx": "=", "\\$": "$", "\\%": "%"}
_CALCULATOR = re.compile(r"<<[^<>\n]{0,200}>>")

_GROUPS = r"[1-9][0-9]{0,2}(?:[ ][0-9]{3}){1,19}"
_SIGNS = r"(?:-|negative |minus )?[$€£₹¥]?"
_MEASURE = (
    r"(?:\.[0-9]{1,20})?(?:%|(?:kg|g|km|m|cm|mm|ml|l)\b|[ ](?:(?:square|cubic) )?"
    r"(?!(?:and|or|to|x|by|plus|minus|times|of)\b)[A-Za-z]{1,15})?"
)
_CLOSED = (
    r"[ ]?(?:\Z|\n|[.,;:!?](?![0-9])|[)\]}\"'*$(]|=(?![0-9])|\b(?:because|since|per|each|altogether|in total|in all)\b)"
)
_STATED_GROUPS = re.compile(
    r"(?:\b(?:is|it's|that's|was|be|equals?|comes to|total of|totals|(?:answer|total|result|sum)\b[^\n.0-9]{0,20}?:"
    r"|answer[ ]*\n)|[=≈]|\#{2,}|\\boxed\b)"
    r"[\s*({\[\"'~:]{0,6}(?:(?:about|exactly|only|just|approximately|around|nearly|almost|over|equal to) )?"
    rf"{_SIGNS}(?P<groups>{_GROUPS})(?={_MEASURE}{_CLOSED})",
    re.IGNORECASE,
)
_ALONE = re.compile(rf"\A\s*{_SIGNS}(?P<groups>{_GROUPS})(?={_MEASURE}\.?\s*\Z)", re.IGNORECASE)
_BLANK_GROUP = re.compile(r"[0-9] [0-9]{3}(?![0-9])")
"""In every text that `_ALONE` or `_STATED_GROUPS` changes; few others hold it."""


def read_number(text: str) -> str | None:
    """Return the final answer of ``text`` as a canonical number, or None."""
    if quick := _QUICK.search(text, max(0, len(text) - 40)):
        return canonical_number(quick[1])
    text = _plain(text)
    if _BLANK_GROUP.search(text):
        text = _without_blanks(text)
    denied: set[str] = set()
    low = text.lower()
    marked = "answer" in low or "#" in text or "boxed" in text
    for mark in last_matches(_MARKER, text) if marked else ():
        answer, end = _marked(text, mark, denied)
        if answer is None:
            continue
        if answer in denied:
            return _tail(text[end:], denied)
        return _revised(text, end) or answer
    if refuses(low):
        return None
    if text[:1] in _OPENS and (opening := _opening(text)):
        return opening
    return _tail(text, denied)


def canonical_number(text: str) -> str | None:
    """Return ``text``, a number in any usual form, in one form per value: "72", "-0.5", "1/3"; None if it is none."""
    digits = text[1:] if text[:1] == "-" else text
    if digits.isascii() and digits.isdigit() and len(digits) < 16:
        return str(int(text))
    return _canonical_slow(text)


@functools.lru_cache(maxsize=4096)
def _canonical_slow(text: str) -> str | None:
    text = join_groups(text)
    found = _NUMBER.search(_without_blanks(text) if " " in text else text)
    return _value(found) if found else None


def _without_blanks(text: str) -> str:
    """Join the groups of three of a number with blanks between, where it is stated and closed, or all of the text.

    Elsewhere they may be two numbers, as in "4 100 gram bars".
    """
    text = _ALONE.sub(_joined, text, count=1)
    return _STATED_GROUPS.sub(_joined, text)


def _joined(found: re.Match[str]) -> str:
    return found[0][: found.start("groups") - found.start()] + found["groups"].replace(" ", "")


def _plain(text: str) -> str:
    if "\\" in text:
        text = _WRAPPER.sub(r"\1", text)
        text = _FRACTION.sub(lambda m: f" {m[1] or m[3]}/{m[2] or m[4]} ", text)
        text = _LATEX.sub(lambda m: _LATEX_AS.get(m[0], "" if m[0] in ("\\,", "\\!") else " "), text)
    if "<<" in text:
        text = _CALCULATOR.sub("", text)
    if "cents" in text:
        text = _CENTS.sub(lambda m: f"${m[1]}.{m[2]:0>2}", text)
    if not text.isascii():
        text = text.translate(_HALVES)
    if ":" in text:
        text = _TIME.sub(lambda m: m[1] if _HALF_DAY.match(m.string, m.end()) else " ", text)
    if "**" in text or "__" in text or "`" in text:
        text = text.replace("**", "").replace("__", "").replace("`", "")
    return text


def _marked(text: str, mark: re.Match[str], denied: set[str]) -> tuple[str | None, int]:
    """The number a marker such as "the answer is" announces, and where its statement ends."""
    if mark["back"]:
        start = max((end.end() for end in SENTENCE_END.finditer(text, 0, mark.start())), default=0)
        before = list(_NUMBER.finditer(text, start, mark.start()))
        return (_value(before[-1]) if before else None), mark.end()
    begin = mark.end()
    while begin < len(text) and text[begin] in " \n\t:=*{([\"'~≈→":
        begin += 1
    stop = SENTENCE_END.search(text, begin)
    end = stop.start() if stop else len(text)
    clause = text[begin : min(end, begin + 300)]
    if mark["boxed"] or mark["hash"]:
        clause = clause.partition("}")[0] if mark["boxed"] else clause
        return _pick(clause, first=True), end
    denial = re.match(r"(?:definitely |certainly )?not |n't ", clause)
    if denial and (wrong := _NUMBER.search(clause)):
        if value := _value(wrong):
            denied.add(value)
        rest = re.match(r"[^0-9]{0,30}?\b(?:but|rather|instead|it is|it's)\b", clause[wrong.end() :])
        if not rest:
            return None, end
        clause = clause[wrong.end() + rest.end() :]
    if (" or " in clause or " and " in clause) and (several := _alternatives(clause)):
        denied.update(several)
        return None, end
    return _pick(clause, first=True), end


def _opening(text: str) -> str | None:
    """The number a text starts with and then explains, unless it concludes otherwise or is the first of a list."""
    opening = _OPENING.match(text)
    number = _NUMBER.search(opening["number"]) if opening else None
    if opening is None or number is None or (opening["item"] and number[0] == "1"):
        return None
    if opening["unit"] and not opening["explains"]:
        return None
    rest = text[opening.end("number") :]
    if not _LETTER.search(rest, len(opening["unit"] or "")) and not opening["explains"]:
        return None
    return _concluded(rest) or _revised(text, opening.end("number")) or _value(number)


def _revised(text: str, start: int) -> str | None:
    """The number that takes the place of one given before ``start``: it must itself be in the form of an answer."""
    revision = REVISION.search(lower(text), start)
    return _concluded(text[revision.end() :], revised=True) if revision else None


def _concluded(text: str, *, revised: bool = False) -> str | None:
    """The number of the last sentence that concludes, as "So she has 7."; of a revision, also of a bare "7 eggs"."""
    for end in last_matches(_SENTENCE, text):
        sentence = end[0]
        if end["mark"] == "?" or not _DIGIT.search(sentence):
            continue
        if _SO.match(sentence):
            return _pick(sentence, first=False)
        if revised and (forms := list(_ANSWER_FORM.finditer(sentence))) and (form := _NUMBER.search(forms[-1][1])):
            return _value(form)
    return None


def _tail(text: str, denied: set[str]) -> str | None:
    """The number that the last sentence with one in it comes to."""
    low = text.lower()
    if "step" in low or "\n" in text or text[:1].isdigit():
        text = _STEP.sub(" ", text)
    if ("check" in low or "verif" in low) and (check := _CHECK.search(text)) and _DIGIT.search(text, 0, check.start()):
        text = text[: check.start()]
    if not _DIGIT.search(text):
        sentences = [part for part in SENTENCE_END.split(text) if part.strip()]
        return _word(sentences[-1]) if sentences else None
    for sentence in reversed(SENTENCE_END.split(text)):
        if sentence and _UNFINISHED.search(sentence.rstrip()):
            return None
        if _DIGIT.search(sentence) and _NUMBER.search(sentence):
            lead = _LEADING.match(sentence)
            if lead and _NUMBER.search(sentence, lead.end()):
                sentence = sentence[lead.end() :]
            answer = _pick(sentence, first=False)
            return None if answer in denied else answer
    return None


def _pick(clause: str, *, first: bool) -> str | None:
    """The number a clause comes to: of several, the first (or last) that is not what another one results in.

    Numbers joined by an operator are one expression; an expression without its result is no answer.
    """
    if "(" in clause:
        clause = _ASIDE.sub(_without_aside, clause)
    found = list(_NUMBER.finditer(clause))
    if plain := [one for one in found if not one["ordinal"]]:
        found = plain
    if not found:
        return _word(clause) if first else None
    groups: list[tuple[str, re.Match[str], bool]] = [("", found[0], False)]
    for before, one in pairwise(found):
        gap = clause[before.end() : one.start()]
        if gap.strip() in ("-", "x", "/") or (_OPERATOR.search(gap) and not _EQUALS.search(gap)):
            groups[-1] = (groups[-1][0], groups[-1][1], True)
        else:
            groups.append((gap.lower(), one, False))
    _, answer, compound = groups[0]
    if len(groups) > 2 and _is_total(groups):
        return _value(answer)
    equation = False
    for gap, one, is_compound in groups[1:]:
        if _EXPLAINS.search(gap) and not compound:
            break
        concludes = (_CONCLUDES_ANEW if equation else _CONCLUDES).search(gap) is not None
        if concludes and (
            (first and _IN_OTHER_WORDS.search(gap)) or ("which" in gap and _COMPARES.match(clause, one.end()))
        ):
            break
        goes_on = concludes or not (first or equation or _SUBORDINATES.search(gap))
        if compound or (goes_on and not is_compound):
            answer, compound = one, is_compound
            equation = equation or _EQUALS.search(gap) is not None
    return None if compound else _value(answer)


def _without_aside(aside: re.Match[str]) -> str:
    """Nothing in place of a remark in brackets that follows a number; the remark where no number comes before it."""
    return aside[1] if _DIGIT.search(aside[1]) else aside[0]


def _alternatives(clause: str) -> list[str]:
    """The first two numbers of a clause that gives two or a choice of two, as "4 or 5" and "4 and 5"; else nothing."""
    numbers = list(itertools.islice(_NUMBER.finditer(clause), 2))
    if len(numbers) < 2:
        return []
    one, other = numbers
    gap = clause[one.end() : other.start()].strip()
    alone = not clause[: one.start()].strip(" $") and not clause[other.end() :].strip(" $.!)")
    if gap not in ("or", ", or") and not (gap == "and" and (alone or _BETWEEN.search(clause, 0, one.start()))):
        return []
    values = [value for value in (_value(one), _value(other)) if value is not None]
    # "3/8 or 0.375" says one number twice.
    return values if len(set(values)) == 2 else []


def _is_total(groups: list[tuple[str, re.Match[str], bool]]) -> bool:
    """Whether the first number is the sum of those listed after it, as in "12 apples, 5 red and 7 green"."""
    if groups[1][0].rstrip()[-1:] not in (",", ":") or any(compound for _, _, compound in groups):
        return False
    if "and" not in groups[-1][0] or any(len(gap) > 40 for gap, _, _ in groups):
        return False
    total, *parts = (_value(one) for _, one, _ in groups)
    if total is None or None in parts:
        return False
    return Fraction(total) == sum(Fraction(part) for part in parts if part is not None)


def _value(found: re.Match[str]) -> str | None:
    over, parts = found["over"], found["parts"]
    if len(found["value"]) > _MOST_DIGITS or len(over or "") > _MOST_DIGITS:
        return None
    digits = found["value"].replace(",", "").replace(" ", "")
    if exponent := found["exponent"]:
        if len(digits) + abs(int(exponent)) > _MOST_DIGITS:
            return None
        digits = f"{digits}e{exponent}"
    if over is None and parts is None and found["scale"] is None and digits.isdigit():
        return str(-int(digits) if found["sign"] or found["inner"] else int(digits))
    value = Fraction(digits)
    if over is not None or parts is not None:
        below = Fraction((over or parts).replace(",", ""))
        if not below:
            return None
        value = value / below if over else value + Fraction(found["part"]) / below
    value *= _SCALES.get(found["scale"], 1)
    return _canonical(-value if found["sign"] or found["inner"] else value)


def _canonical(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    places, rest = 0, value.denominator
    while rest % 10 == 0:
        rest, places = rest // 10, places + 1
    twos = fives = 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    places += max(twos, fives)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def _word(clause: str) -> str | None:
    found = WORD_NUMBER.search(clause)
    return _canonical(word_value(found)) if found else None
