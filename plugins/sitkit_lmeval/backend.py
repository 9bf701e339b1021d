"""Make a model backend of lm-eval from its arguments, and prompts in the form it takes; or say in one line why not."""

from __future__ import annotations

import inspect
import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sitkit.errors import ModelError, TeacherError
from sitkit.plugin_support import check_weights, quiet
from sitkit_lmeval.options import Options

_OTHER_WEIGHTS = ("gguf_file", "autogptq", "gptqmodel", "delta", "subfolder")
"""Arguments with which lm-eval loads something else than the plain weights of ``pretrained``."""

_UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")
_MISSING = re.compile(r"missing \d+ required (?:positional|keyword-only) arguments?: '(\w+)'")
_SECRET_VARIABLE = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)


def make_backend(options: Options) -> Any:
    """Return lm-eval's `LM`. Raises `TeacherError` if it cannot be made, naming the argument that is wrong if one is.

    Values are read as lm-eval reads ``--model_args``: 8 is a number, true a boolean, '8' in quotes text.
    """
    from lm_eval.api.registry import model_registry
    from lm_eval.utils import handle_arg_string

    arguments = {key: handle_arg_string(value) for key, value in options.arguments.items()}
    with quiet(streams=True):
        try:
            kind = model_registry.get(options.backend)
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                model = kind.create_from_arg_obj({**_defaults(kind, arguments), **arguments})
        except ImportError as error:
            raise TeacherError(
                f"lm-eval's {options.backend} needs a package that is not installed: {one_line(error)}"
            ) from error
        except TypeError as error:
            raise TeacherError(_wrong_argument(options, kind, error)) from error
        except Exception as error:
            raise TeacherError(f"lm-eval cannot make its {options.backend} model: {one_line(error)}") from error
    _check_weights(kind, arguments, told)
    return model


def _check_weights(kind: Any, arguments: Mapping[str, Any], told: Sequence[warnings.WarningMessage]) -> None:
    """Raise `TeacherError` where lm-eval's transformers backend filled in weights that the files do not have.

    It keeps to itself what from_pretrained could not load, so that is found out again, and PEFT only warns.
    """
    for warning in told:
        if "missing adapter keys" in str(warning.message):
            raise TeacherError(
                f"lm-eval's adapter does not fit its model: {' '.join(str(warning.message).split())[:500]}"
            )
    plain = isinstance(arguments.get("pretrained"), str) and not any(arguments.get(name) for name in _OTHER_WEIGHTS)
    if not plain or not any(base.__name__ == "HFLM" for base in inspect.getmro(kind)):
        return
    import transformers

    try:
        check_weights(
            transformers,
            arguments["pretrained"],
            Path(arguments["pretrained"]).name if Path(arguments["pretrained"]).is_dir() else arguments["pretrained"],
            revision=arguments.get("revision"),
            trust_remote_code=bool(arguments.get("trust_remote_code")),
        )
    except ModelError as error:
        raise TeacherError(str(error)) from error


def one_line(error: BaseException) -> str:
    """Return the error's text on one line, without the secrets that the environment holds."""
    text = " ".join(str(error).split()) or type(error).__name__
    for name, value in os.environ.items():
        if len(value) >= 8 and _SECRET_VARIABLE.search(name):
            text = text.replace(value, f"${name}")
    return text if len(text) <= 500 else f"{text[:500]}…"


def _defaults(kind: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    # lm-eval's hf insists on a GPU unless it is told otherwise.
    if "device" in arguments or _parameters(kind).get("device") != "cuda":
        return {}
    import torch

    return {} if torch.cuda.is_available() else {"device": "cpu"}


def _parameters(kind: Any) -> dict[str, Any]:
    return {
        name: parameter.default
        for base in inspect.getmro(kind)
        if "__init__" in vars(base) and base is not object
        for name, parameter in inspect.signature(vars(base)["__init__"]).parameters.items()
        if name != "self" and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }


def _wrong_argument(options: Options, kind: Any, error: TypeError) -> str:
    unexpected, missing = _UNEXPECTED.search(str(error)), _MISSING.search(str(error))
    if unexpected and unexpected[1] in options.arguments:
        names = sorted(_parameters(kind))
        near = get_close_matches(unexpected[1], names, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(names)}"
        return f"lm-eval's {options.backend} takes no argument {unexpected[1]!r}; {hint}"
    if missing:
        return f"lm-eval's {options.backend} needs {missing[1]}=…: lm-eval:{options.backend},{missing[1]}=…"
    return f"lm-eval cannot make its {options.backend} model: {one_line(error)}"


def render(model: Any, options: Options) -> Callable[[str], Any]:
    """Return the function that makes a prompt what the backend takes.

    Raises `TeacherError` where the template asked for is not there, or the one that is there cannot be left out.
    """
    messages_only = any("Chat" in kind.__name__ for kind in type(model).__mro__)
    if options.chat_template == "off":
        if messages_only:
            raise TeacherError(f"chat_template=off: lm-eval's {options.backend} takes chat messages only")
        return lambda prompt: prompt
    if not messages_only and not _has_template(model, options):
        if options.chat_template == "on":
            raise TeacherError(f"chat_template=on, but lm-eval's {options.backend} has no chat template here")
        return lambda prompt: prompt
    return lambda prompt: model.apply_chat_template([{"role": "user", "content": prompt}])


def _has_template(model: Any, options: Options) -> bool:
    try:
        return bool(model.chat_template(True))
    except ValueError as error:
        raise TeacherError(f"lm-eval's {options.backend}: {one_line(error)}") from error
