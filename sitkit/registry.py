"""Load what is plugged in, remember who provided it, look names up, and name what is broken."""

from __future__ import annotations

import contextlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pluggy

from sitkit import hookspecs
from sitkit.errors import PluginError, UnknownNameError, UsageError, blamed, reason
from sitkit.plugin_import import Broken, defined_hooks, implemented, import_file, line_of, noted
from sitkit.providers import OURS, Provider
from sitkit.spec import Spec, is_name, is_spec, parse_spec
from sitkit.types import Benchmark, Context, Strategy, Student, Teacher

if TYPE_CHECKING:
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


GUARDS = ("sitkit_before_run", "sitkit_before_stage", "sitkit_after_stage", "sitkit_after_run")
"""The hooks that watch a run and may refuse it: a run without them is another one, so the user is told."""

_PLACE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_RESERVED = {("benchmark", "all"): "--eval-on all means every benchmark"}


@dataclass(frozen=True)
class Registered:
    """A name, the factory behind it, and who provided it. ``first`` is the name itself, or what it is an alias of.

    ``argument`` says what has to follow the colon (None: nothing has to).
    """

    kind: str
    name: str
    first: str
    factory: Callable[..., Any]
    provider: Provider
    summary: str
    argument: str | None = None


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
            return pkgutil.resolve_name(self.place)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginError(f"{where} cannot be imported: {reason(error)}") from error


@dataclass
class Registry:
    """Everything plugged in. Made by `load_plugins`; tests make their own from their own plugin manager."""

    manager: pluggy.PluginManager
    providers: Mapping[str, Provider]
    components: dict[tuple[str, str], Registered] = field(default_factory=dict)
    commands: dict[str, Command] = field(default_factory=dict)
    task_folders: dict[Path, str] = field(default_factory=dict)
    preset_folders: dict[Path, str] = field(default_factory=dict)
    defaults: dict[str, tuple[str, ...]] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def with_files(self, files: Iterable[str | Path] | None) -> Registry:
        """Return the registry with plugins that are single files beside what is installed; itself where there is none.

        Raises `UsageError` for what is not a Python file, and `PluginError`, with the line, for one that cannot be used
        in full: who names a file wants it.
        """
        registry = self
        for file in dict.fromkeys(Path(file).expanduser().absolute() for file in files or ()):
            registry = registry._with_file(file)
        return registry

    def _with_file(self, path: Path) -> Registry:
        if not path.is_file() or path.suffix != ".py":
            fault = "is not a Python file (.py)" if path.exists() else "does not exist"
            raise UsageError(f"the plugin {path} {fault}")
        notes = list(self.notes)
        try:
            with noted(notes, f"{path.name} printed while it was imported"):
                module, digest = import_file(path)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginError(f"{line_of(error, path)}: the plugin cannot be imported: {reason(error)}") from error
        provider = Provider(path.name, "file", content=digest)
        if self.providers.get(str(path)) == provider:
            return self
        found = self.with_plugin(str(path), module, provider)
        for broken in found.broken[len(self.broken) :]:
            code = getattr(getattr(module, broken.hook, None), "__code__", None)
            where = path if code is None else f"{path}:{code.co_firstlineno}"
            raise PluginError(f"{where}: {broken.hook}: {broken.reason}")
        if provider not in [one for one, hooks in found.hooks().items() if hooks]:
            raise PluginError(f"{path}: plugs nothing in: no function of it is a hook marked with @hookimpl")
        return replace(found, notes=[*notes, *found.notes[len(self.notes) :]])

    def with_plugin(self, name: str, plugin: object, provider: Provider) -> Registry:
        """Return the registry with one more plugin, a module or an object with hooks; this one stays as it is.

        What of it cannot be used is last in ``broken``.
        """
        manager = plugin_manager()
        sound, faults = implemented(manager, provider, plugin)
        for known in self.providers:
            manager.register(self.manager.get_plugin(known), name=known)
        manager.register(sound, name=name)
        found = replace(
            self,
            manager=manager,
            providers={**self.providers, name: provider},
            components=dict(self.components),
            commands=dict(self.commands),
            task_folders=dict(self.task_folders),
            preset_folders=dict(self.preset_folders),
            defaults=dict(self.defaults),
            broken=[*self.broken, *faults],
            notes=list(self.notes),
        )
        _gather(found, {name})
        return found

    def names(self, kind: str) -> list[str]:
        """Return the names registered for a kind (one of `KINDS`), sorted."""
        return sorted(name for part_kind, name in self.components if part_kind == kind)

    def first_name(self, kind: str, name: str) -> str:
        """Return what an alias stands for, or the name itself. Raises as `component` does."""
        return self.component(kind, name).first

    def first_names(self, kind: str) -> list[str]:
        """Return the names registered for a kind without aliases, in order of registration; of benchmarks those alone
        that need no argument.
        """
        return [
            part.name
            for part in self.components.values()
            if part.kind == kind and part.name == part.first and part.argument is None
        ]

    def aliases(self, part: Registered) -> list[str]:
        """Return the further names of a part."""
        return [
            other.name
            for other in self.components.values()
            if (other.kind, other.first) == (part.kind, part.first) and other.name != other.first
        ]

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

    def benchmark(self, text: str, data_dir: Path | None = None) -> Benchmark:
        """Make the benchmark of that name, or of that SPEC; raises as `teacher` does, and `SpecError`."""
        spec = parse_spec(text) if is_spec(text) else Spec(text)
        spec = replace(spec, name=self.first_name("benchmark", spec.name))
        made: Benchmark = self._make("benchmark", spec, data_dir)
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
        with blamed(f"{where}: its factory"):
            made = part.factory(*arguments)
        if isinstance(made, type):
            raise PluginError(f"{where}: its factory returned the class {made.__name__}, not an instance of it")
        if not isinstance(made, protocol):
            missing = [name for name in _members(protocol) if not hasattr(made, name)]
            raise PluginError(
                f"{where}: its factory returned {type(made).__name__}, which is not a valid {kind}"
                f" (missing: {', '.join(missing)})"
            )
        return made

    def folders_of_tasks(self) -> dict[str, tuple[Path, ...]]:
        """Return the folders of lm-eval tasks by the distribution that names them."""
        folders: dict[str, tuple[Path, ...]] = {}
        for folder, distribution in self.task_folders.items():
            folders[distribution] = (*folders.get(distribution, ()), folder)
        return folders

    def presets(self) -> dict[str, Path]:
        """Return the recipes that plugins ship, by name, sorted; of two of one name the first plugin's."""
        found: dict[str, Path] = {}
        for folder in self.preset_folders:
            for path in folder.rglob("*.yaml"):
                found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
        return dict(sorted(found.items()))

    def dropped(self) -> list[str]:
        """Return a sentence for each hook of a broken plugin that should have watched a run."""
        return [
            f"plugin {broken.distribution} is broken ({broken.hook}: {broken.reason}), so its {hook} is not called"
            for broken in self.broken
            for hook in broken.dropped
            if hook in GUARDS
        ]

    def hooks(self) -> dict[Provider, list[str]]:
        """Return the hooks that each distribution implements, in the order of loading."""
        found: dict[Provider, list[str]] = {}
        for name, provider in self.providers.items():
            callers = self.manager.get_hookcallers(self.manager.get_plugin(name)) or ()
            names = found.setdefault(provider, [])
            names += sorted(caller.name for caller in callers if caller.has_spec() and caller.name not in names)
        return found

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
    What a plugin prints meanwhile is kept from the terminal, and noted. Raises `KeyboardInterrupt` alone.
    """
    found = list(entry_points(group=hookspecs.PROJECT)) if points is None else list(points)
    # Each distribution once: its name and version are read by parsing its metadata whole.
    known = {dist: _provider(point) for dist, point in {point.dist: point for point in found if point.dist}.items()}
    provider_of = {id(point): known[point.dist] if point.dist else _provider(point) for point in found}
    found.sort(
        key=lambda point: (provider_of[id(point)].distribution != OURS, provider_of[id(point)].distribution, point.name)
    )
    manager, providers, broken, notes = plugin_manager(), dict[str, Provider](), list[Broken](), list[str]()
    for point in dict.fromkeys(found):
        provider = provider_of[id(point)]
        name = f"{provider.distribution}:{point.name}"
        if name in providers:
            continue
        try:
            with noted(notes, f"{provider.distribution} printed while it was imported"):
                plugin = point.load()
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(f"while the plugin {provider.distribution} was imported") from error
        # A module that calls sys.exit() must not take sitkit with it.
        except BaseException as error:
            broken.append(Broken(provider.distribution, "import", reason(error), defined_hooks(point)))
            continue
        sound, faults = implemented(manager, provider, plugin)
        broken += faults
        manager.register(sound, name=name)
        providers[name] = provider
    registry = build_registry(manager, providers, broken)
    registry.notes[:0] = notes
    return registry


def build_registry(
    manager: pluggy.PluginManager, providers: Mapping[str, Provider], broken: Sequence[Broken] = ()
) -> Registry:
    """Ask every registered plugin what it provides; ``providers`` maps the manager's plugin names to distributions."""
    registry = Registry(manager, providers, broken=list(broken))
    _gather(registry, providers)
    return registry


def _gather(registry: Registry, plugins: Collection[str]) -> None:
    """Ask these plugins, by their names in the manager, what they provide."""
    for kind, (hook, _) in KINDS.items():
        _collect(registry, plugins, hook, partial(_register_component, registry, kind, hook))
    _collect(registry, plugins, "sitkit_commands", partial(_register_command, registry))
    for hook, into in (("sitkit_task_folders", registry.task_folders), ("sitkit_presets", registry.preset_folders)):
        for implementation in _implementations(registry, plugins, hook):
            _collect_folders(registry, hook, into, implementation)
    for implementation in _implementations(registry, plugins, "sitkit_defaults"):
        _collect_defaults(registry, implementation)


def _collect(registry: Registry, plugins: Collection[str], hook: str, register: Callable[..., None]) -> None:
    for implementation in _implementations(registry, plugins, hook):
        provider = registry.providers[implementation.plugin_name]
        with _broken(registry, provider, hook):
            _call(implementation, register=partial(register, provider))


@contextlib.contextmanager
def _broken(registry: Registry, provider: Provider, hook: str) -> Iterator[None]:
    """Note what is raised inside as a hook that cannot be used, and what is printed."""
    try:
        with noted(registry.notes, f"{provider.distribution} printed in {hook}"):
            yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        registry.broken.append(Broken(provider.distribution, hook, reason(error)))


def _register_component(
    registry: Registry,
    kind: str,
    hook: str,
    provider: Provider,
    name: object,
    factory: object,
    *extra: object,
    aliases: object = (),
    argument: object = None,
) -> None:
    if not isinstance(aliases, list | tuple):
        expected = f"registers {name!r} with aliases={aliases!r}, expected a list of names"
        registry.broken.append(Broken(provider.distribution, hook, expected))
        aliases = ()
    if extra:
        too_many = f"registers {name!r} with {len(extra)} argument(s) too many"
        registry.broken.append(Broken(provider.distribution, hook, too_many))
        return
    for one in (name, *aliases):
        refusal = _refusal(registry, (kind, one), one, factory)
        if refusal is None:
            needs = None if argument is None else str(argument)
            made = Registered(kind, str(one), str(name), _callable(factory), provider, _first_line(factory), needs)
            registry.components[kind, str(one)] = made
            continue
        registry.broken.append(Broken(provider.distribution, hook, refusal))
        if one is name:
            return


def _register_command(
    registry: Registry, provider: Provider, name: object, place: object, summary: object = ""
) -> None:
    refusal = _refusal(registry, ("command", name), name, place)
    if refusal is None and provider.content:
        refusal = f"registers the command {name!r}, which only an installed plugin can: see `sitkit new-plugin`"
    if refusal is not None:
        registry.broken.append(Broken(provider.distribution, "sitkit_commands", refusal))
        return
    registry.commands[str(name)] = Command(str(name), str(place), str(summary), provider)


def _refusal(registry: Registry, key: tuple[str, object], name: object, factory: object) -> str | None:
    kind = key[0]
    if not isinstance(name, str) or not is_name(name):
        letters = "a letter or digit, then letters, digits, '_', '.' and '-'"
        return f"registers a {kind} under {name!r}, which nobody can type: a name is {letters}"
    if (kind, name) in _RESERVED:
        return f"registers the {kind} {name!r}, but {_RESERVED[kind, name]}"
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


def _collect_folders(registry: Registry, hook: str, into: dict[Path, str], implementation: Any) -> None:
    folders = list[Path]()
    provider = registry.providers[implementation.plugin_name]
    with _broken(registry, provider, hook):
        given = _call(implementation)
        folders = [] if isinstance(given, str | bytes) else list(given)
        if isinstance(given, str | bytes) or not all(isinstance(folder, Path) for folder in folders):
            folders = []
            raise TypeError(f"returned {given!r}, expected a list of Path")
    for folder in folders:
        if not folder.is_dir():
            registry.broken.append(Broken(provider.distribution, hook, f"{folder} is not a folder"))
        else:
            into.setdefault(folder, provider.distribution)


def _collect_defaults(registry: Registry, implementation: Any) -> None:
    found: dict[str, tuple[str, ...]] = {}
    with _broken(registry, registry.providers[implementation.plugin_name], "sitkit_defaults"):
        given = _call(implementation)
        if not isinstance(given, Mapping):
            raise TypeError(f"returned {given!r}, expected a mapping")
        found = {key: _default(key, value) for key, value in given.items()}
    for key, value in found.items():
        registry.defaults.setdefault(key, value)


def _default(key: object, value: object) -> tuple[str, ...]:
    if key not in DEFAULTS:
        raise ValueError(f"{key!r} is not a default that plugins may name: expected one of {', '.join(DEFAULTS)}")
    texts: Any = [value] if isinstance(value, str) else value
    several = isinstance(texts, list | tuple) and (key != "strategy" or len(texts) == 1)
    if not several or not texts or not all(isinstance(text, str) and text for text in texts):
        raise TypeError(f"{key}: {value!r}, expected {'a SPEC' if key == 'strategy' else 'a name or a list of names'}")
    return tuple(texts)


def _implementations(registry: Registry, plugins: Collection[str], hook: str) -> list[Any]:
    found = getattr(registry.manager.hook, hook).get_hookimpls()
    return [implementation for implementation in found if implementation.plugin_name in plugins]


def _call(implementation: Any, **arguments: Any) -> Any:
    return implementation.function(**{name: arguments[name] for name in implementation.argnames})


def _provider(point: EntryPoint) -> Provider:
    if point.dist is None:
        return Provider(point.value, "?")
    # Metadata without a name or a version is broken, but need not break us.
    return Provider(point.dist.name or point.value, point.dist.version or "?", point.dist)


def _first_line(factory: object) -> str:
    doc = (getattr(factory, "__doc__", None) or "").strip()
    return doc.splitlines()[0] if doc else ""


def _members(protocol: type) -> list[str]:
    methods = {name for name in vars(protocol) if not name.startswith("_")}
    return sorted(methods | set(inspect.get_annotations(protocol)))
