"""Parts that several sections use: numbers as cells, tables, figures, sections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlencode

from sitkit.report.page.html import Html, el, join
from sitkit.report.summary import CellSummary
from sitkit.report.tables import Table
from sitkit.results.significance import Comparison

MINUS = "\N{MINUS SIGN}"


def points(value: float) -> str:
    """Return a difference of shares in percentage points with its sign."""
    # Adding 0 makes a rounded -0.0 a plain 0.
    return f"{round(100 * value, 1) + 0.0:+.1f}".replace("-", MINUS)


def probability(p: float) -> str:
    """Return a p-value as it is printed."""
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}" if p < 0.995 else "1"


def section(name: str, title: str, *content: object) -> Html:
    """Return a section with a heading that the contents can link to."""
    return el("section", el("h2", title, id=f"{name}-title"), *content, id=name, aria_labelledby=f"{name}-title")


def scrolled(table: Html, label: str) -> Html:
    """Return a table that scrolls sideways on its own where the window is narrow."""
    return el("div", table, class_="scroll", tabindex="0", role="region", aria_label=label)


def details(summary: object, *content: object, open_: bool = False) -> Html:
    """Return content that is folded away at first."""
    return el("details", el("summary", summary), *content, open=open_)


def answers_link(**choice: object) -> str:
    """Return a link that opens the answers with these filters set."""
    return "#answers?" + urlencode({key: str(value) for key, value in choice.items()})


def accuracy(cell: CellSummary | None, places: Sequence[str], link: str | None, *, strong: bool = False) -> Html:
    """Return a table's cell: percent, standard error over questions, deviation over seeds; its files in the title."""
    if cell is None:
        return el("td", el("span", "–", class_="none"), class_="n")
    value = el("strong" if strong else "span", f"{100 * cell.value:.1f}", class_="v")
    shown = value if link is None else el("a", value, href=link, title="\n".join(places) or None)
    notes = [el("small", f"± {100 * cell.stderr:.1f}")]
    if cell.deviation is not None:
        notes.append(el("small", f"({100 * cell.deviation:.1f})", class_="sd"))
    return el("td", shown, " ", join(notes), class_="n")


def difference(found: Comparison | None) -> Html:
    """Return a table's cell: the difference in points with its paired interval."""
    if found is None:
        return el("td", el("span", "–", class_="none"), class_="n")
    tone = ("up" if found.difference > 0 else "down") if found.certain else None
    # Resampling questions of which none changed would give an interval of no width, as if 0 were certain.
    told = found.n > 1 and found.gained + found.lost > 0
    span = f"[{points(found.low)}, {points(found.high)}]" if told else ""
    return el("td", el("span", points(found.difference), class_="v"), " ", el("small", span), class_=f"n {tone or ''}")


def tests(found: Comparison | None) -> Html:
    """Return two cells: questions gained and lost, and McNemar's p (the largest, where there are several seeds)."""
    if found is None:
        return join([el("td", "–", class_="n"), el("td", "–", class_="n")])
    several = len(found.p) > 1
    said = "seeds: " + ", ".join(probability(p) for p in found.p) if several else None
    text = ("≤ " if several and 0.001 <= max(found.p) < 0.995 else "") + probability(max(found.p))
    changed = join([el("span", f"+{found.gained}", class_="g"), " ", el("span", f"{MINUS}{found.lost}", class_="l")])
    return join([el("td", changed, class_="n"), el("td", text, class_="n", title=said)])


def head(cells: Iterable[object]) -> Html:
    """Return the head of a table; the first heading is of the rows' names."""
    return el("thead", el("tr", *(el("th", cell, scope="col") for cell in cells)))


def plain_table(table: Table, name: str, level: str = "h3") -> Html:
    """Return a table of texts as the reports in Markdown have it; columns of numbers are set right."""
    numeric = [
        bool(table.rows) and all(_is_number(row[index]) for row in table.rows if row[index] not in ("", "-"))
        for index in range(len(table.headings))
    ]
    rows = [
        el(
            "tr",
            *(
                el("th", cell, scope="row") if index == 0 else el("td", cell, class_="n" if numeric[index] else None)
                for index, cell in enumerate(row)
            ),
        )
        for row in table.rows
    ]
    headings = (
        el("th", text, scope="col", class_="n" if numeric[index] and index else None)
        for index, text in enumerate(table.headings)
    )
    body = el("table", el("thead", el("tr", *headings)), el("tbody", *rows))
    return el(
        "div",
        el(level, table.title, id=name),
        el("p", table.note, class_="note") if table.note else None,
        scrolled(body, table.title),
        class_="block",
    )


def picture(drawn: str, caption: str, file: str, *, titled: bool) -> Html:
    """Return a figure with its caption, unless its own title says the same, and the name of its file."""
    return el(
        "figure",
        el("div", Html(drawn), class_="svg", role="img", aria_label=caption),
        el("figcaption", None if titled else caption, " ", el("span", file, class_="file")),
    )


def _is_number(text: str) -> bool:
    return bool(text) and text.lstrip("+-" + MINUS)[:1].isdigit()
