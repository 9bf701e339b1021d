from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sitkit_vllm
from sitkit.capabilities import PromptCompleter
from sitkit.errors import ModelError, SpecError
from sitkit.registry import load_plugins
from sitkit.spec import parse_spec
from sitkit.types import Student, Teacher
from sitkit_vllm.engine import read_adapter
from sitkit_vllm.installed import vllm_version
from sitkit_vllm.options import read
from tests.sitkit_hf.conftest import broken_adapter


def options(spec: str) -> Any:
    return read(parse_spec(spec), lambda hf: hf)


def test_options_go_to_the_engine_to_hf_or_to_both() -> None:
    hf, read_options = options("vllm:org/name,quantize=none,revision=main,max_num_seqs=64,gpu_memory_utilization=0.8")
    assert str(hf) == "hf:org/name,quantize=none,revision=main"
    assert read_options.model == "org/name"
    assert read_options.revision == "main"
    assert read_options.dtype == "bfloat16"
    assert read_options.engine == {"max_num_seqs": 64, "gpu_memory_utilization": 0.8}
    assert options("vllm:org/name,dtype=float16")[1].dtype == "float16"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("vllm", "needs a model folder or a hub id"),
        ("vllm:m,tensor_paralel_size=2", "did you mean 'tensor_parallel_size'"),
        ("vllm:m,max_num_seqs=0", "expected a whole number above 0"),
        ("vllm:m,gpu_memory_utilization=1.5", "expected a number above 0 and up to 1"),
        ("vllm:m,enforce_eager=maybe", "expected true or false"),
    ],
)
def test_a_wrong_spec_is_one_line(spec: str, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        options(spec)


def test_what_hf_refuses_is_refused_at_once(tmp_path: Path) -> None:
    registry = load_plugins()
    with pytest.raises(SpecError, match="dtype=float8"):
        registry.student(parse_spec("vllm:org/name,dtype=float8"))
    with pytest.raises(SpecError, match="thinking=true is for teachers"):
        registry.student(parse_spec("vllm:org/name,thinking=true"))
    with pytest.raises(ModelError, match="has no config"):
        registry.teacher(parse_spec(f"vllm:{tmp_path}"))


def test_student_and_teacher_are_found_by_name() -> None:
    registry = load_plugins()
    assert isinstance(registry.student(parse_spec("vllm:org/name")), Student)
    teacher = registry.teacher(parse_spec("vllm:org/name"))
    assert isinstance(teacher, Teacher)
    assert isinstance(teacher, PromptCompleter)
    assert sitkit_vllm.__doc__


def test_a_folder_called_vllm_is_not_vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vllm").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert vllm_version() is None


def test_an_adapter_tells_its_rank_rounded_up_to_what_vllm_takes(adapters: dict[int, Path], tmp_path: Path) -> None:
    assert {rank: read_adapter(folder).engine_rank for rank, folder in adapters.items()} == {4: 8, 12: 16}
    with pytest.raises(ModelError, match="is not the folder of a LoRA adapter"):
        read_adapter(tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    (tmp_path / "adapter_config.json").write_text('{"r": 8, "rank_pattern": {"q_proj": 600}}')
    with pytest.raises(ModelError, match="rank 600"):
        read_adapter(tmp_path)
    (tmp_path / "adapter_config.json").write_text("[]")
    with pytest.raises(ModelError, match="is not the folder of a LoRA adapter"):
        read_adapter(tmp_path)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_an_adapter_that_diverged_is_not_handed_to_vllm(adapters: dict[int, Path], tmp_path: Path, value: str) -> None:
    broken = broken_adapter(adapters[4], tmp_path / "broken", float(value))
    with pytest.raises(ModelError, match=r"broken has weights that are NaN or infinite: its training diverged; lower "):
        read_adapter(broken)
    (broken / "adapter_model.safetensors").write_bytes(b"{}")
    with pytest.raises(ModelError, match="is not the folder of a LoRA adapter"):
        read_adapter(broken)
