"""What may follow ``vllm:``: the options of ``hf:``, which stand for the same here, and a few of the engine's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from sitkit.spec import Spec, boolean, number, temperature, top_p

T = TypeVar("T")


HF: Mapping[str, Callable[[str], object]] = dict.fromkeys(
    (
        "quantize",
        "dtype",
        "revision",
        "chat_template",
        "trust_remote_code",
        "device",
        "device_map",
        "batch_size",
        "system",
        "thinking",
        "temperature",
        "top_p",
    ),
    str,
)
"""Options that go to ``hf:`` as they are, which reads them. Those that change prompts or weights are followed here too,
so an option that ``hf:`` gains later is refused until it is."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """A model and how vLLM runs it.

    ``model`` is a hub id or an absolute path. ``engine`` holds what is handed to `vllm.LLM` beside what follows from
    the other fields. Weights are 16-bit unless ``dtype`` says otherwise; ``chat_template`` is "auto", "on" or "off".
    """

    model: str
    revision: str | None = None
    dtype: str = "bfloat16"
    chat_template: str = "auto"
    system: str | None = None
    thinking: bool = False
    temperature: float | None = None
    top_p: float | None = None
    trust_remote_code: bool = False
    engine: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The model's name without anybody's path."""
        return Path(self.model).name if Path(self.model).is_absolute() else self.model


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ValueError("expected a whole number above 0")
    return int(text)


ENGINE: Mapping[str, Callable[[str], object]] = {
    "gpu_memory_utilization": number(above=0, high=1),
    "tensor_parallel_size": _count,
    "max_model_len": _count,
    "max_num_seqs": _count,
    "enforce_eager": boolean,
}
"""Options that `vllm.LLM` takes under the same names; its documentation says what they do."""


def read(spec: Spec, make_hf: Callable[[Spec], T]) -> tuple[T, Options]:
    """Return what ``make_hf`` makes of the options that ``hf:`` knows, and the options for the engine.

    Raises `SpecError` for a malformed SPEC or an unknown option, and what ``make_hf`` raises.
    """
    model = spec.require_argument("a model folder or a hub id")
    parsed = spec.parse_options({**HF, **ENGINE})
    plain = {key: value for key, value in spec.options.items() if key in HF}
    hf = make_hf(Spec("hf", model, plain))
    dtype = plain.get("dtype", "auto")
    return hf, Options(
        model=_path(model),
        revision=plain.get("revision"),
        dtype="bfloat16" if dtype == "auto" else dtype,
        chat_template=plain.get("chat_template", "auto"),
        system=plain.get("system"),
        thinking=boolean(plain.get("thinking", "no")),
        temperature=temperature(plain["temperature"]) if "temperature" in plain else None,
        top_p=top_p(plain["top_p"]) if "top_p" in plain else None,
        trust_remote_code=boolean(plain.get("trust_remote_code", "no")),
        engine={key: value for key, value in parsed.items() if key in ENGINE},
    )


def _path(model: str) -> str:
    path = Path(model).expanduser()
    return str(path.absolute()) if path.is_dir() else model
