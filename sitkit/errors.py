"""Every error a user can meet; each is shown as one line and ends the command with exit code 2.

SitkitError
├── UsageError            something the user typed or wrote cannot be used
│   ├── SpecError         a SPEC such as "hf:model,key=value" is malformed or has an unknown option
│   ├── UnknownNameError  no plugin provides the name; the nearest one is suggested
│   ├── SettingError      a --set key is unknown or its value is out of range
│   ├── RecipeError       a recipe (flags or YAML) does not say what can be run
│   └── RunNotFoundError  no run of that name in the workspace
├── DataError             a data file is missing, unreadable or wrong: file, line and field are named
├── ModelError            a model cannot be found, read or trained as asked
├── TeacherError          a teacher cannot answer, or too many of its answers failed
├── HubError              the Hugging Face hub cannot be reached, or does not take what is sent
├── PluginError           a plugin fails, takes a name already taken, or returns nonsense
└── StoreError            the workspace cannot be used
    ├── ArtifactError     a stored artifact does not match its manifest
    └── DiskFullError     no space left; what was finished is kept
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Iterable, Iterator


class SitkitError(Exception):
    """Anything sitkit can explain in one line: what is wrong, where, and what to do."""


class UsageError(SitkitError):
    """Something the user typed or wrote cannot be used."""


class SpecError(UsageError):
    """A SPEC such as ``hf:model,key=value`` is malformed or has an unknown option."""


class UnknownNameError(UsageError):
    """No plugin provides the name; the nearest known one is suggested."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name = kind, name
        super().__init__(f"no {kind} is called {name!r}{suggestion(name, known)}")


class SettingError(UsageError):
    """A ``--set`` key is unknown or its value is out of range."""


class RecipeError(UsageError):
    """A recipe, from flags or YAML, does not say what can be run."""


class RunNotFoundError(UsageError):
    """No run of that name in the workspace."""


class DataError(SitkitError):
    """A data file is missing, unreadable or wrong; file, line and field are named."""


class ModelError(SitkitError):
    """A model cannot be found, read or trained as asked."""


class TeacherError(SitkitError):
    """A teacher cannot answer, or too many of its answers failed."""


class HubError(SitkitError):
    """The Hugging Face hub cannot be reached, or does not take what is sent."""


class PluginError(SitkitError):
    """A plugin fails, takes a name already taken, or returns nonsense."""


class StoreError(SitkitError):
    """The workspace cannot be used."""


class ArtifactError(StoreError):
    """A stored artifact does not match its manifest."""


class DiskFullError(StoreError):
    """No space is left; everything that was finished is kept."""


@contextlib.contextmanager
def blamed(where: str, passes: Callable[[BaseException], bool] = lambda error: False) -> Iterator[None]:
    """Guard a call of a plugin's code: whatever it raises that is not for the user becomes a `PluginError` that starts
    with ``where``, such as "sitkit-dice: sitkit_after_run". Ctrl-C passes, ``sys.exit()`` does not, and what ``passes``
    holds of is not the plugin's fault.
    """
    try:
        yield
    except (SitkitError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        if passes(error):
            raise
        raise PluginError(f"{where} failed with {reason(error)}") from error


def reason(error: BaseException) -> str:
    """Return the type and the text of an exception in one line."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "(its text cannot be made)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'? known: a, b"``, to end a message about an unknown name with."""
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{hint} (known: {', '.join(names)})" if names else f"{hint} (none is installed)"
