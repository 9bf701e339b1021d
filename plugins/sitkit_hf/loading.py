"""Load a model and its tokenizer, once, and keep them: the base for training, a merged copy for generation."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sitkit.errors import ModelError
from sitkit.plugin_support import NOTICES, check_loaded, check_weights, quiet
from sitkit_hf.adapters import check_adapter, merge
from sitkit_hf.checkpoints import DISK_FULL, disk_errors
from sitkit_hf.gguf import converted, quantization
from sitkit_hf.kv_cache import is_spread
from sitkit_hf.memory import free_memory, out_of_memory
from sitkit_hf.options import Options, cpu_dtype

T = TypeVar("T")

_LOG = logging.getLogger(NOTICES)


class Models:
    """The loaded forms of one model.

    The base is what training stands on (4-bit if so asked). Generation runs on full-precision weights with the
    adapter merged in: into a copy of the base, or, where the base is 4-bit, into a 16- or 32-bit load of its own.
    """

    def __init__(self, options: Options, *, local_rank: int = 0, trained: bool = True) -> None:
        """Take the options; which of the visible GPUs to use, where several processes train; and whether it is trained.

        A model that is never trained, a teacher, answers from 4-bit weights where these are asked for.
        """
        self.options = options
        self.trained = trained
        self.local_rank = local_rank
        self._tokenizer: Any = None
        self._base: Any = None
        self._merged: Any = None
        self._merged_for: tuple[str, int, int] | None = None
        self._converted: Path | None = None

    def tokenizer(self) -> Any:
        """Return the tokenizer, padding on the left; raises `ModelError` if it cannot be loaded."""
        if self._tokenizer is None:
            from transformers import AutoTokenizer

            tokenizer = self._load(AutoTokenizer.from_pretrained)
            if tokenizer.pad_token is None:
                # Padding is masked in training and in generation, so any token does.
                tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
            tokenizer.padding_side = "left"
            self._tokenizer = tokenizer
        return self._tokenizer

    def base(self) -> Any:
        """Return the model that training stands on, frozen."""
        if self._base is None:
            self._base = self._load_model(quantized=self.quantized())
        return self._base

    def for_training(self) -> Any:
        """Return the base, with the merged copy's memory given back.

        Raises `ModelError` for one of which a part lies in this machine's memory or on disk, which cannot be trained.
        """
        self._drop_merged()
        base = self.base()
        if outside := outside_gpus(base):
            raise ModelError(
                f"{self.options.name} does not fit the GPUs that can be seen here, to be trained ({outside} of its"
                " parts lie outside): use more of them, or quantize=nf4"
            )
        return base

    def generator(self, adapter: Path | None) -> Any:
        """Return the full-precision model with the adapter merged in, kept until another one is asked for."""
        if adapter is None and not (self.quantized() and self.trained):
            return self.base().eval()
        wanted = _identity(adapter)
        if self._merged is None or self._merged_for != wanted:
            self._drop_merged()
            self._merged = self._merge(adapter)
            self._merged_for = wanted
        return self._merged

    def quantized(self) -> bool:
        """Tell whether training stands on 4-bit weights."""
        if self.options.quantize == "auto":
            return self.device().startswith("cuda")
        return self.options.quantize == "nf4"

    def device(self) -> str:
        """Return the device's name: "cpu", "cuda:0" or "mps". Raises `ModelError` if it is not there."""
        import torch

        if self.options.device == "cpu":
            return "cpu"
        if self.options.device == "mps":
            if not torch.backends.mps.is_available():
                raise ModelError("device=mps: no GPU of Apple's is available here; use device=cpu")
            return "mps"
        if torch.cuda.is_available():
            return f"cuda:{self.local_rank}"
        if self.options.device == "cuda":
            raise ModelError("device=cuda: no CUDA device is available here; use device=cpu")
        return "cpu"

    def dtype(self) -> Any:
        """Return the torch dtype of the full-precision weights and of 4-bit computation."""
        import torch

        name = self.options.dtype
        if name == "auto":
            name = "bfloat16" if self.device().startswith("cuda") else cpu_dtype(self.options)
        return getattr(torch, name)

    def place(self) -> str:
        """Return what transformers loads the model from: a folder, that of a GGUF's safetensors too, or the hub id."""
        gguf = self.options.gguf
        if gguf is None:
            return self.options.model
        if self._converted is None:
            # Loaded before `quiet`, which then keeps its bars away.
            import transformers  # noqa: F401

            self._converted = self._guarded(lambda: converted(gguf))
        return str(self._converted)

    def quantization(self) -> str:
        """Return how the weights of a GGUF are quantised in the file, as in "Q4_1"; nothing where they are not."""
        return "" if self.options.gguf is None else quantization(Path(self.place()))

    def folder(self) -> str:
        """Return the local folder of the model's files; for a hub id, its snapshot in the hub's cache."""
        if self.options.folder is not None:
            return self.place()
        from transformers.utils import cached_file

        return str(Path(cached_file(self.options.model, "config.json", revision=self.options.revision)).parent)

    def close(self) -> None:
        """Free everything."""
        loaded = self._base is not None or self._merged is not None
        self._drop_merged()
        self._base = self._tokenizer = None
        # A run that found everything stored has loaded nothing, and must not import torch to free it.
        if loaded:
            free_memory()

    def _merge(self, adapter: Path | None) -> Any:
        try:
            # The hooks of a spread model belong to its own modules: a copy would answer from the original's.
            again = self.quantized() or self.options.device_map == "auto"
            model = self._load_model(quantized=False) if again else copy.deepcopy(self.base())
            if adapter is None:
                return model.eval()
            return merge(model, adapter).eval()
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise ModelError(
                f"{self.options.name} does not fit into memory a second time, for generation with the adapter merged in"
            ) from error

    def _drop_merged(self) -> None:
        if self._merged is not None:
            self._merged = self._merged_for = None
            free_memory()

    def _load_model(self, *, quantized: bool) -> Any:
        from transformers import AutoModelForCausalLM, BitsAndBytesConfig

        extra: dict[str, Any] = {}
        options = self.options
        if quantized:
            # Loading in 4 bits, transformers takes weights of any shape.
            import transformers

            check_weights(
                transformers,
                self.place(),
                options.name,
                revision=options.revision,
                trust_remote_code=options.trust_remote_code,
            )
            # QLoRA (Dettmers et al. 2023): normal float, double quantisation.
            extra["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=self.dtype(),
            )
            extra["device_map"] = {"": self.device()}
        if options.device_map == "auto":
            extra |= spread_options()
        model, loaded = self._load(
            AutoModelForCausalLM.from_pretrained,
            dtype=self.dtype(),
            use_safetensors=True,
            # Weights that do not fit are an error all the same, but one that names them.
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **extra,
        )
        check_loaded(options.name, loaded)
        if at_rest := self.quantization():
            _LOG.warning(
                "the weights of %s are quantised in the file (%s): scores are not those of the model it was made from",
                options.name,
                at_rest,
            )
        if quantized:
            keep_differentiable(model)
        elif options.device_map == "none":
            model.to(self.device())
        if outside := outside_gpus(model):
            _LOG.warning(
                "%s does not fit the GPUs that can be seen here: %d of its parts lie in this machine's memory or on"
                " disk, and are brought over for every token, which is slow",
                options.name,
                outside,
            )
        return model.requires_grad_(False).eval()

    def _load(self, load: Any, **extra: Any) -> Any:
        place, options = self.place(), self.options
        return self._guarded(
            lambda: load(place, revision=options.revision, trust_remote_code=options.trust_remote_code, **extra)
        )

    def _guarded(self, load: Callable[[], T]) -> T:
        from safetensors import SafetensorError

        try:
            with quiet(), disk_errors():
                return load()
        except OSError as error:
            if error.errno in DISK_FULL:
                raise
            raise ModelError(self._reason(error)) from error
        except (RuntimeError, MemoryError) as error:
            if out_of_memory(error):
                raise ModelError(f"{self.options.name} does not fit into the memory of {self.device()}") from error
            raise ModelError(self._reason(error)) from error
        except (ValueError, KeyError, ImportError, SafetensorError) as error:
            raise ModelError(self._reason(error)) from error

    def _reason(self, error: Exception) -> str:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"cannot load {self.options.gguf or self.options.model}: {lines[0] if lines else type(error).__name__}"


def spread_options() -> dict[str, Any]:
    """Return what spreads a model while it is loaded: over all GPUs that can be seen, layer by layer (accelerate)."""
    return {"device_map": "auto"}


def outside_gpus(model: Any) -> int:
    """Return how many parts of a spread model lie on no GPU although others do, or on disk."""
    return sum(place in ("cpu", "disk") for place in model.hf_device_map.values()) if is_spread(model) else 0


def keep_differentiable(model: Any) -> None:
    """Keep bitsandbytes' 4-bit layers on their differentiable path on CPUs with AVX512-BF16.

    There the first forward in evaluation repacks the weights, and training afterwards goes through an operator
    without a right gradient (bitsandbytes 0.50.2).
    """
    for module in model.modules():
        if type(module).__name__ == "Linear4bit":
            module.support_avx512bf16_for_cpu = False


def _identity(adapter: Path | None) -> tuple[str, int, int]:
    if adapter is None:
        return "", 0, 0
    check_adapter(adapter)
    status = (adapter / "adapter_model.safetensors").stat()
    return str(adapter.absolute()), status.st_size, status.st_mtime_ns
