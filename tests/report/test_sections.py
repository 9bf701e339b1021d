"""Sections of plugins: shown where they are sound; whatever else a plugin does, the report is written and says so."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from sitkit import hookimpl
from sitkit.providers import Provider
from sitkit.registry import Registry, build_registry, plugin_manager
from sitkit.report.sections import report_sections
from sitkit.report.tables import ReportSection, Table
from sitkit.results.model import Results, Usage

RESULTS = Results(
    built_from="", recipe={}, versions={}, arms=(), cells=(), changes=(), pairs=(), training=(), demonstrations=(),
    teacher_scores=(), usage=Usage(), duplicates=(), tasks={}, notices=("told",), stages=(),
)  # fmt: skip
SOUND = ReportSection("sound", "Sound", (Table("T", ("a", "b"), (("1", "2"),)),), "A note.")


def _registry(**plugins: Any) -> Registry:
    manager = plugin_manager()
    for name, hook in plugins.items():
        module = ModuleType(name)
        module.sitkit_report_sections = hookimpl(hook)  # type: ignore[attr-defined]
        manager.register(module, name=name)
    return build_registry(manager, {name: Provider(f"{name}-dist", "1") for name in plugins})


def _table(headings: Any = ("a",), rows: Any = (("1",),), title: Any = "T", note: Any = "") -> tuple[Table, ...]:
    return (Table(title, headings, rows, note),)


def test_sections_are_given_what_was_found_and_what_judges_said() -> None:
    def sitkit_report_sections(judgements: Any, results: Any) -> Any:
        return [ReportSection("a", f"{results.notices[0]} {len(judgements)}", ())]

    def none(results: Any) -> Any:
        return ()

    sections, problems = report_sections(RESULTS, [], _registry(one=sitkit_report_sections, other=none))
    assert [section.title for section in sections] == ["told 0"]
    assert problems == []


@pytest.mark.parametrize(
    ("section", "said"),
    [
        (1, "int in place of a ReportSection"),
        (ReportSection("A b", "T", ()), "the anchor 'A b' is not"),
        (ReportSection("sound", "T", ()), "another section has the anchor 'sound'"),
        (ReportSection("a", " ", ()), "the title ' ' is not a text"),
        (ReportSection("a", "T", (), None), "the note is not a text but NoneType"),  # type: ignore[arg-type]
        (ReportSection("a", "T", None), "the tables are NoneType"),  # type: ignore[arg-type]
        (ReportSection("a", "T", ("x",)), "str in place of a Table"),  # type: ignore[arg-type]
        (ReportSection("a", "T", _table(rows=(("1", "2"),))), "has 2 cells under 1 headings"),
        (ReportSection("a", "T", _table(rows=((1,),))), "is not a tuple of texts: (1,)"),
        (ReportSection("a", "T", _table(rows=None)), "the rows of the table 'T' are NoneType"),
        (ReportSection("a", "T", _table(headings="a")), "is not a tuple of texts: 'a'"),
        (ReportSection("a", "T", _table(title=None)), "title and note of the table None must be texts"),
    ],
)
def test_a_faulty_section_is_named_and_left_out_and_its_neighbour_stays(section: Any, said: str) -> None:
    def hook() -> Any:
        return [SOUND, section]

    sections, (problem,) = report_sections(RESULTS, [], _registry(bad=hook))
    assert sections == [SOUND]
    assert problem.startswith("a section of bad-dist is left out of this report: sitkit_report_sections: ")
    assert said in problem


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (ValueError("no such cell"), "ValueError: no such cell"),
        (SystemExit(3), "SystemExit: 3"),
        (None, "returned NoneType, expected a list of ReportSection"),
        ("text", "returned str, expected a list of ReportSection"),
    ],
)
def test_a_plugin_that_fails_costs_nobody_else_anything(trouble: Any, said: str) -> None:
    def hook() -> Any:
        if isinstance(trouble, BaseException):
            raise trouble
        return trouble

    sections, (problem,) = report_sections(RESULTS, [], _registry(bad=hook, good=lambda: [SOUND]))
    assert sections == [SOUND]
    assert problem.startswith("bad-dist adds nothing to this report: sitkit_report_sections: ")
    assert problem.endswith(said)
