"""A teacher's answer that takes all its tokens is told as cut, one that ends by itself is not."""

from pathlib import Path
from typing import Any

from sitkit.spec import Spec
from sitkit.types import TRUNCATED, Context, Generation, Prompt


def test_an_answer_is_cut_only_where_the_limit_ended_it(tiny: Path) -> None:
    import sitkit_hf

    teacher: Any = sitkit_hf.hf_teacher(Spec("hf", str(tiny), {}), Context())
    prompts = [Prompt(f"p{number}", f"Question {number}") for number in range(6)]
    long = {one.id: one for one in teacher.complete(prompts, Generation(24))}
    short = {one.id: one for one in teacher.complete(prompts, Generation(3))}
    for name, reply in short.items():
        ended = long[name].outcome != TRUNCATED and long[name].completion_tokens < 3
        assert (reply.outcome == TRUNCATED) != ended
