"""Texts from outside reach the terminal without what it would act on, and never whole where they are endless."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import time
import unicodedata

import click
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.text import Text

from sitkit.cli.main import Program, run
from sitkit.cli.progress import Live, Plain
from sitkit.cli.rich_console import CleanConsole
from sitkit.cli.show import show_table, show_text
from sitkit.cli.terminal import echo, echo_json, echo_message
from sitkit.errors import DataError
from sitkit.execution.events import Notice, StageProgress, StageStarted, StatusMessage
from sitkit.execution.interrupts import Terminated, interruptible, terminable
from sitkit.plain_text import json_visible, message_line, visible
from sitkit.registry import load_plugins
from sitkit.report.tables import Table
from sitkit.types import StageInfo

HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202etxt.exe\u2066 \ud83d \x00\x7f [red]x[/red] [1/3]"
ANY = st.text(st.characters(codec=None) | st.sampled_from("\x00\x1b\x07\r\x85\x9b\u202e\u2066\u2028\ud800[]"))


def harmful(text: str) -> set[str]:
    """The characters of a text that a terminal acts on, or shows in another order."""
    return {
        one
        for one in text
        if (unicodedata.category(one) in ("Cc", "Cs") and one not in "\n\t")
        or unicodedata.bidirectional(one) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        or one in "\u200e\u200f\u061c\u2028\u2029"
    }


@given(ANY)
@example(HOSTILE)
def test_nothing_of_a_text_is_acted_on(text: str) -> None:
    assert not harmful(visible(text))
    assert visible(visible(text)) == visible(text)
    line = message_line(text)
    assert not harmful(line)
    assert "\n" not in line


@given(st.text(st.characters(exclude_categories=("C", "Z"))))
def test_a_harmless_text_is_shown_as_it_is(text: str) -> None:
    assert visible(text) == text


@given(st.recursive(ANY, lambda inner: st.lists(inner) | st.dictionaries(ANY, inner), max_leaves=5))
@example([HOSTILE])
def test_json_keeps_its_values(value: object) -> None:
    text = json_visible(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == value
    assert not harmful(text)


@given(ANY)
@example(HOSTILE)
def test_rich_draws_nothing_of_it_either(text: str) -> None:
    out = io.StringIO()
    console = CleanConsole(file=out, width=60)
    show_table(console, Table(text, (text, "b"), ((text, "1"),), text))
    console.print(Text(text))
    console.print(text, soft_wrap=True)
    assert not harmful(out.getvalue())


def test_every_way_of_printing_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    echo(HOSTILE)
    echo(HOSTILE, err=True)
    echo_message(HOSTILE)
    echo_json({HOSTILE: HOSTILE})
    stage = StageInfo("annotate", HOSTILE, "k", None)  # type: ignore[arg-type]
    for event in (StageStarted(stage, 1, 2), StatusMessage(stage, HOSTILE), Notice(HOSTILE)):
        Plain()(event)
    said = capsys.readouterr()
    assert not harmful(said.out + said.err)
    assert (said.out + said.err).count("‹U+001B›]0;owned") == 6


def test_a_live_line_is_clean_and_shows_markup_as_text() -> None:
    out = io.StringIO()
    stage = StageInfo("annotate", HOSTILE, "k", None)  # type: ignore[arg-type]
    with Live(CleanConsole(file=out, force_terminal=True, width=300)) as live:
        for event in (StageStarted(stage, 1, 2), StatusMessage(stage, HOSTILE), Notice(HOSTILE)):
            live(event)
    for part in ("\x1b]0;", "\x1b[2J", "\x07", "\x9b", "\u202e", "\u2066"):
        assert part not in out.getvalue()
    assert out.getvalue().count("[red]x[/red] [1/3]") >= 3


def test_a_live_line_says_loading_and_then_count_and_loss() -> None:
    out = io.StringIO()
    stage = StageInfo("instruct", "seed 0", "k", None)  # type: ignore[arg-type]
    with Live(CleanConsole(file=out, force_terminal=True, width=120)) as live:
        live(StageStarted(stage, 1, 2, after=3600.0))
        live._progress.refresh()
        assert "loading" in out.getvalue()
        assert "0/?" not in out.getvalue()
        live(StageProgress(stage, 3, 12, loss=0.51234))
        live._progress.refresh()
        assert "3/12" in out.getvalue()
        assert "loss 0.512" in out.getvalue()
        for done in (4, 5):
            time.sleep(0.01)
            live(StageProgress(stage, done, 12))
        live._progress.refresh()
        assert "1 h 0 min left" in out.getvalue()
        live(StageProgress(stage, 5, 12, part=3.9))
        live._progress.refresh()
        assert "5/12" in out.getvalue().splitlines()[-1]
        assert live._progress.tasks[-1].completed == pytest.approx(8.9)


def test_a_table_too_wide_for_the_terminal_is_shown_row_by_row_and_uncut() -> None:
    table = Table(
        "Runs",
        ("", "run", "finished", "accuracy"),
        (("1", "a_name_of_forty_characters_and_some_more_", "2026-01-02", "20.0"),),
    )
    wide, narrow = io.StringIO(), io.StringIO()
    show_table(CleanConsole(file=wide, force_terminal=True, width=80), table)
    show_table(CleanConsole(file=narrow, force_terminal=True, width=50), table)
    assert "finished   accuracy" in plain(wide)
    assert "  1 a_name_of_forty_characters_and_some_more_\n    finished 2026-01-02; accuracy 20.0" in plain(narrow)


def test_a_sentence_makes_no_table_too_wide() -> None:
    out = io.StringIO()
    told = "any model, such as hf:a/very/long/name/that/does/not/fit/beside/the/rest/of/it"
    show_table(
        CleanConsole(file=out, force_terminal=True, width=60), Table("", ("name", "what it is"), (("hf", told),))
    )
    assert "name   what it is" in plain(out)


def test_prose_is_wrapped_at_words_at_a_terminal_alone() -> None:
    text = "one two three four five six seven eight nine ten"
    narrow, piped = io.StringIO(), io.StringIO()
    show_text(CleanConsole(file=narrow, force_terminal=True, width=20), text)
    show_text(CleanConsole(file=piped, width=20), text)
    assert plain(narrow).split("\n")[0] == "one two three four"
    assert plain(piped) == f"{text}\n"


def plain(out: io.StringIO) -> str:
    return "\n".join(line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).split("\n"))


def program(error: BaseException) -> Program:
    """The program with one command, which fails."""
    made = Program(load_plugins())

    @click.command()
    def fails() -> None:
        raise error

    made.get_command = lambda ctx, name: fails  # type: ignore[method-assign]
    made.resolve_command = lambda ctx, args: ("fails", fails, args[1:])  # type: ignore[method-assign]
    return made


@pytest.mark.parametrize("error", [DataError, ValueError, click.UsageError, lambda text: OSError(5, text, text)])
def test_an_error_is_clean_and_of_a_bounded_length(error: type[Exception], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program(error(f"{HOSTILE}: {'x' * 100_000}: give another")).main(["fails"])
    said = capsys.readouterr().err
    assert "‹U+001B›]0;owned" in said
    assert not harmful(said)
    assert len(said) < 3000
    assert "characters left out" in said
    assert "give another" in said


def test_a_traceback_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["settings", "--debug", HOSTILE.replace("\x00", "")]) == 2
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert not harmful(said)


def test_what_was_typed_is_not_repeated_whole(capsys: pytest.CaptureFixture[str]) -> None:
    for typed in (["x" * 100_000], ["run", "--" + "x" * 100_000], ["run", "--seed", "x" * 100_000]):
        assert run(typed) == 2
        said = capsys.readouterr().err
        assert len(said) < 5000, said[:300]


def test_sigterm_ends_as_ctrl_c_does(capsys: pytest.CaptureFixture[str]) -> None:
    for error, code in ((Terminated(), 143), (KeyboardInterrupt(), 130)):
        with pytest.raises(SystemExit) as stop:
            program(error).main(["fails"])
        assert stop.value.code == code
        assert capsys.readouterr().err.strip().startswith("sitkit: stopped; what was finished is kept")


def test_sigterm_is_heard_even_where_python_drops_it() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with terminable():
        with pytest.raises(Terminated):
            os.kill(os.getpid(), signal.SIGTERM)
        with interruptible(lambda event: None) as listener:
            with pytest.raises(Terminated):
                os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(Terminated):
                listener(Notice("next"))
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("flags", [["--limit", "１２"], ["--seed", "٣"], ["--seeds", "３"], ["--fraction", "０.５"]])
def test_numbers_are_typed_in_the_digits_0_to_9(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "--dry-run", *flags]) == 2
    assert "is not a number in the digits 0 to 9" in capsys.readouterr().err
