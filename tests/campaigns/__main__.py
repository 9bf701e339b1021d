"""``python -m tests.campaigns``: trials at random until the time is over, a JSON line each, and what came of them."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

ONLY = ("kills", "damage", "input", "endpoint", "disk", "together")


def main() -> int:
    """Run the campaigns; the exit code is 1 where something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long, all campaigns together")
    parser.add_argument("--trials", type=int, help="so many trials of each campaign instead")
    parser.add_argument("--only", choices=ONLY, action="append", help="this one; may be given again")
    parser.add_argument("--seed", type=int, default=0, help="what the trials are drawn by")
    given = parser.parse_args()
    # Before anything is imported that reads them.
    os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", COLUMNS="200")
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "SITKIT_WORKSPACE"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory(prefix="sitkit-campaigns-") as folder:
        return _run(Path(folder), given)


def _run(folder: Path, given: argparse.Namespace) -> int:
    from tests.campaigns import damage, disturbed, hostile, kills
    from tests.campaigns.world import World

    trials: dict[str, Callable[[World, random.Random], Any]] = {
        "kills": kills.trial, "damage": damage.trial, "input": hostile.trial, "endpoint": disturbed.endpoint,
        "disk": disturbed.full_disk, "together": disturbed.together,
    }  # fmt: skip
    world, start = World(folder), time.monotonic()
    counts, codes, wrong = Counter[str](), dict[str, Counter[str]](), Counter[str]()
    with disturbed.ended(world):
        number = 0
        while number < given.trials if given.trials else time.monotonic() - start < 60 * given.minutes:
            for name in given.only or ONLY:
                found = trials[name](world, random.Random(f"{given.seed} {name} {number}"))
                counts[name] += 1
                codes.setdefault(name, Counter()).update(found.codes)
                wrong[name] += bool(found.wrong)
                _tell({"number": number, **asdict(found)})
            number += 1
    for name, count in counts.items():
        _tell({"campaign": name, "trials": count, "wrong": wrong[name], "programs": dict(codes[name])})
    return int(any(wrong.values()))


def _tell(plain: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(plain) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
