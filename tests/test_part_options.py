"""What may follow a part's name, asked of its factory, and how `sitkit plugins NAME` shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sitkit.part_options import PartOptions, part_options
from sitkit.registry import Registered, load_plugins
from sitkit.spec import Spec, boolean, one_of
from sitkit.types import Context
from tests.installed import sitkit_here


class Polite:
    def __init__(self, polite: bool = False, tone: str = "flat") -> None:
        self.polite, self.tone = polite, tone


def asked(factory: Any) -> PartOptions:
    provider = load_plugins().component("student", "tiny").provider
    return part_options(Registered("teacher", "mine", "mine", factory, provider, ""))


def test_options_and_defaults_are_those_of_the_factory() -> None:
    def mine(spec: Spec, context: Context) -> Any:
        spec.refuse_argument()
        return Polite(**spec.parse_options({"polite": boolean, "tone": one_of("flat", "warm")}))  # type: ignore[arg-type]

    found = asked(mine)
    assert found.argument is None
    assert [(one.name, one.takes, one.default, one.choices) for one in found.options] == [
        ("polite", "true or false", "false", ()),
        ("tone", "one of flat, warm", "flat", ("flat", "warm")),
    ]


@pytest.mark.parametrize("first", ["argument", "options"])
def test_a_factory_is_stopped_before_it_reads_what_the_argument_names(first: str) -> None:
    def mine(spec: Spec, context: Context) -> Any:
        if first == "argument":
            spec.require_argument("a file of answers")
        spec.parse_options({"times": int})
        path = spec.require_argument("a file of answers")
        raise AssertionError(path)

    found = asked(mine)
    assert (found.argument, [one.takes for one in found.options]) == ("a file of answers", ["a whole number"])


def test_a_part_made_of_another_has_its_options() -> None:
    found = part_options(load_plugins().component("student", "tiny"))
    assert (found.base, found.options) == ("hf", ())


def test_a_factory_that_fails_has_told_what_it_asked_for() -> None:
    def mine(spec: Spec, context: Context) -> Any:
        spec.parse_options({"times": int})
        raise RuntimeError("no")

    assert [one.name for one in asked(mine).options] == ["times"]


def test_the_page_of_a_part(tmp_path: Path) -> None:
    shown = sitkit_here("plugins", "hf", path=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "student hf: A causal language model" in shown.stdout
    assert "after the colon: a model folder or a hub id" in shown.stdout
    found = json.loads(sitkit_here("plugins", "hf", "obqa", "--json", path=tmp_path).stdout)
    assert [(one["kind"], one["name"]) for one in found] == [
        ("teacher", "hf"),
        ("student", "hf"),
        ("benchmark", "openbookqa"),
    ]
    quantize = found[1]["options"][0]
    assert quantize == {
        "name": "quantize",
        "takes": "one of auto, nf4, none",
        "default": "auto",
        "choices": ["auto", "nf4", "none"],
    }
    assert found[2]["aliases"] == ["obqa"]
    wrong = sitkit_here("plugins", "hff", path=tmp_path)
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)


def test_aliases_stand_on_the_line_of_what_they_name(tmp_path: Path) -> None:
    lines = sitkit_here("plugins", path=tmp_path).stdout.splitlines()
    assert [line.split()[1:3] for line in lines if "OpenBookQA" in line] == [["openbookqa,", "obqa"]]


def test_settings_show_their_choices(tmp_path: Path) -> None:
    lines = sitkit_here("settings", "annotate", path=tmp_path).stdout.splitlines()
    assert [line for line in lines if line.split()[:1] == ["keep"] and "(all or right)" in line]
    found = json.loads(sitkit_here("settings", "annotate", "pair", "--json", path=tmp_path).stdout)
    assert list(found) == ["annotate", "pair"]
    assert [one["choices"] for one in found["annotate"] if one["key"] == "keep"] == [["all", "right"]]
