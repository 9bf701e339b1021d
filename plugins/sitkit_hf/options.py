"""What may follow ``hf:``, read from a SPEC. Imports nothing heavy."""

from __future__ import annotations

import ctypes
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sitkit.errors import ModelError, SpecError
from sitkit.spec import Spec, boolean, one_of, temperature, top_p

Quantize = Literal["auto", "nf4", "none"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Switch = Literal["auto", "on", "off"]
DeviceMap = Literal["none", "auto"]

BFLOAT16_PARAMETERS = 50_000_000
"""With fewer parameters a model runs in float32 on any CPU: it is quick as it is, and exact."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """A model and how to run it.

    ``model`` is a hub id, or the absolute path of ``folder`` where it lies here; of that folder ``gguf`` is the one
    file that is read, where it is given. ``quantize`` and ``dtype`` "auto" mean nf4 and bfloat16 on CUDA; on a CPU
    none, and what `cpu_dtype` says. ``device_map`` "auto" spreads the layers over all visible GPUs, by accelerate.
    ``batch_size`` is that of generation; 0 adapts it to the memory there is.
    ``thinking`` lets a template that can think do so; after ``thinking_tokens`` of a student's answer (0: never) the
    thinking is ended for it. ``temperature`` and ``top_p`` stand over what is asked for: these are for teachers.
    ``recommended`` is read in place of the folder's sitkit.json.
    """

    model: str
    folder: Path | None = None
    gguf: Path | None = None
    quantize: Quantize = "auto"
    dtype: Dtype = "auto"
    revision: str | None = None
    chat_template: Switch = "auto"
    trust_remote_code: bool = False
    device: str = "auto"
    device_map: DeviceMap = "none"
    batch_size: int = 0
    system: str | None = None
    thinking: bool = False
    thinking_tokens: int = 0
    temperature: float | None = None
    top_p: float | None = None
    recommended: Path | None = None

    @property
    def name(self) -> str:
        """The model's name without anybody's path: the hub id, or the GGUF's or the folder's own name."""
        place = self.gguf or self.folder
        return self.model if place is None else place.name


def parse_options(spec: Spec) -> Options:
    """Read the SPEC of a student or a teacher.

    Raises `SpecError` for a malformed one and `ModelError` where a path holds no model.
    """
    model = spec.require_argument("a model folder or a hub id")
    given: dict[str, Any] = spec.parse_options(
        {
            "quantize": one_of("auto", "nf4", "none"),
            "dtype": one_of("auto", "float32", "bfloat16", "float16"),
            "revision": _text,
            "gguf": _gguf,
            "chat_template": one_of("auto", "on", "off"),
            "trust_remote_code": boolean,
            "device": _device,
            "device_map": one_of("none", "auto"),
            "batch_size": _batch_size,
            "system": _text,
            "thinking": boolean,
            "thinking_tokens": _thinking_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "recommended": _path,
        }
    )
    folder = _folder(model)
    if folder is not None:
        if "gguf" in given:
            given["gguf"] = folder / given["gguf"]
            check_gguf(given["gguf"])
        else:
            check_model_folder(folder)
        model = str(folder)
    elif "gguf" in given:
        raise SpecError(f"gguf= names a file in a folder, and {model!r} is not a folder")
    elif not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", model):
        raise SpecError(f"{model!r} is neither a folder nor a hub id (org/name)")
    if given.get("device") == "mps" and given.get("quantize") == "nf4":
        raise SpecError("quantize=nf4: bitsandbytes does not run on Apple's GPU; use quantize=none, or device=cpu")
    if given.get("device_map") == "auto" and given.get("device") in ("cpu", "mps"):
        raise SpecError(f"device_map=auto spreads a model over CUDA GPUs; leave device={given['device']} out")
    if given.get("system") and given.get("chat_template") == "off":
        raise SpecError("system= needs a chat template, and chat_template=off leaves it out")
    if given.get("thinking") and given.get("chat_template") == "off":
        raise SpecError("thinking= needs a chat template, and chat_template=off leaves it out")
    if given.get("thinking_tokens") and not given.get("thinking"):
        raise SpecError("thinking_tokens= limits what is thought, so it needs thinking=true")
    return Options(model=model, folder=folder, **given)


def _folder(model: str) -> Path | None:
    path = Path(model).expanduser() if model.startswith("~") else Path(model)
    if model.startswith(("./", "../", "/", "~")) or model in (".", "..") or path.is_dir():
        return path.absolute()
    return None


def check_model_folder(folder: Path) -> None:
    """Raise `ModelError` unless the folder holds a config.json and weights as safetensors."""
    if not folder.is_dir():
        raise ModelError(f"{folder} is not a folder: expected a model folder with config.json and *.safetensors")
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise ModelError(f"{folder} holds an adapter, not a model: merge it first (sitkit export --merge)")
        raise ModelError(f"{folder} is not a model folder: it has no config.json{_ggufs(folder)}")
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{folder} has no *.safetensors weights (pickled weights are not read): save it with save_pretrained"
            f"{_ggufs(folder)}"
        )


def check_gguf(path: Path) -> None:
    """Raise `ModelError` unless the file is there and begins as GGUF files do."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}{_ggufs(path.parent)}") from error
    if magic != b"GGUF":
        raise ModelError(f"{path} is not a GGUF file")


def _ggufs(folder: Path) -> str:
    """What to do about GGUF files that lie in the folder, if any do, as the end of a message."""
    names = sorted(path.name for path in folder.glob("*.gguf"))
    return f"; gguf=FILE reads one of its GGUF files: {', '.join(names)}" if names else ""


def _gguf(text: str) -> str:
    if Path(text).name != text or not text.endswith(".gguf"):
        raise ValueError("expected the name of a *.gguf file in the folder")
    return text


def _path(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_file():
        raise ValueError("expected a file such as sitkit.json")
    return path.absolute()


def _text(text: str) -> str:
    if not text:
        raise ValueError("expected a value")
    return text


def _device(text: str) -> str:
    if text not in ("auto", "cpu", "cuda", "mps"):
        raise ValueError("expected auto, cpu, cuda (CUDA_VISIBLE_DEVICES picks which) or mps (Apple's GPU)")
    return text


def _thinking_tokens(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("expected a whole number of tokens, 0 for no limit")
    return int(text)


def _batch_size(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("expected a whole number, 0 for a size that adapts to memory")
    return int(text)


def cpu_dtype(options: Options) -> Dtype:
    """Return what dtype "auto" is on this machine's CPU.

    bfloat16 where the CPU multiplies it itself and the model is large; else float32. What is not a folder of
    safetensors counts as large: a hub id may not have been downloaded yet, and must not change its dtype once it is.
    """
    return "bfloat16" if has_bfloat16() and _is_large(options) else "float32"


def _is_large(options: Options) -> bool:
    return options.folder is None or options.gguf is not None or count_parameters(options.folder) >= BFLOAT16_PARAMETERS


def count_parameters(folder: Path) -> int:
    """Count the parameters from the headers of the weight files; 0 where one cannot be read, which loading will say."""
    from safetensors import SafetensorError, safe_open

    try:
        count = 0
        for path in folder.glob("*.safetensors"):
            with safe_open(path, framework="np") as file:
                count += sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118
    except (OSError, SafetensorError):
        return 0
    return count


def has_bfloat16() -> bool:
    """Tell whether the CPU multiplies bfloat16 itself (AVX512-BF16, AMX), from what Linux says of it.

    torch knows by itself, but importing it takes seconds. Elsewhere than on Linux no CPU is known to.
    """
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags.split())


def has_cuda() -> bool:
    """Tell whether a CUDA device can be used, as torch would, by asking the driver: importing torch takes seconds."""
    return bool(cuda_memory())


def cuda_memory() -> tuple[int, ...]:
    """Return the bytes of memory of each CUDA device that can be used here, as the driver says."""
    try:
        driver = ctypes.CDLL("libcuda.so.1" if sys.platform != "win32" else "nvcuda.dll")
        count, found = ctypes.c_int(), list[int]()
        if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
            return ()
        for number in range(count.value):
            device, size = ctypes.c_int(), ctypes.c_size_t()
            if driver.cuDeviceGet(ctypes.byref(device), number) == 0:
                driver.cuDeviceTotalMem_v2(ctypes.byref(size), device)
            found.append(size.value)
        return tuple(found)
    except (OSError, AttributeError):
        return ()


def gpu_memory(options: Options) -> tuple[int, ...]:
    """Return the bytes of each GPU that the model would run on: those of CUDA, unless it is to run elsewhere."""
    return cuda_memory() if options.device in ("auto", "cuda") else ()
