"""No text, whatever it holds, becomes more than text."""

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateError

from sitkit.report.page.render import data, environment, visible


class _Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


P = environment().from_string('<p title="{{ attribute }}">{{ child }}</p>')


def _parsed(text: str) -> _Seen:
    seen = _Seen()
    seen.feed(text)
    seen.close()
    return seen


@given(st.text(), st.text())
def test_children_and_attributes_stay_text(child: str, attribute: str) -> None:
    seen = _parsed(P.render(child=child, attribute=attribute))
    assert seen.tags == [("p", {"title": visible(attribute)})]
    assert seen.text == visible(child)


@given(st.recursive(st.text() | st.integers() | st.none(), lambda inner: st.lists(inner), max_leaves=5))
def test_data_can_neither_end_its_script_nor_its_line(value: object) -> None:
    written = data(value)
    assert json.loads(written) == value
    assert not set("<>&\u2028\u2029\n") & set(written)
    assert written.isascii()


def test_what_cannot_be_seen_is_written_out() -> None:
    assert visible("a\u202eb\x00c\ud800") == "a‹U+202E›b‹U+0000›c‹U+D800›"
    assert visible("plain\n\ttext, é, 中, 🙂") == "plain\n\ttext, é, 中, 🙂"


def test_no_filter_can_hand_a_template_text_that_is_taken_for_markup() -> None:
    for name in ("safe", "join", "xmlattr", "tojson", "replace", "urlize"):
        with pytest.raises(TemplateError, match="No filter named"):
            environment().from_string(f"{{{{ texts|{name} }}}}")


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(TemplateError):
        environment().from_string("{{ nothing }}").render()
