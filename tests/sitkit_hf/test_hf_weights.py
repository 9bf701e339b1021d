"""Weights that are missing, of another shape or too many are an error that names them, never a random model."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import ModelError, TeacherError
from sitkit.settings import RefineSettings
from sitkit.spec import Spec
from sitkit.types import Context, Generation, Objective, Prompt
from tests.sitkit_hf.conftest import broken_adapter
from tests.sitkit_hf.test_hf_architectures import ARCHITECTURES, write_architecture

ASKED = [Prompt("a", "1+1?")]


@pytest.fixture
def changed(tiny: Path, tmp_path: Path) -> Callable[..., Path]:
    """The tiny model with a config that says something else."""

    def make(**config: Any) -> Path:
        folder = tmp_path / "changed"
        shutil.copytree(tiny, folder)
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | config))
        return folder

    return make


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"num_hidden_layers": 5}, r"27 missing \(model\.layers\.2\..* and 19 more\)$"),
        ({"num_hidden_layers": 1}, r"9 unexpected \(model\.layers\.1\."),
        ({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}, r"6 missing \(.*q_proj\.bias"),
        ({"intermediate_size": 48}, r"6 of another shape \(.*\(32, 64\) in the file, \(32, 48\) in the model"),
    ],
)
@pytest.mark.parametrize("quantize", ["none", "nf4"])
def test_a_config_of_another_model_is_an_error(
    changed: Callable[..., Path], make_student: Callable[..., Any], config: dict[str, Any], said: str, quantize: str
) -> None:
    student = make_student(changed(**config), quantize=quantize)
    with pytest.raises(ModelError, match=f"the weights of changed do not fit its config.json: {said}"):
        student.models.base()


def test_a_teacher_with_missing_weights_is_an_error(changed: Callable[..., Path]) -> None:
    from safetensors.torch import load_file, save_file

    import sitkit_hf

    folder = changed()
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.0.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    teacher: Any = sitkit_hf.hf_teacher(Spec("hf", str(folder)), Context())
    with pytest.raises(TeacherError, match=r"1 missing \(model\.layers\.0\.mlp\.up_proj\.weight\)"):
        list(teacher.complete(ASKED, Generation(4)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("tied", [True, False])
def test_what_is_tied_or_computed_is_not_missed(kind: str, *, tied: bool, tiny: Path, tmp_path: Path) -> None:
    import sitkit_hf

    folder = write_architecture(kind, tiny, tmp_path / kind, tie_word_embeddings=tied)
    student: Any = sitkit_hf.hf_student(Spec("hf", str(folder)), Context())
    assert student.models.base().config.get_text_config().tie_word_embeddings is tied


class Touch:
    """What a pickle can do to who loads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def test_pickled_weights_are_not_loaded_so_that_no_code_of_theirs_runs(
    changed: Callable[..., Path], make_student: Callable[..., Any], tmp_path: Path
) -> None:
    folder = changed()
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Touch(tmp_path / "ran")))
    with pytest.raises(ModelError, match="pickled weights are not read"):
        make_student(folder).models.base()
    assert not (tmp_path / "ran").exists()


def test_code_in_a_models_folder_is_not_run(
    changed: Callable[..., Path], make_student: Callable[..., Any], tmp_path: Path
) -> None:
    folder = changed(model_type="own", auto_map={"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"})
    (folder / "own.py").write_text(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n")
    with pytest.raises(ModelError, match="cannot load"):
        make_student(folder).models.base()
    assert not (tmp_path / "ran").exists()


def adapter(start: Path, folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    from safetensors.torch import load_file, save_file

    shutil.copytree(start, folder)
    save_file(change(load_file(folder / "adapter_model.safetensors")), folder / "adapter_model.safetensors")
    return folder


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "empty": (lambda weights: {}, r"28 missing \("),
    "half": (lambda weights: dict(sorted(weights.items())[:14]), r"14 missing \("),
    "foreign": (
        lambda weights: (
            weights
            | {"base_model.model.model.layers.7.mlp.up_proj.lora_A.weight": next(iter(weights.values())).clone()}
        ),
        r"1 unexpected \(.*layers\.7",
    ),
    "narrow": (lambda weights: {name: tensor[:, :2].contiguous() for name, tensor in weights.items()}, "size mismatch"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_adapter_that_does_not_fit_is_an_error(student: Any, start: Path, tmp_path: Path, change: str) -> None:
    how, said = CHANGES[change]
    folder = adapter(start, tmp_path / "adapter", how)
    with pytest.raises(ModelError, match=f"the adapter in .*{said}"):
        list(student.complete(folder, ASKED, Generation(4)))


def test_an_adapter_file_of_no_bytes_is_one_line(student: Any, start: Path, tmp_path: Path) -> None:
    folder = adapter(start, tmp_path / "adapter", lambda weights: weights)
    (folder / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"cannot use the adapter in [^\n]*$"):
        list(student.complete(folder, ASKED, Generation(4)))


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_an_adapter_that_diverged_answers_nothing_and_is_not_trained_further(
    student: Any, start: Path, tmp_path: Path, pairs: Any, work: dict[str, Any], value: str
) -> None:
    broken = broken_adapter(start, tmp_path / "broken", float(value))
    said = r"the adapter in .*broken has weights that are NaN or infinite: its training diverged; lower the "
    with pytest.raises(ModelError, match=said):
        list(student.complete(broken, ASKED, Generation(4)))
    with pytest.raises(ModelError, match=said):
        student.refine(broken, pairs, Objective(), RefineSettings(max_steps=1), **work)
    assert list(student.complete(start, ASKED, Generation(4)))
