"""What may follow ``lm-eval:``, read from a SPEC: a backend, our own options, and the backend's model arguments."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sitkit.errors import SpecError, suggestion
from sitkit.spec import Spec, one_of, temperature, top_p

Switch = Literal["auto", "on", "off"]

_OWN: dict[str, Callable[[str], object]] = {
    "chat_template": one_of("auto", "on", "off"),
    "temperature": temperature,
    "top_p": top_p,
}

_SECRET_NAMES = re.compile(
    r"(?:^|_)(?:api_?key|key|secret|password|passwd|credentials?|headers?|authorization|auth|bearer)$"
    r"|^(?:token|(?:.*_)?(?:api|auth|access|bearer|hf|hub|secret|use_auth)_token)$",
    re.IGNORECASE,
)
_SECRET_VALUES = re.compile(
    r"^(?:sk|pk|rk)-[\w-]{8,}$|^hf_[A-Za-z0-9]{16,}$|^bearer\s|://[^/@\s]*:[^/@\s]*@", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """A backend by lm-eval's name for it, its model arguments as they were typed, and whether a chat template wraps
    prompts (auto: where the backend has one). ``temperature`` and ``top_p`` stand over what is asked for."""

    backend: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    chat_template: Switch = "auto"
    temperature: float | None = None
    top_p: float | None = None


def parse_options(spec: Spec) -> Options:
    """Read the SPEC of a teacher.

    Raises `SpecError` for an unknown backend (the nearest is suggested) and for an argument that holds a secret.
    """
    backend = spec.require_argument("a model backend of lm-eval")
    known = backends()
    if backend not in known:
        raise SpecError(f"lm-eval has no model backend {backend!r}{suggestion(backend, known)}")
    arguments = {key: value for key, value in spec.options.items() if key not in _OWN}
    for key, value in arguments.items():
        _refuse_secret(key, value)
    own = replace(spec, options={key: value for key, value in spec.options.items() if key in _OWN})
    given: dict[str, Any] = own.parse_options(_OWN)
    return Options(backend=backend, arguments=arguments, **given)


def backends() -> Iterable[str]:
    """Return the names of lm-eval's model backends; imports nothing heavy (0.1 s)."""
    # The registry is empty until this module is imported.
    import lm_eval.models  # noqa: F401
    from lm_eval.api.registry import model_registry

    return tuple(model_registry.keys())


def _refuse_secret(key: str, value: str) -> None:
    if _SECRET_NAMES.search(key) or _SECRET_VALUES.search(value):
        raise SpecError(
            f"lm-eval: {key}=… looks like a secret, which would end up in recipes and reports; give it in the"
            " environment (OPENAI_API_KEY, ANTHROPIC_API_KEY, HF_TOKEN, as the backend's own documentation says)"
        )
