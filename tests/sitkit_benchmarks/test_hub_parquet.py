"""A benchmark of Parquet files on the hub, by the real client from a stand-in: its revisions, and a hub that fails."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.installed import python
from tests.publish.hub import Hub, Repo, hub

pytestmark = pytest.mark.slow

TRAIN, TEST = "data/train-00000.parquet", "data/test-00000.parquet"
LOAD = """
import json, sys
from sitkit.errors import SitkitError
from sitkit.registry import load_plugins

found = []
for spec in sys.argv[1:]:
    try:
        benchmark = load_plugins().benchmark(spec)
        found.append([[one.question, one.target] for one in benchmark.questions("train", 0)])
    except SitkitError as error:
        found.append(str(error))
print(json.dumps(found))
"""


def parquet(count: int, step: int) -> bytes:
    from datasets import Dataset

    rows = [{"question": f"What is {n} plus {step}? {'x' * 40}", "answer": str(n + step)} for n in range(count)]
    out = io.BytesIO()
    Dataset.from_list(rows).to_parquet(out)
    return out.getvalue()


def loaded(server: Hub, tmp_path: Path, *specs: str) -> list[Any]:
    environment = server.environment(str(tmp_path / "home"), HF_DATASETS_CACHE=str(tmp_path / "datasets"))
    done = python("-c", LOAD, *specs, path=tmp_path, cwd=None, **environment)
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


def test_a_benchmark_of_parquet_files_is_loaded_by_hub_id_through_a_hub_that_drops_connections(tmp_path: Path) -> None:
    with hub() as server:
        repo = server.repos["datasets/us/sums"] = Repo()
        repo.names["v1"] = repo.commit({TRAIN: parquet(400, 5), TEST: parquet(3, 5)})
        repo.commit({TRAIN: parquet(400, 7)})
        gated = server.repos["datasets/us/gated"] = Repo(gated=True)
        gated.commit({TRAIN: parquet(9, 5)})
        server.dropping = 2
        specs = ("sums", "sums,revision=v1", "sums,revision=v2", "nothing", "gated")
        newest, tagged, *refused = loaded(server, tmp_path, *(f"hub:us/{spec}" for spec in specs))
    assert server.dropping == 0
    assert not isinstance(newest, str), newest
    assert [target for _, target in newest] == [str(n + 7) for n in range(400)]
    assert [target for _, target in tagged] == [str(n + 5) for n in range(400)]
    for text, said in zip(refused, ("v2", "nothing", "gated"), strict=True):
        assert text.startswith("hub:us/")
        assert said in text
        assert "file:PATH" in text
        assert "\n" not in text
