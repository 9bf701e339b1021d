"""Check a whole plugin: an installed distribution or a file, what it plugs in, and ten questions end to end."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from sitkit.capabilities import PaidEndpoint
from sitkit.components import Component, QuestionSet, benchmark_component
from sitkit.errors import PluginError, RecipeError, SitkitError, UnknownNameError
from sitkit.part_options import Option, part_options
from sitkit.plan import build_plan
from sitkit.plugin_import import import_file, line_of
from sitkit.recipe import Recipe
from sitkit.registry import KINDS, Registered, Registry, load_plugins
from sitkit.spec import boolean, parse_spec
from sitkit.store import Store
from sitkit.store.keys import canonical
from sitkit.testing.parts import (
    GREEDY,
    SPLITS,
    Finding,
    benchmark_findings,
    line,
    strategy_findings,
    student_findings,
    task_findings,
    teacher_findings,
)
from sitkit.testing.samples import COUNT, STUB, candidates, questions
from sitkit.testing.stubs import with_stubs
from sitkit.types import (
    PROMPTINGS,
    Json,
    Kind,
    Question,
)

_HEAVY = ("torch", "transformers", "datasets", "lm_eval", "trl", "peft", "vllm", "tensorflow", "jax", "pandas", "scipy",
          "matplotlib", "sklearn", "openai", "numpy")  # fmt: skip
ANSWERS: tuple[Kind, ...] = ("number", "choice", "math")


@dataclass(frozen=True)
class Check:
    """One check: what was looked at, what was found, and the seconds it took."""

    title: str
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not any(finding.fault for finding in self.findings)


@dataclass
class _Target:
    """What is checked: a distribution or a file as the registry holds it, and the parts that can be made of it."""

    name: str
    registry: Registry
    files: list[str]
    specs: Mapping[str, str]
    modules: list[str] = field(default_factory=list)

    @property
    def parts(self) -> list[Registered]:
        return [
            part
            for part in self.registry.components.values()
            if part.provider.distribution == self.name and part.name == part.first
        ]

    def make(self, part: Registered, options: str = "") -> Component[Any]:
        """Make a part by the SPEC that was given for it, or its name."""
        text = self.specs.get(part.name, part.name) + options
        spec = parse_spec(text)
        if part.kind == "benchmark":
            return replace(
                benchmark_component(self.registry, part.name if text == part.name else text, None), spec=part.name
            )
        made = getattr(self.registry, part.kind)(spec)
        return Component(part.kind, text, made, part.provider.as_json())


def plugin_checks(plugin: str | Path, specs: Sequence[str] = ()) -> Iterator[Check]:
    """Check an installed distribution, by its name, or a file, by its path, check by check as each is done.

    ``specs`` make parts that need an argument. Raises `UnknownNameError` for a distribution that is not installed.
    """
    target, findings = _target(plugin, specs)
    start = time.monotonic()
    yield Check("discovery", tuple(findings), time.monotonic() - start)
    if target is None:
        return
    made: list[Component[Any]] = []
    start = time.monotonic()
    done = Check("fingerprints", tuple(_fingerprints(target, made)), time.monotonic() - start)
    yield done
    sound = done.passed and not any(finding.fault for finding in findings)
    for title, check in _part_checks(target, made):
        start = time.monotonic()
        done = Check(title, tuple(dict.fromkeys(check())), time.monotonic() - start)
        sound = sound and done.passed
        yield done
    start = time.monotonic()
    # What is wrong with a part would only be told again, less plainly.
    ended = _end_to_end(target, made) if sound else [Finding("not tried, for what is wrong above", fault=False)]
    yield Check("ten questions end to end", tuple(ended), time.monotonic() - start)


def _target(plugin: str | Path, specs: Sequence[str]) -> tuple[_Target | None, list[Finding]]:
    by_name = {parse_spec(text).name: text for text in specs}
    if isinstance(plugin, Path) or plugin.endswith(".py") or "/" in str(plugin):
        path = Path(plugin).expanduser().absolute()
        try:
            found = load_plugins().with_files([path])
        except PluginError as error:
            return None, [Finding(str(error))]
        target = _Target(path.name, with_stubs(found), [str(path)], by_name)
    else:
        found = load_plugins()
        known = {provider.distribution for provider in found.providers.values()} | {
            one.distribution for one in found.broken
        }
        name = next((one for one in known if _normal(one) == _normal(plugin)), None)
        if name is None:
            raise UnknownNameError("installed plugin", plugin, known)
        points = {point.module for point in _points(found, name)}
        target = _Target(name, with_stubs(found), [], by_name, sorted(points))
    findings = [Finding(str(one)) for one in found.broken if one.distribution == target.name]
    findings += [Finding(note) for note in found.notes if note.startswith(f"{target.name} printed")]
    for part in target.parts:
        if not part.summary:
            place = getattr(part.factory, "__code__", None)
            where = "" if place is None else f"{place.co_filename}:{place.co_firstlineno}"
            text = f"{part.kind} {part.name}: its factory has no docstring, whose first line `sitkit plugins` shows"
            findings.append(Finding(text, where, fault=False))
    for command in found.commands.values():
        if command.provider.distribution == target.name:
            try:
                command.load()
            except PluginError as error:
                findings.append(Finding(str(error)))
    return target, findings


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")


def _points(found: Registry, name: str) -> Iterator[Any]:
    for provider in found.providers.values():
        if provider.distribution == name and provider.installed is not None:
            yield from (point for point in provider.installed.entry_points if point.group == "sitkit")


def _part_checks(
    target: _Target, made: Sequence[Component[Any]]
) -> Iterator[tuple[str, Callable[[], Iterable[Finding]]]]:
    """Yield the check of each part that could be made."""
    folders = [folder for folder, name in target.registry.task_folders.items() if name == target.name]
    for one in made:
        yield f"{one.kind} {_name(one)}", partial(_part, one, folders, _asked(made))


def _part(one: Component[Any], folders: Sequence[Path], asked: Sequence[Question]) -> Iterator[Finding]:
    if one.kind == "benchmark":
        yield from benchmark_findings(one)
        if not one.source:
            yield from task_findings(one, folders)
    elif one.kind == "teacher":
        yield from teacher_findings(one, asked[:COUNT])
    elif one.kind == "student":
        yield from student_findings(one, asked[:4])
    elif one.kind == "strategy":
        for kind in ANSWERS:
            yield from strategy_findings(one, candidates(kind))


def _name(one: Component[Any]) -> str:
    return parse_spec(one.source or one.spec).name


def _asked(made: Sequence[Component[Any]]) -> list[Question]:
    """Return training questions of the plugin's own benchmarks, which its teachers and students are for, or samples."""
    own = list[Question]()
    for one in made:
        if one.kind == "benchmark":
            with contextlib.suppress(SitkitError):
                own += QuestionSet(one, "train", 0).questions[:COUNT]
    return own or questions()


def _fingerprints(target: _Target, made: list[Component[Any]]) -> Iterator[Finding]:
    """Make every part, and hold what each says determines it against another process and against its options."""
    said: dict[tuple[str, str], Json] = {}
    for part in target.parts:
        if part.kind == "executor":
            continue
        needs = part_options(part).argument
        if needs is not None and part.name not in target.specs:
            yield Finding(f"{part.kind} {part.name}: not made: it needs {needs} (--spec {part.name}:…)", fault=False)
            continue
        try:
            one = target.make(part)
            said[part.kind, part.name] = _said(one)
        except SitkitError as error:
            cause = error.__cause__
            path = inspect.getsourcefile(part.factory)
            yield Finding(str(error), "" if cause is None or path is None else line_of(cause, Path(path)))
            continue
        made.append(one)
        yield from _options_differ(target, part, one, said[part.kind, part.name])
    there, heavy = _elsewhere(target, list(said))
    for name in heavy:
        yield Finding(
            f"importing the plugin imports {name}, which takes long at every start: import it where it is used"
        )
    for (kind, name), fingerprint in said.items():
        if there is not None and there.get(f"{kind} {name}") != fingerprint:
            one = next(one for one in made if (one.kind, _name(one)) == (kind, name))
            text = f"{kind} {name}: fingerprint: it is another one in another process, so nothing stored is ever reused"
            yield Finding(text, line(one, "fingerprint"))


def _said(part: Component[Any]) -> Json:
    if part.kind != "benchmark":
        return json.loads(canonical(part.fingerprint))
    splits = [QuestionSet(part, split, 0).fingerprint for split in SPLITS]
    return json.loads(canonical(splits))


def _options_differ(target: _Target, part: Registered, one: Component[Any], said: Json) -> Iterator[Finding]:
    """Yield a fault for each option that changes what a part does and not its fingerprint; a note where none shows."""
    for option in part_options(part).options:
        if option.name in parse_spec(target.specs.get(part.name, part.name)).options:
            continue
        others = []
        for value in _values(option):
            with contextlib.suppress(SitkitError):
                others.append((value, target.make(part, f",{option.name}={value}")))
        if not others or any(_said(other) != said for _, other in others):
            continue
        before = _does(one)
        for value, other in others:
            if before is not None and _does(other) not in (None, before):
                text = f"option {option.name}={value} changes what it does, and its fingerprint does not say so"
                yield Finding(f"{part.kind} {part.name}: fingerprint: {text}", line(one, "fingerprint"))
                break
        else:
            text = f"option {option.name} is not in its fingerprint: right where it changes nothing that is made"
            yield Finding(f"{part.kind} {part.name}: fingerprint: {text}", line(one, "fingerprint"), fault=False)


def _values(option: Option) -> list[str]:
    if option.choices:
        return list(option.choices)
    if option.reader is boolean:
        return ["true", "false"]
    found = []
    for text in ("1", "2", "0.5", "0.25", "x"):
        with contextlib.suppress(Exception):
            option.reader(text)
            found.append(text)
    return found


def _does(part: Component[Any]) -> object:
    """Return what a part does with the samples, where it is cheap to ask and does not fail; None otherwise."""
    made = part.made
    with contextlib.suppress(Exception):
        if part.kind == "teacher" and not isinstance(made, PaidEndpoint):
            return [sorted(map(str, made.answer(questions(), prompting, GREEDY))) for prompting in PROMPTINGS]
        if part.kind == "strategy":
            return [made.objective(), list(made.pairs(candidates()))]
        if part.kind == "benchmark":
            return [list(made.questions(split, 0)) for split in SPLITS]
    return None


_CHILD = """
import json, sys
from sitkit.testing.plugin import tell_fingerprints
tell_fingerprints(json.loads(sys.argv[1]))
"""


def _elsewhere(target: _Target, parts: Sequence[tuple[str, str]]) -> tuple[dict[str, Json] | None, list[str]]:
    """Return the fingerprints as another process has them, and which heavy modules importing the plugin loads there."""
    asked = {"files": target.files, "modules": target.modules, "specs": dict(target.specs), "parts": list(parts)}
    asked["name"] = target.name
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, json.dumps(asked)],
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "20240502"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or not done.stdout.strip():
        return {}, []
    told = json.loads(done.stdout.splitlines()[-1])
    return told["fingerprints"], told["heavy"]


def tell_fingerprints(asked: Mapping[str, Any]) -> None:
    """Print the fingerprints of a plugin's parts as JSON, in a process of their own: what `plugin_checks` starts."""
    import importlib

    before = set(sys.modules)
    with contextlib.redirect_stdout(sys.stderr):
        for module in asked["modules"]:
            importlib.import_module(module)
        for file in asked["files"]:
            import_file(Path(file))
        heavy = sorted(set(_HEAVY) & (set(sys.modules) - before))
        found = load_plugins().with_files(asked["files"])
        target = _Target(asked["name"], with_stubs(found), asked["files"], asked["specs"])
        told: dict[str, Json] = {}
        for kind, name in asked["parts"]:
            with contextlib.suppress(SitkitError):
                told[f"{kind} {name}"] = _said(target.make(found.component(kind, name)))
    sys.stdout.write(json.dumps({"fingerprints": told, "heavy": heavy}) + "\n")


def _end_to_end(target: _Target, made: Sequence[Component[Any]]) -> Iterator[Finding]:
    """Run ten questions through every part of the plugin, with stubs for what it lacks."""
    by_kind: dict[str, list[str]] = {
        kind: [one.source or one.spec for one in made if one.kind == kind] for kind in KINDS
    }
    paid = [one.spec for one in made if one.kind == "teacher" and isinstance(one.made, PaidEndpoint)]
    teachers = [spec for spec in by_kind["teacher"] if spec not in paid] or [STUB]
    if not any(by_kind.values()):
        return
    with tempfile.TemporaryDirectory() as folder:
        for strategy in by_kind["strategy"] or [STUB]:
            recipe = Recipe(
                teacher=tuple(teachers),
                student=tuple(by_kind["student"] or [STUB]),
                strategy=strategy,
                train_on=tuple(by_kind["benchmark"] or [f"{STUB}:number"]),
                limit=COUNT,
                test_limit=COUNT,
                settings={"train": {"max_steps": 1}, "explore": {"steps": 1, "prompts": 2, "max_new_tokens": 16}},
            )
            try:
                _run(recipe, target.registry, Path(folder))
            except (SitkitError, OSError) as error:
                # A strategy need not find a pair in ten questions that a stub answered.
                none = isinstance(error, RecipeError) and "left no preference pair" in str(error)
                yield Finding(f"{error}{' (of ten questions)' if none else ''}", fault=not none)


def _run(recipe: Recipe, found: Registry, workspace: Path) -> None:
    from sitkit.execution.here_executor import run_plan

    plan = build_plan(recipe, found)
    try:
        run_plan(plan, Store(workspace), found, lambda event: None)
    finally:
        plan.close()
