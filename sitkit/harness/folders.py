"""Where lm-eval tasks lie, and whether their files can be read; nothing of lm-eval is loaded."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

from sitkit.errors import PluginError, RecipeError
from sitkit.strict_yaml import LinedDict, load_yaml


def tasks_dir() -> Path:
    """Return the folder for lm-eval's ``--include_path``: the installed package's own, else the checkout's.

    Raises `PluginError` if neither is there.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "tasks", package.parent / "tasks"):
        if folder.is_dir():
            return folder
    raise PluginError(
        f"sitkit's lm-eval tasks are missing: looked in {package / 'tasks'} and {package.parent / 'tasks'}"
    )


def read_task_file(path: Path, including: tuple[Path, ...] = ()) -> LinedDict:
    """Return a task's YAML with what it includes laid below it, functions by name alone: nothing is imported.

    Raises `PluginError` naming file, line and the parser's reason.
    """
    found, whole, names = _read(path), LinedDict(), list[object]()
    if (given := found.get("include")) is not None:
        names = given if isinstance(given, list) else [given]
    for name in names:
        file = path.parent / str(name)
        if file.resolve() in including:
            raise PluginError(f"{path}, line {found.lines['include']}: includes {file}, which includes it")
        try:
            whole.update(read_task_file(file, (*including, path.resolve())))
        except PluginError as error:
            raise PluginError(f"{path}, line {found.lines['include']}: includes {error}") from error
    whole.update(found)
    whole.pop("include", None)
    return whole


def task_files(folder: Path) -> list[Path]:
    """Return the files of a folder that lm-eval reads, in its order."""
    return sorted(path for path in folder.rglob("*.yaml") if "__pycache__" not in path.parts)


def task_inputs(folder: Path) -> list[Path]:
    """Return the files of a folder that tasks may consist of: YAML, what it includes, code, and data."""
    read = (".yaml", ".inc", ".py", ".json", ".jsonl", ".txt", ".csv")
    return sorted(path for path in folder.rglob("*") if path.suffix in read and path.is_file())


def find_task(task: str, folders: Sequence[Path]) -> tuple[Path, LinedDict] | None:
    """Return the file that lm-eval takes for a task of that name, as `read_task_file` reads it; None if there is none.

    Of two in one folder it is the first, of two folders the last; a file that cannot be read is passed over.
    """
    for folder in reversed(folders):
        for path in task_files(folder):
            with contextlib.suppress(PluginError):
                found = read_task_file(path)
                if found.get("group", found.get("task")) == task:
                    return path, found
    return None


def broken_files(folder: Path) -> Iterator[str]:
    """Yield a sentence for each task file of a folder that lm-eval would pass over or load only half."""
    tasks: dict[str, Path] = {}
    for path in task_files(folder):
        try:
            found = read_task_file(path)
        except PluginError as error:
            yield str(error)
            continue
        name = found.get("task") if "group" not in found else found["group"]
        if not isinstance(name, str) or not name:
            yield f"{path}: it names no task and no group"
        elif name in tasks:
            yield f"{path}: {tasks[name]} names {name!r} as well, and lm-eval takes that one"
        else:
            tasks[name] = path


def not_found(task: str, folders: Sequence[Path]) -> str:
    """Return why lm-eval finds no task of that name: where it looked, and the first of the files it cannot read."""
    searched = ", ".join(str(folder) for folder in folders) or "any folder: its plugin names none"
    broken = [text for folder in folders for text in broken_files(folder)]
    return f"lm-eval finds no task {task!r} in {searched}" + (f"; {broken[0]}" if broken else "")


def _read(path: Path) -> LinedDict:
    try:
        state = path.stat()
        return _parsed(path, state.st_mtime_ns, state.st_size)
    except RecipeError as error:
        raise PluginError(str(error)) from error
    except UnicodeDecodeError as error:
        raise PluginError(f"{path}: is not UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise PluginError(f"{path}: cannot be read ({error.strerror})") from error


@functools.lru_cache(maxsize=1024)
def _parsed(path: Path, changed: int, size: int) -> LinedDict:
    """The file as it is: most of a folder's files include the same few."""
    return load_yaml(path.read_text(encoding="utf-8"), str(path), functions=True)
