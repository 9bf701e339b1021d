"""How large a model is and what it takes on a GPU, from its config and the headers of its weights. Imports little.

The rates are those of an H100 in docs/speed.md, by the share of the card's rate in NVIDIA's data sheet; what has not
been measured says so. `tests/sitkit_hf/test_hf_footprint.py` holds the memory against the peaks measured there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sitkit.capabilities import Footprint, Training
from sitkit.settings import ExploreSettings, OptimizerSettings, Settings, TrainSettings
from sitkit_hf.gguf import converted_folder
from sitkit_hf.kv_cache import ROOM
from sitkit_hf.memory import first_guess
from sitkit_hf.options import Options, count_parameters

OVERHEAD = 1.0e9
"""CUDA's context and what lies between blocks; a round figure, not measured."""

NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes of a weight: four bits, a scale of 8 bits for 64 of them, one of 32 for 256 of these (Dettmers et al. 2023)."""

LAYER = 8
"""Numbers that a token keeps in a layer for the way back, by (width + feed-forward width): Llama-2-7b without
checkpointing takes (39.3 - 7.2) GB for 8 x 512 tokens in 32 layers, SmolLM2-135M 8.6 GB for 16 x 512 in 30."""

TRAINED = {False: 0.277, True: 0.211}
"""Share of 989 TFLOP/s by checkpointing: Llama-2-7b, 10,362 and 7,889 tokens a second, 4 operations a weight each."""

LAYER_SECONDS = 0.0088
"""Of a pass forward and back, however few tokens it has: SmolLM2-135M took 0.265 s for its 30 layers."""

ANSWERED, BANDWIDTH, STEP_SECONDS = 0.4, 0.2, 0.001
"""The share of the rate in reading prompts and of the bandwidth in writing, and seconds a layer takes at least for each
token written, which is about what starting its kernels from Python costs. The second is from one look at Llama-2-7b on
an H200, 256 rows at once: 12.2 s (the first turn on a cold card) for what this counts as 9.7; the rest is assumed."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A decoder as its config.json has it: ``width`` and ``inner`` (feed-forward) of its ``layers``, heads and their
    width, the vocabulary, whether the output layer is the embedding (``tied``), and of a mixture how many experts
    there are and how many a token goes through."""

    width: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    head_width: int
    words: int
    tied: bool = False
    experts: int = 1
    chosen: int = 1

    @property
    def attention(self) -> int:
        """The weights of a layer's attention."""
        return 2 * self.width * self.head_width * (self.heads + self.key_heads)

    @property
    def feed_forward(self) -> int:
        """The weights of one expert: gate, up and down."""
        return 3 * self.width * self.inner

    @property
    def embeddings(self) -> int:
        """The weights of the embedding, and of the output layer where it is another."""
        return self.words * self.width * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """All parameters; biases, which most of these models do not have, are left out."""
        router = self.width * self.experts if self.experts > 1 else 0
        layer = self.attention + self.experts * self.feed_forward + router + 2 * self.width
        return self.layers * layer + self.embeddings + self.width

    @property
    def used(self) -> int:
        """The weights that a token is multiplied with."""
        return self.layers * (self.attention + self.chosen * self.feed_forward) + self.words * self.width

    @property
    def linear(self) -> int:
        """The weights that nf4 holds in 4 bits and LoRA adapts: linear layers, which experts of a mixture are not."""
        return self.layers * (self.attention + (self.feed_forward if self.experts == 1 else 0))

    def adapter(self, rank: int) -> int:
        """Return the parameters of a LoRA adapter on every linear layer: a rank's rows in and out of each."""
        heads, keys = self.heads * self.head_width, self.key_heads * self.head_width
        ends = 2 * (self.width + heads) + 2 * (self.width + keys)
        if self.experts == 1:
            ends += 3 * (self.width + self.inner)
        return rank * self.layers * ends


def _llama(width: int, inner: int, layers: int, heads: int, key_heads: int, **more: Any) -> Shape:
    return Shape(
        width=width,
        inner=inner,
        layers=layers,
        heads=heads,
        key_heads=key_heads,
        head_width=width // heads,
        words=32000,
        **more,
    )


# The models of the paper, as the config.json of each on the hub has them.
PAPER: Mapping[str, Shape] = {
    "meta-llama/Llama-2-7b-chat-hf": _llama(4096, 11008, 32, 32, 32),
    "meta-llama/Llama-2-13b-chat-hf": _llama(5120, 13824, 40, 40, 40),
    "meta-llama/Llama-2-70b-chat-hf": _llama(8192, 28672, 80, 64, 8),
    "mistralai/Mistral-7B-Instruct-v0.1": _llama(4096, 14336, 32, 32, 8),
    "mistralai/Mixtral-8x7B-Instruct-v0.1": _llama(4096, 14336, 32, 32, 8, experts=8, chosen=2),
}


def read_shape(config: Mapping[str, Any]) -> Shape | None:
    """Return the shape that a config.json describes; None where it does not say."""
    # A model that sees too has that of its language model inside.
    text = config.get("text_config") or config
    try:
        width, heads = int(text["hidden_size"]), int(text["num_attention_heads"])
        experts = text.get("num_local_experts") or text.get("num_experts") or 1
        inner = (text.get("moe_intermediate_size") if experts > 1 else None) or text.get("intermediate_size")
        return Shape(
            width=width,
            inner=int(inner or 4 * width),
            layers=int(text["num_hidden_layers"]),
            heads=heads,
            key_heads=int(text.get("num_key_value_heads") or heads),
            head_width=int(text.get("head_dim") or width // heads),
            words=int(text["vocab_size"]),
            tied=bool(text.get("tie_word_embeddings", config.get("tie_word_embeddings", False))),
            experts=int(experts),
            chosen=int(text.get("num_experts_per_tok") or 1),
        )
    except (KeyError, TypeError, ValueError):
        return None


def find_shape(options: Options) -> Shape | None:
    """Return the model's shape from its folder, the hub's cache or the paper's models; None if none of them has it."""
    config = _config(options)
    if config is None:
        return PAPER.get(options.model)
    try:
        found = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return read_shape(found) if isinstance(found, dict) else None


def _config(options: Options) -> Path | None:
    if options.gguf is not None:
        folder = converted_folder(options.gguf)
        return folder / "config.json" if folder.is_dir() else None
    if options.folder is not None:
        return options.folder / "config.json"
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(options.model, "config.json", revision=options.revision)
    return Path(cached) if isinstance(cached, str) else None


def footprint(options: Options, settings: Settings, *, trained: bool) -> Footprint | None:
    """Return what the model takes on a GPU, ``trained`` or only asked; None where its size is not known here."""
    shape = find_shape(options)
    if shape is None:
        return None
    # The headers have what the shape leaves out; a folder that cannot be read says so when it is loaded.
    counted = count_parameters(options.folder) if options.folder is not None and options.gguf is None else 0
    parameters = counted or shape.parameters
    size = 4 if options.dtype == "float32" else 2
    quantized = options.quantize == "nf4" or (options.quantize == "auto" and trained)
    full = float(parameters * size)
    nf4 = full - shape.linear * (size - NF4)
    spread = 0 if options.device_map == "auto" else 1
    cache = 2 * shape.layers * shape.key_heads * shape.head_width * size
    base = nf4 if quantized else full
    # A student answers from full weights with the adapter merged in, and its base stays beside them.
    answering, read = (base + full, full) if trained else (base, base)
    if quantized and not trained:
        # A product with 4-bit weights first writes them out, and reads that.
        read += 2 * shape.linear * size
    return Footprint(
        model=options.name,
        parameters=parameters,
        overhead=OVERHEAD,
        answering=answering,
        cache=cache * (1 + 1 / shape.layers),
        row=16 * shape.words + ROOM * cache,
        row_share=0.5,
        operations=2 * shape.used,
        share=ANSWERED,
        read=read,
        bandwidth_share=BANDWIDTH,
        pass_seconds=STEP_SECONDS * shape.layers,
        spread=spread,
        training=_training(shape, base, parameters, size, settings, spread) if trained else {},
    )


def _training(
    shape: Shape, base: float, parameters: int, size: int, settings: Settings, spread: int
) -> dict[str, Training]:
    # In float32: weights, gradients, Adam's two moments, and the weights as they were before the trainer was made.
    adapter = 4.0 * shape.adapter(settings.instruct.lora_r)
    held = base + 5 * adapter
    stages: tuple[tuple[str, OptimizerSettings, float], ...] = (
        ("instruct", settings.instruct, held),
        # Its reference is the adapter that it starts from.
        ("refine", settings.refine, held + adapter),
        ("explore", settings.explore, held + adapter),
    )
    return {name: replace(_stage(shape, held, parameters, size, one), spread=spread) for name, one, held in stages}


def _stage(shape: Shape, held: float, parameters: int, size: int, settings: OptimizerSettings) -> Training:
    layer = LAYER * size * (shape.width + shape.chosen * shape.inner)
    checkpointing = settings.gradient_checkpointing
    processes = settings.processes if isinstance(settings, TrainSettings) else 1
    batch = settings.prompts * settings.samples if isinstance(settings, ExploreSettings) else settings.batch_size  # type: ignore[attr-defined]
    return Training(
        held=held,
        # With checkpointing a layer keeps its input, and one layer at a time is computed again.
        token=float(shape.layers * shape.width * size + layer if checkpointing else shape.layers * layer),
        at_once=min(settings.micro_batch_size or first_guess(parameters), max(1, batch // processes)),
        operations=4 * shape.used,
        share=TRAINED[checkpointing],
        pass_seconds=LAYER_SECONDS * shape.layers,
        processes=processes,
    )
