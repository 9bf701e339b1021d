"""Backends that lm-eval knows under a name for a test alone, and teachers made from a SPEC as users write it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import sitkit_lmeval
import sitkit_tiny
from sitkit.spec import parse_spec
from sitkit.types import Context


def teacher(spec: str) -> Any:
    return sitkit_lmeval.lm_eval_teacher(parse_spec(spec), Context())


@pytest.fixture(scope="session")
def make_teacher() -> Callable[[str], Any]:
    return teacher


@pytest.fixture(scope="session")
def world() -> Path:
    """A real model, with its tokenizer, that knows the embedded world."""
    return sitkit_tiny.STUDENT


@pytest.fixture
def scripted() -> Iterator[Callable[..., type]]:
    """Register a backend that answers as the function given says; its ``asked`` holds the requests of each call."""
    import lm_eval.models  # noqa: F401
    from lm_eval.api.model import LM
    from lm_eval.api.registry import model_registry

    names = []

    def make(answer: Callable[[str], str | None], name: str = "scripted", **members: Any) -> type:
        class Scripted(LM):  # type: ignore[misc]
            asked: list[list[Any]] = []

            def __init__(self, pretrained: str = "", batch_size: int = 1, style: str = "") -> None:
                super().__init__()
                self.batch_size = batch_size

            def generate_until(self, requests: Sequence[Any]) -> list[str | None]:
                type(self).asked.append([request.args for request in requests])
                return [answer(request.args[0]) for request in requests]

            def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
                raise NotImplementedError

            def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
                raise NotImplementedError

        for member, value in members.items():
            setattr(Scripted, member, value)
        model_registry.register(name, target=Scripted)
        names.append(name)
        return Scripted

    yield make
    for name in names:
        model_registry._objs.pop(name)
