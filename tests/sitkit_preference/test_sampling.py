"""Strategies by several samples, against pairs, paths and losses worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sitkit.conformance import claim_fault, pair_fault
from sitkit.errors import PluginError, SpecError
from sitkit.plan import build_plan
from sitkit.recipe import Recipe
from sitkit.registry import Registry
from sitkit.spec import parse_spec
from sitkit.types import (
    Answers,
    Candidate,
    Context,
    Demonstration,
    LeftOut,
    Objective,
    PreferencePair,
    Question,
    SampledAnswer,
    Strategy,
    TrainingRow,
)
from sitkit_preference import irpo, rft, star
from sitkit_preference.sampling import reasoning_path

FACTORIES = {"irpo": irpo, "rft": rft, "star": star}

APPLES = Question(
    "apples-7", "market", "number", "Answer.", "Three bags of four apples, one eaten. How many?", None, "11"
)
PROMPT = APPLES.prompt("cot")

A = "3 * 4 = 12. 12 - 1 = 11. The answer is 11"
A_AGAIN = "First, 3*4 = 12, then 12 -1=11. So the answer is 11"
B = "4 + 4 + 4 = 12. 12 - 1 = 11. The answer is 11"
WRONG = "3 * 4 = 12. The answer is 12"
WORSE = "3 + 4 = 7. The answer is 7"
WORST = "The answer is 34"


def strategy(text: str) -> Strategy:
    spec = parse_spec(text)
    return FACTORIES[spec.name](spec, Context())


def candidate(*cot: str, taught: str | None = None, cut: tuple[str, ...] = ()) -> Candidate:
    samples = [SampledAnswer("direct", "11", True)]
    samples += [SampledAnswer("cot", text, text.endswith("11") and text not in cut, text in cut) for text in cot]
    shown = None if taught is None else Demonstration("apples-7", "market", PROMPT, taught, "t", True)
    answers = Answers("apples-7", "market", "11", cot[0], cot_truncated=cot[0] in cut)
    return Candidate(APPLES, answers, shown, True, samples[1].correct, tuple(samples))


def given(text: str, one: Candidate) -> list[PreferencePair | TrainingRow | LeftOut]:
    items = list(strategy(text).pairs([one]))
    for item in items:
        assert pair_fault(item) is None
        assert not isinstance(item, PreferencePair) or claim_fault(item, one) is None
    return items


def sides(text: str, one: Candidate) -> list[tuple[str, str]]:
    return [(item.chosen, item.rejected) for item in given(text, one) if isinstance(item, PreferencePair)]


def chosen(text: str, one: Candidate) -> list[tuple[str, str]]:
    return [(item.chosen, item.chosen_from) for item in given(text, one) if isinstance(item, TrainingRow)]


def test_irpo_pairs_right_with_wrong_each_as_often_as_the_others() -> None:
    # Two right, three wrong: six different pairs, each right answer three times, each wrong one twice.
    assert sides("irpo", candidate(A, WRONG, B, A, WORSE, WORST)) == [
        (A, WRONG), (B, WORSE), (A, WORST), (B, WRONG), (A, WORSE), (B, WORST)
    ]  # fmt: skip
    assert sides("irpo,pairs=2", candidate(A, WRONG, B, A, WORSE, WORST)) == [(A, WRONG), (B, WORSE)]
    (first, *_) = given("irpo", candidate(A, WRONG))
    assert first == PreferencePair("apples-7", "market", PROMPT, A, WRONG, "student", True, False)


def test_irpo_pairs_no_two_answers_twice() -> None:
    # Two right, two wrong: going round both would come back to the first pair after two.
    assert sides("irpo", candidate(A, B, WRONG, WORSE)) == [(A, WRONG), (B, WORSE)]
    assert sides("irpo", candidate(A, A, WRONG, f"{WRONG}\n")) == [(A, WRONG)]


def test_irpo_needs_both_kinds() -> None:
    assert given("irpo", candidate(A, B)) == [LeftOut("apples-7", "market", "no wrong answer")]
    assert given("irpo", candidate(WRONG)) == [LeftOut("apples-7", "market", "no right answer")]


def test_irpo_may_reject_what_was_cut_and_never_chooses_it() -> None:
    assert sides("irpo", candidate(B, A, cut=(A,))) == [(B, A)]
    assert given("irpo", candidate(A, WRONG, cut=(A,))) == [LeftOut("apples-7", "market", "no right answer")]


def test_rft_learns_each_way_of_reasoning_once() -> None:
    assert chosen("rft", candidate(A, WRONG, A_AGAIN, B, A)) == [(A, "student"), (B, "student")]
    assert chosen("rft", candidate(A, B, taught=A_AGAIN)) == [(A_AGAIN, "teacher"), (B, "student")]
    assert chosen("rft", candidate(WRONG, taught=A)) == [(A, "teacher")]
    assert given("rft", candidate(WRONG)) == [LeftOut("apples-7", "market", "no right answer")]


def test_star_learns_one_right_answer_of_the_students_own() -> None:
    assert chosen("star", candidate(WRONG, B, A, taught=A_AGAIN)) == [(B, "student")]
    assert given("star", candidate(WRONG, taught=A)) == [LeftOut("apples-7", "market", "no right answer")]


def test_star_learns_how_a_target_given_away_is_reached_where_nothing_else_is_right() -> None:
    def after(one: Candidate, text: str) -> Candidate:
        hinted = SampledAnswer("cot", text, correct=text.endswith("11"), hinted=True)
        return replace(one, samples=(*one.samples, hinted))

    assert chosen("star", after(candidate(WRONG), A)) == [(A, "student")]
    # Under the question as it is, without the hint.
    assert [item.prompt for item in given("star", after(candidate(WRONG), A)) if isinstance(item, TrainingRow)] == [
        PROMPT
    ]
    assert chosen("star", after(candidate(WRONG, B), A)) == [(B, "student")]
    # What repeats the hint is no reasoning.
    assert given("star", after(candidate(WRONG), "The answer is 11")) == [
        LeftOut("apples-7", "market", "no right answer")
    ]
    assert given("star", after(candidate(WRONG), WORSE)) == [LeftOut("apples-7", "market", "no right answer")]
    assert given("rft", after(candidate(WRONG), A)) == [LeftOut("apples-7", "market", "no right answer")]
    assert strategy("star").recommended() == {"sample": {"hints": True}}  # type: ignore[attr-defined]


STEAM = Question("s", "b", "choice", "", "What is hot water in the air?", ("ice", "a rock", "steam"), "C")
ARTICLE = replace(STEAM, choices=("steam", "ice", "a rock"), target="A")
FORMULA = Question("f", "b", "math", "", "Half of a third?", None, r"\frac{1}{6}")


@pytest.mark.parametrize(
    ("question", "text", "explains"),
    [
        (APPLES, A, True),
        (APPLES, "The answer is 11. It is 11.", False),
        (APPLES, "The answer is 11.00. It is $11, or -11.", False),
        (APPLES, "1. The answer is 11.\nStep 2: It is 11.", False),
        (APPLES, "**Step 1:** The answer is 11.\n- 2. It is 11.", False),
        (APPLES, "Twelve apples less 1.\nThe answer is 11.", True),
        (replace(APPLES, target="1,200"), "It is 1200. The answer is 1,200.", False),
        (replace(APPLES, target="1,200"), "It is 1,000 and 200 more. The answer is 1200.", True),
        (FORMULA, r"It is \frac{1}{6}. The answer is \frac{1}{6}.", False),
        (FORMULA, r"Half of \frac{1}{3}. The answer is \frac{1}{6}.", True),
        (STEAM, "The answer is C) steam. It is steam that is meant here.", False),
        (STEAM, "Steam is what is meant here. The answer is C.", False),
        (STEAM, "The option C is what is meant here. It is steam.", False),
        (STEAM, "Option (c) is what is meant here. It is steam.", False),
        (STEAM, "I think that C makes the most sense. The answer is C.", False),
        (STEAM, "It is hot. The answer is C) steam.", False),
        (STEAM, "Water that boils goes into the air. The answer is C) steam.", True),
        (STEAM, "Water that boils goes into the air\nC) steam", True),
        (ARTICLE, "A kettle that boils fills the air with it. The answer is A) steam.", True),
        (ARTICLE, "Option A makes the most sense here. The answer is A) steam.", False),
        (ARTICLE, "A is what is meant by these words. The answer is A) steam.", False),
    ],
)
def test_what_repeats_a_hint_in_other_words_explains_nothing(question: Question, text: str, *, explains: bool) -> None:
    hinted = SampledAnswer("cot", text, correct=True, hinted=True)
    one = Candidate(question, Answers("q", "b", "", ""), None, False, False, (hinted,))
    assert [item.chosen for item in given("star", one) if isinstance(item, TrainingRow)] == [text] * explains


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (A, ("3*4=12", "12-1=11")),
        (A_AGAIN, ("3*4=12", "12-1=11")),
        (B, ("4+4+4=12", "12-1=11")),
        ("She pays $1,200 / 4 = $300 and 5% x 20 = 1.", ("1200/4=300", "5%x20=1")),
        ("Take 2.5 * 4 = 10.0 of them", ("2.5*4=10.0",)),
        ("x = 3. The answer is 3", ("x", "=", "3.", "the", "answer", "is", "3")),
        ("Steam leaves.  The answer is B) steam", ("steam", "leaves.", "the", "answer", "is", "b)", "steam")),
    ],
)
def test_a_way_of_reasoning_is_its_equations_in_their_order(text: str, path: tuple[str, ...]) -> None:
    assert reasoning_path(text) == path


def test_objectives_and_recommendations() -> None:
    assert strategy("irpo").objective() == Objective(("sigmoid", "sft"), (1.0, 1.0), 0.1)
    assert strategy("rft").objective() == strategy("star").objective() == Objective(("sft",))
    assert strategy("irpo").recommended() == {"sample": {"samples": 8, "temperature": 0.8}}  # type: ignore[attr-defined]
    assert strategy("rft").recommended() == {"sample": {"samples": 8, "temperature": 0.7}}  # type: ignore[attr-defined]
    assert strategy("irpo,pairs=3").fingerprint() != strategy("irpo").fingerprint()


@pytest.mark.parametrize("text", ["irpo,pairs=0", "irpo,pairs=x", "irpo,beta=1", "irpo:x", "rft,x=1", "star:y"])
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        strategy(text)


RECIPE = Recipe(teacher=("speller",), student=("counter",), strategy="spelled-samples", train_on=("letters",))


def test_a_strategy_recommends_settings_over_the_students_and_under_the_users(
    example: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_example.strategy import SpelledSamples  # type: ignore[import-not-found]

    sampling = {"sample": {"samples": 3, "temperature": 0.5}}
    monkeypatch.setattr(SpelledSamples, "recommended", lambda self: sampling, raising=False)
    settings = build_plan(RECIPE, example).settings["counter", "spelled-samples"].sample
    assert (settings.samples, settings.temperature) == (3, 0.5)
    over = Recipe(**{**vars(RECIPE), "settings": {"sample": {"samples": 2}}})
    assert build_plan(over, example).settings["counter", "spelled-samples"].sample.samples == 2


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"annotate": {"seed": 1}}, "recommends settings of annotate, which is not a strategy's to say"),
        ({"sample": {"samples": 0}}, "recommends a setting that is not valid"),
        ([], "in place of stage: {key: value}"),
    ],
)
def test_a_strategy_that_recommends_nonsense_is_named(
    example: Registry, monkeypatch: pytest.MonkeyPatch, said: object, message: str
) -> None:
    from sitkit_example.strategy import SpelledSamples

    monkeypatch.setattr(SpelledSamples, "recommended", lambda self: said, raising=False)
    with pytest.raises(PluginError, match=message):
        build_plan(RECIPE, example)
