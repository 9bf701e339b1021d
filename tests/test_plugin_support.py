"""What plugins share: digests, quiet libraries, generators that are set back, conversations."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitkit import plugin_support
from sitkit.plugin_support import (
    chat_messages,
    end_tokens,
    file_digest,
    folder_digests,
    machine_memory,
    quiet,
    seeded,
    stream_seed,
)

GIB = 2**30
VERSION_2 = {"memory.max": "{}", "memory.current": "{}", "memory.stat": "anon 1\ninactive_file {}\n"}
VERSION_1 = {
    "memory.limit_in_bytes": "{}",
    "memory.usage_in_bytes": "{}",
    "memory.stat": "inactive_file 1\ntotal_inactive_file {}\n",
}
UNLIMITED = 9223372036854771712


@pytest.mark.parametrize(
    ("listed", "groups", "found"),
    [
        ("0::/", {}, (64, 32)),
        ("0::/jobs/7", {"jobs/7": (VERSION_2, 8 * GIB, 3 * GIB, GIB)}, (8, 6)),
        # The tighter of a group and those around it counts, and what has no limit has none.
        ("0::/jobs/7", {"jobs/7": (VERSION_2, "max", GIB, 0), "jobs": (VERSION_2, 4 * GIB, 4 * GIB, 0)}, (4, 0)),
        ("0::/jobs/7", {"jobs/7": (VERSION_2, 99 * GIB, 80 * GIB, 0)}, (64, 19)),
        # A container sees its own group at the top, under whatever path the host has for it.
        ("0::/../host", {"": (VERSION_2, 8 * GIB, GIB, 0)}, (8, 7)),
        ("0::/kubepods/pod", {"": (VERSION_2, 8 * GIB, GIB, 0)}, (8, 7)),
        ("9:cpu:/a\n4:memory:/job\n0::/", {"memory/job": (VERSION_1, 8 * GIB, 3 * GIB, GIB)}, (8, 6)),
        ("4:memory:/job", {"memory/job": (VERSION_1, UNLIMITED, 3 * GIB, GIB)}, (64, 32)),
        ("4:memory:/job", {"memory/job": (VERSION_1, "what?", 3 * GIB, GIB)}, (64, 32)),
    ],
)
def test_a_container_has_no_more_memory_than_it_may_take(
    listed: str,
    groups: dict[str, tuple[dict[str, str], int | str, int, int]],
    found: tuple[int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import psutil

    (tmp_path / "listed").write_text(listed + "\n")
    for name, (files, *values) in groups.items():
        (tmp_path / "top" / name).mkdir(parents=True, exist_ok=True)
        for (file, text), value in zip(files.items(), values, strict=True):
            (tmp_path / "top" / name / file).write_text(text.format(value))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=64 * GIB, available=32 * GIB))
    monkeypatch.setattr(plugin_support, "_CONTROL_GROUPS", (tmp_path / "listed", tmp_path / "top"))
    assert machine_memory() == tuple(value * GIB for value in found)
    (tmp_path / "listed").unlink()
    assert machine_memory() == (64 * GIB, 32 * GIB)


def test_a_digest_follows_content_and_of_large_files_the_edges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"a" * 100)
    other.write_bytes(b"a" * 100)
    assert file_digest(one) == file_digest(other)
    other.write_bytes(b"a" * 50 + b"b" + b"a" * 49)
    assert file_digest(one) != file_digest(other)
    monkeypatch.setattr("sitkit.plugin_support.WHOLE", 64)
    monkeypatch.setattr("sitkit.plugin_support.EDGE", 8)
    os.utime(one, ns=(1, 1))
    os.utime(other, ns=(1, 1))
    assert file_digest(one) == file_digest(other)
    os.utime(other, ns=(2, 2))
    assert file_digest(one) != file_digest(other)


def test_a_folders_digests_are_of_the_files_that_count(tmp_path: Path) -> None:
    for name in ("a.json", "b.txt", "in/c.json", ".git/d.json", "in/.e.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert sorted(folder_digests(tmp_path)) == ["a.json", "b.txt", "in/c.json"]
    assert sorted(folder_digests(tmp_path, lambda path: path.suffix == ".json")) == ["a.json", "in/c.json"]


def test_quiet_drops_what_is_said_and_sets_back_what_it_changes(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "0")
    library = logging.getLogger("lm_eval")
    before = library.level
    with quiet(streams=True):
        print("a bar")  # noqa: T201
        print("a bar", file=sys.stderr)  # noqa: T201
        warnings.warn("a warning", stacklevel=1)
        assert not library.isEnabledFor(logging.WARNING)
        assert library.isEnabledFor(logging.ERROR)
        assert os.environ["TQDM_DISABLE"] == "1"
    assert capfd.readouterr() == ("", "")
    assert (library.level, os.environ["TQDM_DISABLE"]) == (before, "0")
    with quiet():
        print("an answer")  # noqa: T201
    assert capfd.readouterr().out == "an answer\n"


def test_bars_of_loaded_libraries_are_off_inside_and_as_they_were_afterwards() -> None:
    import datasets
    from transformers.utils import logging as transformers_logging

    def bars() -> tuple[bool, bool]:
        return not datasets.are_progress_bars_disabled(), transformers_logging.is_progress_bar_enabled()

    before = bars()
    with quiet():
        assert bars() == (False, False)
    assert bars() == before
    datasets.disable_progress_bars()
    try:
        with quiet():
            assert bars() == (False, False)
        assert bars() == (False, before[1])
    finally:
        datasets.enable_progress_bars()


@settings(deadline=None)
@given(st.integers(0, 2**63 - 1))
def test_generators_are_seeded_inside_and_go_on_as_before(seed: int) -> None:
    import numpy
    import torch

    def draw() -> tuple[float, float, float]:
        return random.random(), float(numpy.random.random()), float(torch.rand(()))

    with seeded(1):
        first = draw()
        with seeded(seed):
            inner = draw()
        second = draw()
    with seeded(1):
        assert (draw(), draw()) == (first, second)
    with seeded(seed):
        assert draw() == inner


def test_seeds_of_streams_stay_what_they_are() -> None:
    # Sampled answers that are stored were drawn with these.
    assert stream_seed(3, "tiny/7") == 0x7842630F45A546E3
    assert stream_seed(3, "a", "b") == 0x4A95BBB91D861945
    assert stream_seed(3, "a", bits=31) == stream_seed(3, "a") >> 32


def test_a_conversation_has_the_turns_it_is_given() -> None:
    assert chat_messages("Hi") == [{"role": "user", "content": "Hi"}]
    assert [turn["role"] for turn in chat_messages("Hi", "Be brief.", "Ho")] == ["system", "user", "assistant"]
    assert chat_messages("Hi", completion="")[-1] == {"role": "assistant", "content": ""}


@pytest.mark.parametrize(("given", "ends"), [(None, ()), (2, (2,)), ([2, 7], (2, 7))])
def test_end_tokens_are_one_several_or_none(given: object, ends: tuple[int, ...]) -> None:
    assert end_tokens(SimpleNamespace(eos_token_id=given)) == ends
    assert end_tokens(None) == ()


def test_nothing_heavy_is_loaded() -> None:
    code = (
        "import sys\nfrom sitkit.plugin_support import quiet, seeded\n"
        "with quiet(streams=True), seeded(1): pass\n"
        "raise SystemExit(int(bool({'torch', 'transformers', 'datasets', 'numpy'} & set(sys.modules))))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
