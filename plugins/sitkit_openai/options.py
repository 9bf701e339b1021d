"""What may follow ``openai:``, read from a SPEC."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from sitkit.errors import SpecError
from sitkit.spec import Spec, boolean, number, one_of, temperature, top_p
from sitkit.types import Json

OPENAI = "https://api.openai.com/v1"

PROVIDERS: dict[str, dict[str, Any]] = {
    "anthropic": {"base_url": "https://api.anthropic.com/v1", "key_env": "ANTHROPIC_API_KEY", "seed": False},
    "deepseek": {"base_url": "https://api.deepseek.com/v1", "key_env": "DEEPSEEK_API_KEY"},
    "google": {
        "base_url": "https://generativelanguage.googleapis.com/v1beta/openai",
        "key_env": "GEMINI_API_KEY",
        "seed": False,
    },
    "groq": {"base_url": "https://api.groq.com/openai/v1", "key_env": "GROQ_API_KEY"},
    "mistral": {"base_url": "https://api.mistral.ai/v1", "key_env": "MISTRAL_API_KEY", "seed": False},
    "openrouter": {"base_url": "https://openrouter.ai/api/v1", "key_env": "OPENROUTER_API_KEY"},
    "together": {"base_url": "https://api.together.xyz/v1", "key_env": "TOGETHER_API_KEY"},
    "xai": {"base_url": "https://api.x.ai/v1", "key_env": "XAI_API_KEY"},
}
"""What ``provider=`` stands for: options that hold where the SPEC gives no others. docs/teachers.md has the sources."""

_NOT_TAKEN = {"anthropic": ("seed", "reasoning_effort", "batch"), "google": ("batch",)}
"""Options that a provider ignores in silence, or has nothing for behind this protocol."""

LengthField = Literal["auto", "max_tokens", "max_completion_tokens"]

_NOT_EXTRA = ("messages", "model", "stream", "n", "temperature", "max_tokens", "max_completion_tokens", "seed", "stop")


@dataclass(frozen=True, kw_only=True)
class Options:
    """A model behind an endpoint and how to ask it; times in seconds, prices in US dollars per million tokens.

    ``backoff`` is the first wait before a retry, which doubles from one to the next; ``poll`` the time between two
    looks at a batch; ``url_of_environment``: the base URL came from OPENAI_BASE_URL; ``price_in`` and ``price_out``
    are None where the user gave none. ``temperature`` and ``top_p`` stand over what is asked for, where they are given.
    """

    model: str
    base_url: str = OPENAI
    url_of_environment: bool = False
    key_env: str = "OPENAI_API_KEY"
    concurrency: int = 16
    retries: int = 6
    backoff: float = 1.0
    timeout: float = 600.0
    system: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    reasoning_effort: str | None = None
    length_field: LengthField = "auto"
    seed: bool = True
    stop: bool = False
    extra_body: Json = None
    price_in: float | None = None
    price_out: float | None = None
    batch: bool = False
    poll: float = 60.0

    @property
    def host(self) -> str:
        """The endpoint's host, in lower case."""
        return urlsplit(self.base_url).hostname or ""

    @property
    def is_openai(self) -> bool:
        """Whether the endpoint is OpenAI's own, whose prices and parameters are known."""
        return self.host == "api.openai.com" or self.host.endswith(".api.openai.com")

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is on this machine, where none of the usual servers asks for a key."""
        return self.host in ("localhost", "0.0.0.0", "::1") or self.host.startswith("127.")

    @property
    def max_tokens_field(self) -> str:
        """The request's field for the longest answer: OpenAI's newer models refuse ``max_tokens``, others know it."""
        if self.length_field != "auto":
            return self.length_field
        return "max_completion_tokens" if self.is_openai else "max_tokens"

    def fingerprint(self) -> Json:
        """Return what determines the answers, as plain data; never a secret, for a URL may hold none."""
        asked = {
            "system": self.system,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "reasoning_effort": self.reasoning_effort,
            "extra_body": self.extra_body,
            "stop": self.stop or None,
        }
        return {
            "model": self.model,
            "base_url": self.base_url,
            "seed": self.seed,
            **{key: value for key, value in asked.items() if value is not None},
        }


def parse_options(spec: Spec) -> Options:
    """Read the SPEC. Raises `SpecError` for a malformed one, without repeating what may be a secret."""
    model = spec.require_argument("a model's name")
    _refuse_secrets(spec)
    given: dict[str, Any] = spec.parse_options(
        {
            "provider": one_of(*PROVIDERS),
            "base_url": _base_url,
            "key_env": _text,
            "concurrency": _count(1, 1024),
            "retries": _count(0, 1000),
            "backoff": number(above=0),
            "timeout": number(above=0),
            "system": _text,
            "temperature": temperature,
            "top_p": top_p,
            "reasoning_effort": _text,
            "length_field": one_of("auto", "max_tokens", "max_completion_tokens"),
            "seed": boolean,
            "stop": boolean,
            "extra_body": _extra_body,
            "price_in": number(low=0),
            "price_out": number(low=0),
            "batch": boolean,
            "poll": number(above=0),
        }
    )
    if ("price_in" in given) != ("price_out" in given):
        raise SpecError("openai: price_in= and price_out= belong together (US dollars per million tokens)")
    if provider := given.pop("provider", None):
        for name in _NOT_TAKEN.get(provider, ()):
            if given.get(name):
                raise SpecError(f"openai: provider={provider} takes no {name}=; leave it out")
        given = PROVIDERS[provider] | given
    if "base_url" not in given and (found := os.environ.get("OPENAI_BASE_URL", "").strip()):
        given |= {"base_url": _environment_url(found), "url_of_environment": True}
    return Options(model=model, **given)


def _refuse_secrets(spec: Spec) -> None:
    # Before the options are read, because a message about one shows its value; SPECs are in every recipe and report.
    for name in ("api_key", "key", "token"):
        if name in spec.options:
            raise SpecError(
                f"openai: {name}= is not accepted, because a SPEC is written into recipes and reports: put the"
                " key into the environment variable OPENAI_API_KEY, or name another with key_env=NAME"
            )
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,63}", spec.options.get("key_env", "OPENAI_API_KEY")):
        raise SpecError("openai: key_env= takes the name of an environment variable, in capitals, not the key itself")
    if "base_url" in spec.options and _has_secret_parts(spec.options["base_url"]):
        raise SpecError(
            "openai: base_url= must not hold a user, a password, a query or a fragment, because it is written into"
            " recipes and reports: a key belongs in the environment variable OPENAI_API_KEY (or key_env=NAME)"
        )


def _has_secret_parts(text: str) -> bool:
    return any(mark in text for mark in "@?#")


def _base_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError("expected a URL such as http://localhost:8000/v1") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or re.search(r"\s", text):
        raise ValueError("expected a URL such as http://localhost:8000/v1")
    return text.rstrip("/")


def _environment_url(text: str) -> str:
    # The client takes it from there as it is; what is shown and stored leaves out what may be secret.
    try:
        parts = urlsplit(text)
        place = parts.netloc.rpartition("@")[2]
        return _base_url(urlunsplit((parts.scheme, place, parts.path, "", "")))
    except ValueError as error:
        raise SpecError("the environment variable OPENAI_BASE_URL is not a valid URL") from error


def _text(text: str) -> str:
    if not text:
        raise ValueError("expected a value")
    return text


def _count(low: int, high: int) -> Any:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return int(text)

    return read


def _extra_body(text: str) -> Json:
    expected = 'expected a JSON object such as {"top_k":20}'
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(expected) from error
    if not isinstance(found, dict) or not found:
        raise ValueError(expected)
    for name in _NOT_EXTRA:
        if name in found:
            raise ValueError(f"{name} is set by sitkit")
    return found
