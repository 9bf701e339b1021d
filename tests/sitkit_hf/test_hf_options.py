from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import ModelError, SpecError
from sitkit.spec import Spec, parse_spec
from sitkit.types import Context, Student, Teacher


def student(text: str) -> Any:
    import sitkit_hf

    return sitkit_hf.hf_student(parse_spec(text), Context())


def test_student_and_teacher_fulfil_their_protocols(tiny: Path) -> None:
    import sitkit_hf

    assert isinstance(student(f"hf:{tiny}"), Student)
    assert isinstance(sitkit_hf.hf_teacher(Spec("hf", str(tiny)), Context()), Teacher)


def test_making_a_student_and_its_fingerprint_load_nothing_heavy(tiny: Path) -> None:
    code = (
        "import sys, sitkit_hf; from sitkit.spec import parse_spec; from sitkit.types import Context;"
        f"s = sitkit_hf.hf_student(parse_spec('hf:{tiny}'), Context()); s.fingerprint(); s.recommended();"
        "print([m for m in ('torch', 'transformers', 'trl', 'peft', 'datasets') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("hf", "after a colon"),
        ("hf:a/b,quantise=nf4", "quantize"),
        ("hf:a/b,quantize=int8", "auto, nf4, none"),
        ("hf:a/b,device=tpu", "auto, cpu, cuda"),
        ("hf:a/b,device=mps,quantize=nf4", "does not run on Apple's GPU"),
        ("hf:a/b,batch_size=-1", "whole number"),
        ("hf:a/b/c", "neither a folder nor a hub id"),
        ("hf:a/b,system=Be brief,chat_template=off", "chat template"),
    ],
)
def test_a_malformed_spec_is_one_clear_line(spec: str, part: str) -> None:
    with pytest.raises(SpecError, match=part) as raised:
        student(spec)
    assert "\n" not in str(raised.value)


def test_a_folder_that_is_no_model_is_refused_when_the_student_is_made(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a folder"):
        student(f"hf:{tmp_path}/missing")
    with pytest.raises(ModelError, match=r"no config\.json"):
        student(f"hf:{tmp_path}")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="holds an adapter"):
        student(f"hf:{tmp_path}")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelError, match="safetensors"):
        student(f"hf:{tmp_path}")


def test_a_broken_config_is_a_model_error_of_one_line(tiny: Path, tmp_path: Path) -> None:
    from sitkit.types import Generation, Prompt

    shutil.copytree(tiny, tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text('{"model_type": "no-such-architecture"}')
    with pytest.raises(ModelError, match="cannot load") as raised:
        list(student(f"hf:{tmp_path}/m").complete(None, [Prompt("1", "x")], Generation(1)))
    assert "\n" not in str(raised.value)


def test_weights_that_are_cut_off_are_a_model_error(tiny: Path, tmp_path: Path) -> None:
    from sitkit.types import Generation, Prompt

    shutil.copytree(tiny, tmp_path / "m")
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ModelError, match="cannot load"):
        list(student(f"hf:{tmp_path}/m").complete(None, [Prompt("1", "x")], Generation(1)))


def test_a_relative_path_is_a_folder_and_the_name_of_one_too(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny.parent)
    assert student("hf:./tiny").options.folder == tiny
    assert student("hf:tiny").options.folder == tiny
    assert student("hf:other").options.folder is None


def test_the_fingerprint_follows_content_and_options_not_the_place(tiny: Path, tmp_path: Path) -> None:
    before = student(f"hf:{tiny}").fingerprint()
    json.dumps(before)
    shutil.copytree(tiny, tmp_path / "elsewhere")
    assert student(f"hf:{tmp_path}/elsewhere").fingerprint() == before
    assert student(f"hf:{tiny},quantize=nf4").fingerprint() != before
    assert student(f"hf:{tiny},chat_template=off").fingerprint() != before
    assert student(f"hf:{tiny},batch_size=4").fingerprint() == before
    (tmp_path / "elsewhere" / "sitkit.json").write_text("{}")
    assert student(f"hf:{tmp_path}/elsewhere").fingerprint() == before
    weights = tmp_path / "elsewhere" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert student(f"hf:{tmp_path}/elsewhere").fingerprint() != before


def test_the_fingerprint_of_large_weights_sees_both_ends(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sitkit.plugin_support.WHOLE", 1024)
    monkeypatch.setattr("sitkit.plugin_support.EDGE", 64)
    shutil.copytree(tiny, tmp_path / "m")
    weights = tmp_path / "m" / "model.safetensors"
    when = weights.stat()
    before = student(f"hf:{tmp_path}/m").fingerprint()
    for place in (0, -1):
        content = bytearray(weights.read_bytes())
        content[place] ^= 1
        weights.write_bytes(content)
        os.utime(weights, ns=(when.st_atime_ns, when.st_mtime_ns))
        changed = student(f"hf:{tmp_path}/m").fingerprint()
        assert changed != before
        before = changed


def test_a_hub_id_is_told_by_id_and_revision() -> None:
    plain, pinned = student("hf:org/name").fingerprint(), student("hf:org/name,revision=v2").fingerprint()
    assert plain["model"] == {"hub": "org/name", "revision": "main"}
    assert plain != pinned


def test_sitkit_json_recommends_and_a_wrong_one_is_named(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "m")
    assert student(f"hf:{tmp_path}/m").recommended() == {}
    file = tmp_path / "m" / "sitkit.json"
    file.write_text('{"recommended": {"instruct": {"epochs": 4}}}')
    assert student(f"hf:{tmp_path}/m").recommended() == {"instruct": {"epochs": 4}}
    for wrong in ("{", "[]", '{"recommended": {"instruct": 4}}'):
        file.write_text(wrong)
        with pytest.raises(ModelError, match=r"sitkit\.json"):
            student(f"hf:{tmp_path}/m").recommended()


def test_a_device_that_is_not_there_is_named(tiny: Path, make_student: Callable[..., Any]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    from sitkit.types import Generation, Prompt

    with pytest.raises(ModelError, match="no CUDA device"):
        list(make_student(tiny, device="cuda").complete(None, [Prompt("1", "x")], Generation(1)))


def test_apples_gpu_trains_without_autocast_and_4_bits(
    tiny: Path, make_student: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from sitkit.settings import InstructSettings
    from sitkit_hf.memory import generation_rows
    from sitkit_hf.training import Job

    models = make_student(tiny, device="mps", dtype="bfloat16").models
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ModelError, match="device=mps: no GPU of Apple's"):
        models.device()
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert (models.device(), models.quantized()) == ("mps", False)
    monkeypatch.setattr(models, "_base", make_student(tiny).models.base())
    job = Job(
        stage="instruct", models=models, settings=InstructSettings(), epochs=1, out=tmp_path, scratch=tmp_path,
        seed=0, progress=lambda *_: None,
    )  # fmt: skip
    told = job.arguments(2)
    assert (told["use_cpu"], told["bf16"], told["fp16"]) == (False, False, False)
    assert job.attention() is None

    class OnApples:
        def __init__(self, model: Any) -> None:
            self.config, self.parameters, self.device = model.config, model.parameters, torch.device("mps")

    assert generation_rows(OnApples(models.base()), 20, 20) > 1
