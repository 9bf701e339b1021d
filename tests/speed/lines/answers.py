"""Reading answers out of text: texts a second on one core."""

from __future__ import annotations

import random

from sitkit.types import Generation, Question
from tests.speed.measure import Options, Row, in_turn, medians


def measure(options: Options) -> list[Row]:
    """Read the embedded teacher's worked answers and short direct ones, for choice and number questions."""
    from sitkit.answers import extract, is_correct
    from sitkit_tiny.benchmarks import questions
    from sitkit_tiny.teacher import ScriptedTeacher

    rows = []
    rng = random.Random(0)
    for kind, names in (("choice", ("tiny_cups", "tiny_gifts")), ("number", ("tiny_chain", "tiny_shop"))):
        asked = [question for name in names for question in questions(name, "train")]
        worked = dict(ScriptedTeacher(0.0).answer(asked, "cot", Generation(512)))
        texts = [(one, worked[one.id]) for one in asked if one.id in worked]
        texts += [(one, f"{one.target_text}.") for one in asked]
        texts += [(one, f"The answer is {one.target}") for one in asked]
        texts = rng.choices(texts, k=20_000 if options.quick else 100_000)

        def read(texts: list[tuple[Question, str]] = texts) -> None:
            for question, text in texts:
                extract(question, text)

        def judge(texts: list[tuple[Question, str]] = texts) -> None:
            for question, text in texts:
                is_correct(question, text)

        taken = in_turn(options.pairs, {"extract": read, "is_correct": judge})
        middle = medians(taken)
        mean = sum(len(text) for _, text in texts) / len(texts)
        for what, seconds in middle.items():
            rows.append(
                Row(
                    "answers",
                    f"{what}, {kind}",
                    "texts/s",
                    len(texts) / seconds,
                    limit=50_000,
                    higher=True,
                    note=f"{mean:.0f} characters a text",
                    samples={what: taken[what]},
                )
            )
    return rows
