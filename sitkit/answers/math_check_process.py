"""The child of `sitkit.answers.math_check`: reads ``[target, answer]`` lines, writes ``true`` or ``false`` lines.

Run as a script; it imports nothing of sitkit.
"""

from __future__ import annotations

import json
import os
import sys

MOST_MEMORY = 4 * 1024**3


def main() -> None:
    """Answer until the input ends. Whatever an expression raises counts as not equal."""
    _limit_memory()
    # Libraries that print must not write between the verdicts.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from math_verify import parse, verify

    for line in sys.stdin:
        target, answer = json.loads(line)
        try:
            gold, given = (parse(f"${one}$", parsing_timeout=None) for one in (target, answer))
            same = bool(gold and given) and bool(verify(gold, given, timeout_seconds=None))
        except (Exception, RecursionError, MemoryError):
            same = False
        out.write(f"{json.dumps(same)}\n")
        out.flush()


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MOST_MEMORY if hard == resource.RLIM_INFINITY else min(MOST_MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))


if __name__ == "__main__":
    main()
