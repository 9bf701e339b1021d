"""A site with the stand-in for vLLM installed in it, for processes of their own; models and adapters to run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.installed import python
from tests.sitkit_hf.conftest import write_model

STAND_IN = Path(__file__).parent / "stand_in"


@pytest.fixture(scope="session")
def vllm_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the distribution vllm 0.27.1, as pip leaves it."""
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(STAND_IN / "vllm", site / "vllm", ignore=shutil.ignore_patterns("__pycache__"))
    info = site / "vllm-0.27.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.27.1\n", encoding="utf-8")
    return site


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return write_model(folder, seed=0, chat=False, positions=96, dropout=0.0)


@pytest.fixture(scope="session")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "chatty"
    return write_model(folder, seed=1, chat=True, positions=96, dropout=0.0)


@pytest.fixture(scope="session")
def adapters(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Adapters of the model with weights that change its answers, by rank."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    made = {}
    for rank in (4, 12):
        made[rank] = tmp_path_factory.mktemp("adapters") / f"rank{rank}"
        with torch.random.fork_rng():
            torch.manual_seed(rank)
            config = LoraConfig(r=rank, target_modules="all-linear", init_lora_weights=False)
            base = AutoModelForCausalLM.from_pretrained(str(model), dtype=torch.float32)
            get_peft_model(base, config).save_pretrained(str(made[rank]))
    return made


@pytest.fixture(scope="session")
def run_with_vllm(vllm_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Run code with vLLM installed; return what it put into ``told``, and the calls that vLLM got."""

    def run(code: str, **environment: str) -> tuple[Any, list[dict[str, Any]]]:
        log = tmp_path_factory.mktemp("log") / "calls.jsonl"
        log.touch()
        script = f"import json\ntold = {{}}\n{code}\nprint('told ' + json.dumps(told))"
        done = python("-c", script, path=vllm_site, VLLM_STAND_IN_LOG=str(log), **environment)
        assert done.returncode == 0, done.stderr
        line = next(line for line in done.stdout.splitlines() if line.startswith("told "))
        return json.loads(line.removeprefix("told ")), [json.loads(one) for one in log.read_text().splitlines()]

    return run
