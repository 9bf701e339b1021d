"""Calls to an endpoint: how much of concurrency / latency is reached against a calm server that takes 50 ms a reply."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.speed.measure import Options, Row, tell
from tests.speed.table import table

LATENCY = 0.05
ROUNDS = 100


def measure(options: Options) -> list[Row]:
    """Ask the server, which is a process of its own, as often as the pairs say, and take the best of them.

    The best and not the median, for whatever else the machine does can only take away.
    """
    from sitkit.spec import parse_spec
    from sitkit.types import Context, Generation, Prompt
    from sitkit_openai import openai_teacher
    from sitkit_openai.teacher import OpenAITeacher

    command = [sys.executable, "-m", "tests.sitkit_openai.endpoint", "--latency", str(LATENCY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = server.stdout.readline().strip() if server.stdout is not None else ""
            rows = []
            for concurrency in (4, 16) if options.quick else (4, 8, 16, 32):
                made = openai_teacher(parse_spec(f"openai:m,base_url={url},concurrency={concurrency}"), Context())
                if not isinstance(made, OpenAITeacher):
                    raise RuntimeError("openai: is provided by another plugin")
                count = ROUNDS * concurrency
                prompts = [Prompt(str(number), f"Question {number}") for number in range(count)]
                rates, cpu = list[float](), list[float]()
                for _ in range(options.pairs):
                    started, used = time.perf_counter(), time.process_time()
                    replies = list(made.complete(prompts, Generation(64)))
                    rates.append(count / (time.perf_counter() - started))
                    cpu.append((time.process_time() - used) / count * 1000)
                    if len({one.completion for one in replies}) != count:
                        raise RuntimeError("a prompt was not answered")
                    tell(f"  concurrency {concurrency}: {rates[-1]:.0f} calls/s, {cpu[-1]:.2f} ms of CPU a call")
                rows.append(
                    Row(
                        "calls",
                        f"concurrency {concurrency}",
                        "calls/s",
                        max(rates),
                        limit=0.9 * concurrency / LATENCY,
                        higher=True,
                        note=f"of {concurrency / LATENCY:.0f} at {LATENCY * 1000:.0f} ms; {min(cpu):.2f} ms CPU a call",
                        samples={"calls/s": rates},
                    )
                )
        finally:
            server.kill()
    return rows


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as empty:
        sys.stdout.write(table(measure(Options(3, False, 1, Path(empty), None, (), "cpu"))) + "\n")
