"""Load what is plugged in, remember who provided it, look names up, and name what is broken."""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pluggy

from sitkit import hookspecs
from sitkit.errors import PluginError, SitkitError, UnknownNameError, suggestion
from sitkit.spec import Spec
from sitkit.types import Benchmark, Context, Strategy, Student, Teacher

if TYPE_CHECKING:
    pass

    from sitkit.execution.events import Listener
    from sitkit.execution.executor import Executor
    from sitkit.plan import Plan
    from sitkit.store import Store


@runtime_checkable
class _Runs(Protocol):
    """What an executor must offer; `sitkit.execution.executor.Executor` is what it should derive from."""

    def run(self) -> object: ...


KINDS: Mapping[str, tuple[str, type]] = {
    "teacher": ("sitkit_teachers", Teacher),
    "student": ("sitkit_students", Student),
    "strategy": ("sitkit_strategies", Strategy),
    "benchmark": ("sitkit_benchmarks", Benchmark),
    "executor": ("sitkit_executors", _Runs),
}
"""Kind of part -> (the hook that registers it, the protocol it fulfils)."""

DEFAULTS = ("student", "strategy", "train_on")
"""The keys of a recipe that plugins may name defaults of; the first plugin in the order of loading wins."""


_PLACE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class Provider:
    """The distribution a plugin comes from."""

    distribution: str
    version: str


@dataclass(frozen=True)
class Registered:
    """A name, the factory behind it, and who provided it. ``first`` is the name itself, or what it is an alias of."""

    kind: str
    name: str
    first: str
    factory: Callable[..., Any]
    provider: Provider
    summary: str


@dataclass(frozen=True)
class Command:
    """A subcommand: ``place`` is "MODULE:NAME", imported when it is used."""

    name: str
    place: str
    summary: str
    provider: Provider

    def load(self) -> object:
        """Import and return what lies there. Raises `PluginError` if that fails."""
        where = f"{self.provider.distribution}: sitkit_commands: {self.name}: {self.place}"
        try:
            found = pkgutil.resolve_name(self.place)
        except (Exception, SystemExit) as error:
            raise PluginError(f"{where} cannot be imported: {_reason(error)}") from error
        return found


@dataclass(frozen=True)
class Broken:
    """A plugin, or a part of one, that cannot be used, and why."""

    distribution: str
    hook: str
    reason: str

    def __str__(self) -> str:
        return f"{self.distribution}: {self.hook}: {self.reason}"


@dataclass
class Registry:
    """Everything plugged in. Made by `load_plugins`; tests make their own from their own plugin manager."""

    manager: pluggy.PluginManager
    providers: Mapping[str, Provider]
    components: dict[tuple[str, str], Registered] = field(default_factory=dict)
    commands: dict[str, Command] = field(default_factory=dict)
    task_folders: dict[Path, str] = field(default_factory=dict)
    defaults: dict[str, tuple[str, ...]] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)

    def names(self, kind: str) -> list[str]:
        """Return the names registered for a kind (one of `KINDS`), sorted."""
        return sorted(name for part_kind, name in self.components if part_kind == kind)

    def first_name(self, kind: str, name: str) -> str:
        """Return what an alias stands for, or the name itself. Raises as `component` does."""
        return self.component(kind, name).first

    def first_names(self, kind: str) -> list[str]:
        """Return the names registered for a kind without aliases, in order of registration."""
        return [part.name for part in self.components.values() if part.kind == kind and part.name == part.first]

    def component(self, kind: str, name: str) -> Registered:
        """Return who is behind a name. Raises `UnknownNameError` suggesting the nearest, naming broken plugins."""
        found = self.components.get((kind, name))
        if found is not None:
            return found
        error = UnknownNameError(kind, name, self.names(kind))
        if self.broken:
            names = ", ".join(sorted({broken.distribution for broken in self.broken}))
            error.args = (f"{error}; some plugins could not be used ({names}): see `sitkit plugins`",)
        raise error

    def context(self, data_dir: Path | None = None) -> Context:
        """Return the context factories get, with look-ups through this registry."""
        return Context(
            data_dir=data_dir,
            teacher=lambda spec: self.teacher(spec, data_dir),
            student=lambda spec: self.student(spec, data_dir),
            benchmark=lambda name: self.benchmark(name, data_dir),
        )

    def teacher(self, spec: Spec, data_dir: Path | None = None) -> Teacher:
        """Make the teacher a SPEC names. Raises `UnknownNameError`, `PluginError`, or what its factory reports."""
        made: Teacher = self._make("teacher", spec, data_dir)
        return made

    def student(self, spec: Spec, data_dir: Path | None = None) -> Student:
        """Make the student a SPEC names; raises as `teacher` does."""
        made: Student = self._make("student", spec, data_dir)
        return made

    def strategy(self, spec: Spec, data_dir: Path | None = None) -> Strategy:
        """Make the strategy a SPEC names; raises as `teacher` does."""
        made: Strategy = self._make("strategy", spec, data_dir)
        return made

    def benchmark(self, name: str, data_dir: Path | None = None) -> Benchmark:
        """Make the benchmark of that name; raises as `teacher` does."""
        made: Benchmark = self._make("benchmark", Spec(self.first_name("benchmark", name)), data_dir)
        return made

    def executor(self, name: str, plan: Plan, store: Store, listener: Listener) -> Executor:
        """Make the executor of that name for one run; raises as `teacher` does."""
        made: Executor = self._call_factory("executor", name, plan, store, self, listener)
        return made

    def _make(self, kind: str, spec: Spec, data_dir: Path | None) -> Any:
        return self._call_factory(kind, spec.name, spec, self.context(data_dir))

    def _call_factory(self, kind: str, name: str, *arguments: object) -> Any:
        part = self.component(kind, name)
        hook, protocol = KINDS[kind]
        where = f"{part.provider.distribution}: {hook}: {name}"
        try:
            made = part.factory(*arguments)
        except SitkitError:
            raise
        except Exception as error:
            raise PluginError(f"{where}: its factory failed with {type(error).__name__}: {error}") from error
        if not isinstance(made, protocol):
            missing = [name for name in _members(protocol) if not hasattr(made, name)]
            raise PluginError(
                f"{where}: its factory returned {type(made).__name__}, which is not a valid {kind}"
                f" (missing: {', '.join(missing)})"
            )
        return made

    def hook_calls(self, hook: str) -> Iterator[tuple[str, Callable[..., Any]]]:
        """Yield (distribution, function) for every plugin that implements the hook, in order of loading."""
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            yield self.providers[implementation.plugin_name].distribution, partial(_call, implementation)


def plugin_manager() -> pluggy.PluginManager:
    """Return a fresh plugin manager that knows sitkit's hooks and no plugin."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def load_plugins(points: Sequence[EntryPoint] | None = None) -> Registry:
    """Load every entry point of group ``sitkit``, one by one: a plugin that fails is noted and the rest works.

    Ours come first, then the others by distribution name, so that a name taken twice always goes to the same one.
    """
    found = list(entry_points(group=hookspecs.PROJECT)) if points is None else list(points)
    found.sort(key=lambda point: (_provider(point).distribution != "sitkit", _provider(point).distribution, point.name))
    manager, providers, broken = plugin_manager(), dict[str, Provider](), list[Broken]()
    for point in dict.fromkeys(found):
        provider = _provider(point)
        name = f"{provider.distribution}:{point.name}"
        if name in providers:
            continue
        try:
            plugin = point.load()
            manager.register(plugin, name=name)
        # A module that calls sys.exit() must not take sitkit with it.
        except (Exception, SystemExit) as error:
            broken.append(Broken(provider.distribution, "import", _reason(error)))
            continue
        providers[name] = provider
        broken += [
            Broken(provider.distribution, hook, f"sitkit has no such hook{suggestion(hook, _hooks(manager))}")
            for hook in dir(plugin)
            if manager.parse_hookimpl_opts(plugin, hook) is not None and hook not in _hooks(manager)
        ]
    return build_registry(manager, providers, broken)


def build_registry(
    manager: pluggy.PluginManager, providers: Mapping[str, Provider], broken: Sequence[Broken] = ()
) -> Registry:
    """Ask every registered plugin what it provides; ``providers`` maps the manager's plugin names to distributions."""
    registry = Registry(manager, providers, broken=list(broken))
    for kind, (hook, _) in KINDS.items():
        _collect(registry, hook, partial(_register_component, registry, kind, hook))
    _collect(registry, "sitkit_commands", partial(_register_command, registry))
    for implementation in _implementations(registry, "sitkit_task_folders"):
        _collect_folders(registry, implementation)
    for implementation in _implementations(registry, "sitkit_defaults"):
        _collect_defaults(registry, implementation)
    return registry


def _collect(registry: Registry, hook: str, register: Callable[..., None]) -> None:
    for implementation in _implementations(registry, hook):
        provider = registry.providers[implementation.plugin_name]
        try:
            _call(implementation, register=partial(register, provider))
        except Exception as error:
            registry.broken.append(Broken(provider.distribution, hook, _reason(error)))


def _register_component(
    registry: Registry,
    kind: str,
    hook: str,
    provider: Provider,
    name: object,
    factory: object,
    *extra: object,
    aliases: Sequence[object] = (),
) -> None:
    if extra:
        too_many = f"registers {name!r} with {len(extra)} argument(s) too many"
        registry.broken.append(Broken(provider.distribution, hook, too_many))
        return
    for one in (name, *aliases):
        refusal = _refusal(registry, (kind, one), one, factory)
        if refusal is None:
            made = Registered(kind, str(one), str(name), _callable(factory), provider, _first_line(factory))
            registry.components[kind, str(one)] = made
            continue
        registry.broken.append(Broken(provider.distribution, hook, refusal))
        if one is name:
            return


def _register_command(
    registry: Registry, provider: Provider, name: object, place: object, summary: object = ""
) -> None:
    refusal = _refusal(registry, ("command", name), name, place)
    if refusal is not None:
        registry.broken.append(Broken(provider.distribution, "sitkit_commands", refusal))
        return
    registry.commands[str(name)] = Command(str(name), str(place), str(summary), provider)


def _refusal(registry: Registry, key: tuple[str, object], name: object, factory: object) -> str | None:
    kind = key[0]
    if not isinstance(name, str) or not name or not name.isprintable() or " " in name:
        return f"registers a {kind} under {name!r}, which is no name"
    if kind == "command" and not (isinstance(factory, str) and _PLACE.fullmatch(factory)):
        return f"registers the command {name!r} with {factory!r}, expected the text MODULE:NAME"
    if kind != "command" and not callable(factory):
        return f"registers the {kind} {name!r} with {type(factory).__name__} in place of a factory"
    taken = registry.commands.get(name) if kind == "command" else registry.components.get((kind, name))
    if taken is not None:
        return f"the {kind} name {name!r} is taken by {taken.provider.distribution}"
    return None


def _callable(value: object) -> Callable[..., Any]:
    if not callable(value):
        raise TypeError(f"{value!r} is not callable")
    return value


def _collect_folders(registry: Registry, implementation: Any) -> None:
    hook = "sitkit_task_folders"
    distribution = registry.providers[implementation.plugin_name].distribution
    try:
        folders = _call(implementation)
        if isinstance(folders, str | bytes) or not all(isinstance(folder, Path) for folder in folders):
            raise TypeError(f"returned {folders!r}, expected a list of Path")
    except Exception as error:
        registry.broken.append(Broken(distribution, hook, _reason(error)))
        return
    for folder in folders:
        if not folder.is_dir():
            registry.broken.append(Broken(distribution, hook, f"{folder} is no folder"))
        else:
            registry.task_folders.setdefault(folder, distribution)


def _collect_defaults(registry: Registry, implementation: Any) -> None:
    distribution = registry.providers[implementation.plugin_name].distribution
    try:
        given = _call(implementation)
        if not isinstance(given, Mapping):
            raise TypeError(f"returned {given!r}, expected a mapping")
        found = {key: _default(key, value) for key, value in given.items()}
    except Exception as error:
        registry.broken.append(Broken(distribution, "sitkit_defaults", _reason(error)))
        return
    for key, value in found.items():
        registry.defaults.setdefault(key, value)


def _default(key: object, value: object) -> tuple[str, ...]:
    if key not in DEFAULTS:
        raise ValueError(f"{key!r} has no default by plugins, only {', '.join(DEFAULTS)} have")
    texts: Any = [value] if isinstance(value, str) else value
    several = isinstance(texts, list | tuple) and (key != "strategy" or len(texts) == 1)
    if not several or not texts or not all(isinstance(text, str) and text for text in texts):
        raise TypeError(f"{key}: {value!r}, expected {'a SPEC' if key == 'strategy' else 'a name or a list of names'}")
    return tuple(texts)


def _implementations(registry: Registry, hook: str) -> list[Any]:
    return list(getattr(registry.manager.hook, hook).get_hookimpls())


def _hooks(manager: pluggy.PluginManager) -> list[str]:
    return [name for name, caller in vars(manager.hook).items() if caller.has_spec()]


def _call(implementation: Any, **arguments: Any) -> Any:
    return implementation.function(**{name: arguments[name] for name in implementation.argnames})


def _provider(point: EntryPoint) -> Provider:
    if point.dist is None:
        return Provider(point.value, "?")
    # Metadata without a name or a version is broken, but need not break us.
    return Provider(point.dist.name or point.value, point.dist.version or "?")


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _first_line(factory: object) -> str:
    doc = (getattr(factory, "__doc__", None) or "").strip()
    return doc.splitlines()[0] if doc else ""


def _members(protocol: type) -> list[str]:
    methods = {name for name in vars(protocol) if not name.startswith("_")}
    return sorted(methods | set(inspect.get_annotations(protocol)))
