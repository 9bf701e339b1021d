"""What a batch leaves behind, and how many rows are thought to fit."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sitkit.types import Generation, Prompt
from tests.completions import answered

PROMPTS: Sequence[Prompt] = [Prompt(str(n), f"Question: {'ab' * (n % 9)} {n}?\nAnswer:") for n in range(20)]


@pytest.fixture
def no_collecting() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


class Watched:
    """Stands before a model's forward: raises where it is told to, and counts old caches when a batch is read."""

    def __init__(self, model: Any, failing: int = 0, kind: type[Exception] = MemoryError, text: str = "") -> None:
        self.forward, self.failing, self.kind, self.text = model.forward, failing, kind, text
        self.calls = 0
        self.seen: list[weakref.ref[Any]] = []
        self.alive: list[int] = []

    def __call__(self, **kwargs: Any) -> Any:
        cache = kwargs["past_key_values"]
        if cache.get_seq_length() == 0:
            self.alive.append(sum(one() is not None for one in self.seen))
        self.calls += 1
        if self.calls == self.failing:
            raise self.kind(self.text)
        out = self.forward(**kwargs)
        self.seen += [weakref.ref(one) for one in (cache, *cache.layers, *(layer.keys for layer in cache.layers))]
        return out


def test_a_batchs_cache_is_gone_when_the_next_is_read(
    tiny: Path, make_student: Callable[..., Any], no_collecting: None
) -> None:
    student = make_student(tiny, batch_size="8")
    expected = answered(student.complete(None, PROMPTS, Generation(6)))
    model = student.models.base()
    model.forward = watched = Watched(model)
    assert answered(student.complete(None, PROMPTS, Generation(6))) == expected
    assert watched.seen
    assert watched.alive == [0, 0, 0]


@pytest.mark.parametrize("where", ["gpu", "cudnn", "cpu"])
def test_nothing_of_a_batch_that_ran_out_of_memory_is_kept(
    tiny: Path, make_student: Callable[..., Any], where: str
) -> None:
    import torch

    student = make_student(tiny)
    expected = answered(student.complete(None, PROMPTS, Generation(12)))
    model = student.models.base()
    told: dict[str, tuple[type[Exception], str]] = {
        "gpu": (torch.OutOfMemoryError, "CUDA out of memory"),
        "cudnn": (RuntimeError, "Expected mha_graph->execute(handle, variant_pack, ptr).is_good() to be true"),
        "cpu": (RuntimeError, "can't allocate memory"),
    }
    model.forward = watched = Watched(model, 7, *told[where])
    assert answered(student.complete(None, PROMPTS, Generation(12))) == expected
    assert len(watched.alive) > 1
    assert set(watched.alive) == {0}


def test_caches_are_of_one_class(tiny: Path, make_student: Callable[..., Any]) -> None:
    from sitkit_hf.kv_cache import make_cache

    model = make_student(tiny).models.base()
    (one, plain), (other, _) = make_cache(model), make_cache(model)
    assert plain
    assert type(one.layers[0]) is type(other.layers[-1])


def test_on_a_cpu_rows_are_by_what_the_machine_has_free(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers import LlamaConfig

    from sitkit_hf.memory import generation_rows, training_rows

    model = SimpleNamespace(config=LlamaConfig(), parameters=lambda: iter([torch.zeros(1)]), device=torch.device("cpu"))

    def rows(free: int) -> int:
        monkeypatch.setattr("sitkit_hf.memory.machine_memory", lambda: (64 << 30, free << 30))
        return generation_rows(model, 200, 300)

    assert 1 == rows(1) < rows(30)
    # What several processes take together is what one would.
    alone, shared = (training_rows(model, 1, 99, dropout=False, processes=processes) for processes in (1, 20))
    assert 1 < shared < alone


def test_a_gpu_draws_noise_further_ahead_and_has_room_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers import LlamaConfig

    from sitkit_hf.generation import Row, _fitting
    from sitkit_hf.memory import row_bytes
    from sitkit_hf.sampling import drawn_ahead

    model = SimpleNamespace(
        config=LlamaConfig(), parameters=lambda: iter([torch.zeros(1).bfloat16()]), device=torch.device("cuda")
    )
    vocabulary = model.config.vocab_size
    assert [drawn_ahead(vocabulary, device) for device in ("cpu", "cuda")] == [1, 8]
    assert drawn_ahead(1 << 20, "cuda") == 1
    # The noise of each token is a float32 for each of the vocabulary, and once more while rows leave.
    more = row_bytes(model, 200, 300, 8) - row_bytes(model, 200, 300)
    assert more == 8 * 2 * 4 * vocabulary
    monkeypatch.setattr("sitkit_hf.memory.free_bytes", lambda device: 8 << 30)
    rows = [Row("a", [1] * 20, 20, 0)]
    greedy, sampled = (_fitting(model, rows, Generation(20, temperature)) for temperature in (0.0, 0.7))
    assert 1 < sampled < greedy


def test_on_a_gpu_what_torch_holds_and_does_not_use_counts_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers import LlamaConfig

    from sitkit_hf.memory import MOST_ROWS, generation_rows

    model = SimpleNamespace(
        config=LlamaConfig(), parameters=lambda: iter([torch.zeros(1).bfloat16()]), device=torch.device("cuda")
    )

    def rows(free: int, reserved: int, allocated: int) -> int:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free << 30, 80 << 30))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: reserved << 30)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: allocated << 30)
        return generation_rows(model, 200, 300)

    assert 1 < rows(40, 0, 0) < MOST_ROWS["cuda"]
    assert rows(10, 45, 15) == rows(40, 0, 0) == rows(40, 14, 14)


MEASURED = """
import json, sys
from types import SimpleNamespace
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from sitkit.types import Generation
from sitkit_hf.generation import Decoding, Row
from sitkit_hf.memory import row_bytes

def status(key):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(key))

def batch(model, rows, prompt, answer):
    prompts = SimpleNamespace(ends=(), tokenizer=SimpleNamespace(pad_token_id=0))
    stops = SimpleNamespace(reached=lambda written: False)
    made = [Row(str(n), [(n * 7 + k) % 500 for k in range(prompt - n % 2)], answer, n) for n in range(rows)]
    decoding = Decoding(model, made, prompts, stops, Generation(answer))
    while decoding.going:
        decoding.step()

found = {}
for name, (rows, prompt, answer, shape) in json.loads(sys.argv[1]).items():
    dtype = torch.bfloat16 if name == "head" else torch.float32
    model = LlamaForCausalLM(LlamaConfig(**shape)).to(dtype).eval().requires_grad_(False)
    batch(model, 1, 4, 2)
    before = status("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")
    batch(model, rows, prompt, answer)
    found[name] = [status("VmHWM") - before, rows * row_bytes(model, prompt, answer)]
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from Linux's /proc")
def test_a_rows_bytes_are_what_it_takes_at_its_peak() -> None:
    shapes = {
        # Many keys and values: the cache is what counts, at the end of the answers.
        "cache": (16, 40, 120, {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 12}),
        # Few of them, as in Qwen2.5-0.5B: the work of reading prompts counts.
        "work": (16, 120, 8, {"hidden_size": 256, "intermediate_size": 1400, "num_hidden_layers": 4}),
        # A vocabulary so large that its output layer must not be copied for each row.
        "head": (
            64,
            20,
            2,
            {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "vocab_size": 30000},
        ),
    }
    heads = {"cache": 8, "work": 1, "head": 1}
    asked = {
        name: (*counts, {"vocab_size": 512, "num_attention_heads": 8, "num_key_value_heads": heads[name]} | shape)
        for name, (*counts, shape) in shapes.items()
    }
    # With small thresholds, what is freed goes back to the system at once.
    given = os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURED, json.dumps(asked)],
        env=given,
        capture_output=True,
        text=True,
        check=True,
    )
    for name, (peak, thought) in json.loads(done.stdout.splitlines()[-1]).items():
        # Logits count as float32, which those of a bfloat16 model are not everywhere.
        assert 0.85 * peak < thought < (3 if name == "head" else 1.3) * peak, (name, peak, thought)


@pytest.mark.parametrize(("dropout", "attention"), [(0.0, "sdpa"), (0.1, "eager")])
def test_a_tokens_training_bytes_are_what_its_passes_keep(dropout: float, attention: str) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    from sitkit_hf.memory import training_bytes

    config = LlamaConfig(
        vocab_size=64, hidden_size=128, intermediate_size=384, num_attention_heads=2, num_hidden_layers=2,
        num_key_value_heads=1, attn_implementation=attention,
    )  # fmt: skip
    base = LlamaForCausalLM(config).bfloat16().requires_grad_(False)
    lora = LoraConfig(r=8, lora_dropout=dropout, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(base, lora).train()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}
    alive: list[Any] = []

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(storage)
        return tensor

    rows, length = 4, 160
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16):
        states = base.model(input_ids=torch.zeros(rows, length, dtype=torch.long), use_cache=False).last_hidden_state
    assert states.requires_grad
    took = sum(kept.values()) / (rows * length)
    assert took < training_bytes(base, length, dropout=dropout > 0) < 2 * took
