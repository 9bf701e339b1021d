"""Nothing is lost and nothing is asked twice, whatever the endpoint does and whenever the process is killed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from sitkit.types import ANSWERED
from sitkit_tiny.benchmarks import questions
from tests.sitkit_openai.conftest import ask, prompts, teacher
from tests.sitkit_openai.endpoint import PASSING, Call, Endpoint, Fault
from tests.sitkit_openai.runs import arguments, install_student

SHARE = 0.3


def unsteady(call: Call) -> Fault | None:
    """A fault for 30% of all calls, the same ones whenever they come."""
    draw = random.Random(hashlib.sha256(f"{call.prompt}|{call.attempt}".encode()).digest())
    return draw.choice(list(PASSING.values())) if draw.random() < SHARE else None


def test_500_prompts_at_a_fault_rate_of_30_percent_are_answered_once_each(endpoint: Endpoint) -> None:
    calm = ask(teacher(endpoint, concurrency=32), 500)
    endpoint.calls.clear()
    endpoint.delivered.clear()
    endpoint.behave = unsteady
    found = ask(teacher(endpoint, concurrency=32, timeout=0.5, retries=12), 500)
    assert {one.id: one.completion for one in found.values()} == {one.id: one.completion for one in calm.values()}
    assert {one.outcome for one in found.values()} == {ANSWERED}
    assert set(endpoint.delivered.values()) == {1}
    assert len(endpoint.delivered) == 500
    assert len(endpoint.calls) > 600
    assert set(endpoint.prompts()) == {one.text for one in prompts(500)}


def _journalled(workspace: Path, texts: dict[str, str]) -> set[str]:
    """The prompts that an answer is on disk for."""
    found = set()
    for path in (workspace / "journals").glob("annotate-*.jsonl"):
        for line in path.read_bytes().split(b"\n")[:-1]:
            name, row, *_ = json.loads(line)
            if json.loads(row).get("outcome", ANSWERED) == ANSWERED:
                found.add(texts[name])
    return found


def _demonstrations(workspace: Path) -> dict[str, bytes]:
    files = (workspace / "store" / "annotate").glob("*/demonstrations.jsonl")
    return {hashlib.sha256(content).hexdigest(): content for content in (path.read_bytes() for path in files)}


class _Life:
    """One run of the program, which can be killed."""

    def __init__(self, command: list[str], site: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(site)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sitkit", *command], env=environment, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def wait_for_the_annotations(self) -> None:
        """Wait until the stages after them begin, which are not of interest here, and take the longest."""
        assert self.process.stderr is not None
        said = []
        while " evaluate " not in (line := self.process.stderr.readline()):
            said.append(line)
            assert line, said
        self.kill()


@pytest.mark.slow
def test_killed_many_times_it_asks_only_for_what_is_missing_and_ends_the_same(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    site = install_student(tmp_path / "site")
    texts = {one.id: one.prompt("cot") for name in ("tiny_chain", "tiny_cups") for one in questions(name, "train")}
    assert len(texts) == 600
    spec = f"openai:m,base_url={endpoint.url},concurrency=8,timeout=1,backoff=0.01,retries=12"
    endpoint.latency = 0.01
    _Life(arguments(spec, tmp_path / "calm"), site).wait_for_the_annotations()
    endpoint.calls.clear()
    endpoint.delivered.clear()
    endpoint.behave = unsteady
    workspace, draw, asked_again = tmp_path / "killed", random.Random(11), Counter[str]()
    for _ in range(8):
        on_disk, before = _journalled(workspace, texts), len(endpoint.calls)
        life = _Life(arguments(spec, workspace), site)
        target = before + draw.randint(1, 50)
        while len(endpoint.calls) < target and life.process.poll() is None:
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.02))
        life.kill()
        asked_again.update(prompt for prompt in endpoint.prompts()[before:] if prompt in on_disk)
    on_disk, before = _journalled(workspace, texts), len(endpoint.calls)
    assert 0 < len(on_disk) < 600, "the kills have to come while there is something to ask"
    _Life(arguments(spec, workspace), site).wait_for_the_annotations()
    asked_again.update(prompt for prompt in endpoint.prompts()[before:] if prompt in on_disk)
    assert not asked_again
    assert len(_demonstrations(workspace)) == 2
    assert _demonstrations(workspace) == _demonstrations(tmp_path / "calm")
    # A kill costs what is in flight, and the little that was about to be written down.
    assert sum(endpoint.delivered.values()) - 600 <= 8 * 3 * 8
