"""Speed, measured side by side: ``make bench``, or ``python -m tests.speed --help``. docs/speed.md has the results.

Nothing here is part of sitkit or of its tests. Each line of the table runs sitkit and a peer on the same work in turn,
in a process of its own, and both sides get the same threads, the same weights and the same prompts.
"""
