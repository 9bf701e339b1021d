"""Input that nobody should write: options, SPECs, recipes and rows made by hypothesis."""

from __future__ import annotations

import json
import random
import shutil
from itertools import pairwise
from typing import Any

import click
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from sitkit.registry import load_plugins
from tests.campaigns.world import PARTS, RUN, Trial, World

_TEXT = st.text(st.characters(exclude_characters="/\x00", exclude_categories=["Cs"]), max_size=40)
_WORDS = st.sampled_from([
    "", " ", "-", "--", ".", "..", "0", "-1", "1e400", "nan", "inf", "-inf", "9" * 5000, "٣", "１２", "\x1b[31mred",
    "a\nb", "a" * 100_000, "🦙", "\u202e", "null", "{}", "[]", "*", "%s%n", "${HOME}", "~", "NUL", "/dev/null",
    "/proc/self/mem", "/", "letters", "letters,letters", "letters,,", "counter", "speller,slips=", "speller,slips=-1",
    "speller,slips=1,slips=2", "hf:", "hf:/nowhere", "openai:", "openai:m,base_url=file:///etc", "file:/nowhere",
    "refine.beta=nan", "refine.beta=", "refine.=1", "a.b=c", "train.seed=1e99", "last", "r", "r\x00"[:1], "1", "99",
])  # fmt: skip
_VALUE = _WORDS | _TEXT | st.integers().map(str) | st.floats().map(str)
_SPEC = st.builds(
    lambda name, argument, options: name + (f":{argument}" if argument else "") + "".join(f",{one}" for one in options),
    st.sampled_from(["speller", "counter", "letters", "file", "hf", "openai", "tiny"]) | _TEXT,
    _VALUE,
    st.lists(st.builds("{}={}".format, st.sampled_from(["slips", "quantize", "base_url"]) | _TEXT, _VALUE), max_size=3),
)
_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _VALUE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_VALUE, inner, max_size=3),
    max_leaves=6,
)
_KEYS = st.sampled_from([
    "student", "teacher", "strategy", "train_on", "refine_on", "eval_on", "fraction", "limit", "test_limit", "seeds",
    "set", "data_dir", "cross", "methods", "max_cost", "drop_duplicates",
    "drop_contaminated", "ngram", "eval_teacher",
])  # fmt: skip
_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in pairwise("abcdefghi")
)
_YAML = [
    _BOMB, "limit: 2001-99-99", "limit: " + "9" * 5000, "fraction: 1e400", "[" * 5000, "limit: 1\nlimit: 2", "\t",
    "\x00", "!!python/object:a", "- a", "student: {", "\ufeffstudent: counter", "set: {refine: {beta: [1]}}", "<<: *x",
    "? [a]\n: b",
]  # fmt: skip
_RECIPE = st.dictionaries(_KEYS | _TEXT, _PLAIN, max_size=4).map(json.dumps) | st.sampled_from(_YAML)
_FIELDS = ("id", "question_id", "question", "answer", "completion", "prompt", "benchmark", "prompting", "target")
_ROW = st.fixed_dictionaries({}, optional=dict.fromkeys(_FIELDS, _PLAIN)).map(json.dumps)
_FILE = st.lists(_ROW | _VALUE, max_size=5).map("\n".join)


def taken(strategy: st.SearchStrategy[Any], draw: random.Random) -> Any:
    """Return one value of a strategy, as the draw has it."""
    found = []

    @seed(draw.randrange(2**32))
    @settings(
        max_examples=4, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def take(value: Any) -> None:
        found.append(value)

    take()
    return found[-1]


def trial(world: World, draw: random.Random) -> Trial:
    """Give one command input of one kind."""
    workspace = world.finished() if draw.random() < 0.5 else world.temporary("w")
    written = world.temporary("given")
    kind = draw.choice(["options", "options", "spec", "recipe", "rows", "data"])
    if kind == "options":
        arguments = _options(draw)
    elif kind == "spec":
        what = draw.choice(["teacher", "student", "strategy"])
        arguments = [*RUN, f"--{what}", taken(_SPEC, draw), "--dry-run"]
    elif kind == "recipe":
        written.write_text(taken(_RECIPE, draw), encoding="utf-8", errors="surrogatepass")
        arguments = ["run", "--config", str(written), "--dry-run"]
    elif kind == "rows":
        written.write_text(taken(_FILE, draw), encoding="utf-8", errors="surrogatepass")
        arguments = ["run", "--teacher", f"file:{written}", *PARTS[2:], "--train-on", "letters"]
    else:
        (written / "gsm8k").mkdir(parents=True)
        for name in ("train", "test"):
            (written / "gsm8k" / f"{name}.jsonl").write_text(
                taken(_FILE, draw), encoding="utf-8", errors="surrogatepass"
            )
        arguments = ["run", "--train-on", "gsm8k", "--data-dir", str(written), *PARTS[:4], "--dry-run"]
    found = Trial("input", f"{kind}: {' '.join(arguments)[:200]!r}")
    # What click does not know is its own usage error, exit code 2 as well.
    found.note(world.run(*arguments, *([] if "--workspace" in arguments else ["--workspace", str(workspace)])))
    if found.wrong and written.is_file():
        found.wrong.append(repr(written.read_bytes()[:300]))
    for path in (workspace, written):
        shutil.rmtree(path, ignore_errors=True)
    written.unlink(missing_ok=True)
    return found


def _options(draw: random.Random) -> list[str]:
    """A command with one to three of its options, or its arguments, given something."""
    registry = load_plugins()
    name = draw.choice([name for name in registry.commands if name not in ("push", "data")])
    command = registry.commands[name].load()
    arguments = [name]
    if name in ("run", "matrix", "lowresource"):
        arguments += [*PARTS, "--tasks" if name == "matrix" else "--train-on", "letters"]
        arguments += ["--dry-run"] if draw.random() < 0.7 else []
    if name == "judge":
        arguments += ["--judge", "rule:notes"]
    options = [
        one for one in command.params if isinstance(one, click.Option) and one.name not in ("report_to", "debug")
    ]
    for option in draw.sample(options, min(len(options), draw.randint(1, 3))):
        arguments += [draw.choice(option.opts), *([] if option.is_flag else [taken(_VALUE | _SPEC, draw)])]
    for argument in command.params:
        if isinstance(argument, click.Argument):
            arguments.append(draw.choice(["r", taken(_VALUE, draw)]))
    return [word.replace("\x00", "") for word in arguments]
