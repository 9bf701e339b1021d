"""``sitkit data``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sitkit.capabilities import Deduplicator
from sitkit.cli.options import Whole, debug_option, names_of
from sitkit.cli.terminal import echo, echo_json, echo_message
from sitkit.errors import DataError
from sitkit.overlap import NGRAM
from sitkit.registry import Registry
from sitkit.types import Benchmark, Json

if TYPE_CHECKING:
    from sitkit.report.tables import Table


@click.command(short_help="Count a benchmark's questions.")
@click.argument("benchmarks", metavar="[B]...", nargs=-1, shell_complete=names_of("benchmark"))
@click.option("--data-dir", metavar="DIR", help="Read benchmarks from this folder instead of the hub.")
@click.option("--seed", type=Whole(0), default=0, metavar="N", help="Seed of the draws.  [default: 0]")
@click.option("--drop-duplicates", is_flag=True, help="Count without training questions that are test questions too.")
@click.option("--overlap", is_flag=True, help="Lay every training split beside every test split instead.")
@click.option("--ngram", type=Whole(3, 100), default=NGRAM, metavar="N", help="How many words in a row.  [default: 13]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@debug_option
@click.pass_obj
def data(
    registry: Registry,
    benchmarks: tuple[str, ...],
    data_dir: str | None,
    seed: int,
    drop_duplicates: bool,
    overlap: bool,
    ngram: int,
    as_json: bool,
) -> None:
    """Count each benchmark's questions (default: every benchmark's), beside the paper's Table 8.

    Per split: rows of the source and rows drawn from them, rows per class, where they come from, and how many
    questions appear twice, or in both splits.

    --overlap: which test questions share 13 words in a row (--ngram), or all of their words, with training questions
    of the same benchmark or another; --json lists every one with the words.

    B may be questions of your own, file:PATH (JSON lines, CSV, Parquet) or hub:ORG/NAME: a line says what they were
    taken for. What cannot be found out is told: file:PATH,question=FIELD,target=FIELD,choices=FIELD, and kind=number,
    math or choice. Of one file a tenth is held out for the test (test=SHARE); file:TRAIN,test=TEST names two.
    """
    from sitkit.capabilities import Divisible, Named
    from sitkit.components import without_duplicates
    from sitkit.spec import is_spec
    from sitkit.survey import survey

    folder = None if data_dir is None else Path(data_dir)
    found, missing, splits = list[Json](), list[DataError](), dict[str, Benchmark]()
    for name in benchmarks or registry.first_names("benchmark"):
        try:
            made = registry.benchmark(name, folder)
            if drop_duplicates and (benchmarks or isinstance(made, Deduplicator)):
                made = without_duplicates(name, made)
            own = made.name if is_spec(name) and isinstance(made, Named) else None
            if overlap:
                splits[own or name] = made
                continue
            counts = survey(own or name, made, seed)
            found.append(counts | ({"understood": made.understood()} if isinstance(made, Divisible) else {}))
        except DataError as error:
            missing.append(error)
    if overlap:
        _show_overlaps(list(_overlaps(splits, seed, ngram)), ngram, as_json=as_json)
    elif as_json:
        echo_json(found)
    elif found:
        _show(found)
    if missing:
        # One set that cannot be read does not hide the others; the first is the error, the rest is told before it.
        for other in missing[1:]:
            echo_message(f"sitkit: {other}")
        raise missing[0]


def _overlaps(splits: Mapping[str, Benchmark], seed: int, ngram: int) -> Iterator[Json]:
    from sitkit.overlap import overlaps

    for name, tested in splits.items():
        for other, made in splits.items():
            train, test = made.questions("train", seed), tested.questions("test", seed)
            rows = [
                {"question": one.scored.id, "trained": [question.id for question in one.trained], "words": one.words}
                for one in overlaps(train, test, ngram)
            ]
            if rows:
                yield {"test": name, "train": other, "n": len(test), "overlapping": rows}


def _show_overlaps(found: Sequence[Json], ngram: int, *, as_json: bool) -> None:
    from sitkit.cli.show import console, show_table
    from sitkit.report.tables import Table

    if as_json:
        echo_json(found)
        return
    rows = tuple(
        (
            pair["test"],
            pair["train"],
            str(pair["n"]),
            str(len(pair["overlapping"])),
            pair["overlapping"][0]["question"],
            pair["overlapping"][0]["trained"][0],
            pair["overlapping"][0]["words"],
        )
        for pair in found
    )
    headings = ("test of", "train of", "n", "overlapping", "the first", "overlaps with", "in the words")
    note = f"{ngram} words in a row, or all of a question's words; --json lists all. None where there is no line."
    show_table(console(), Table("Overlaps", headings, rows, note))


def _show(found: Sequence[Json]) -> None:
    from sitkit.cli.show import console, show_table

    out = console()
    for one in found:
        if "understood" in one:
            echo(one["understood"])
    for table in (_questions_table(found), _repeats_table(found)):
        show_table(out, table)


def _questions_table(found: Sequence[Json]) -> Table:
    from sitkit.report.tables import Table

    rows = tuple(
        (
            one["benchmark"],
            which,
            str(split["source"]["rows"]),
            str(split["rows"]),
            _classes(split["per_class"]),
            _paper(split["paper"]),
            {None: "", True: "yes", False: "no"}[split["agrees_with_paper"]],
            split["from"] or "",
        )
        for one in found
        for which, split in one["splits"].items()
    )
    headings = ("benchmark", "split", "source", "rows", "per class", "Table 8", "agrees", "from")
    note = "source: rows of the source's split with an answer; rows: those drawn from it. Table 8: of arXiv 2405.00402."
    return Table("Questions", headings, rows, note)


def _repeats_table(found: Sequence[Json]) -> Table:
    from sitkit.report.tables import Table

    rows = tuple(
        (
            one["benchmark"],
            which,
            _counts(split["source"]["repeated"]),
            _counts(split["repeated"]),
            _counts(split["source"].get("also_in_train")),
            _counts(split.get("also_in_train")),
        )
        for one in found
        for which, split in one["splits"].items()
    )
    headings = ("benchmark", "split", "source: repeated", "drawn: repeated", "source: in train", "drawn: in train")
    note = "Surplus rows, and test questions also in the training set: by the question alone / with its options."
    return Table("Repeated questions", headings, rows, note)


def _classes(counts: Mapping[str, int] | None) -> str:
    if not counts:
        return ""
    if len(set(counts.values())) == 1:
        return f"{len(counts)} x {next(iter(counts.values()))}"
    return " ".join(f"{letter} {count}" for letter, count in counts.items())


def _paper(counts: Mapping[str, int] | None) -> str:
    if not counts:
        return ""
    if "rows" in counts:
        return str(counts["rows"])
    tolerance = f" ± {counts['tolerance']}" if "tolerance" in counts else ""
    return f"{counts['per_class']}{tolerance} a class"


def _counts(counts: Mapping[str, int] | None) -> str:
    return "" if counts is None else f"{counts['question']} / {counts['with_options']}"
