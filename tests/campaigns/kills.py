"""Programs killed or interrupted at random moments."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal

from tests.campaigns.world import PARTS, RUN, Trial, World, numbers

MATRIX = ("matrix", *PARTS, "--tasks", "letters", "--seeds", "2", "--name", "r")
SHARES = ("lowresource", *PARTS, "--train-on", "letters", "--fraction", "0.5", "--fraction", "1", "--name", "r")
TINY = (
    "run", "--train-on", "tiny_chain", "--eval-on", "tiny_chain", "--limit", "16", "--test-limit", "6",
    "--set", "instruct.save_steps=1", "--set", "refine.save_steps=1", "--set", "instruct.epochs=1",
    "--set", "refine.max_steps=3", "--set", "instruct.batch_size=8", "--set", "refine.batch_size=8", "--name", "r",
)  # fmt: skip
TINY_EVERY = 40
"""A run of the embedded student, with its checkpoints, takes much longer: one in so many trials."""


def trial(world: World, draw: random.Random) -> Trial:
    """Kill a random command at a random moment, up to three times, and let it end."""
    kind = draw.choice(["run", "run", "matrix", "lowresource", "judge", "export", "clean", "report"])
    if draw.randrange(TINY_EVERY) == 0:
        kind = "tiny"
    if kind in ("run", "matrix", "lowresource", "tiny"):
        return _run(world, draw, kind, {"run": RUN, "matrix": MATRIX, "lowresource": SHARES, "tiny": TINY}[kind])
    return _after(world, draw, kind)


def _run(world: World, draw: random.Random, kind: str, command: tuple[str, ...]) -> Trial:
    found, workspace = Trial("kills", kind), world.temporary("w")
    world.reference(command)
    seconds = world.seconds(command, lambda: world.temporary("w"))
    for _ in range(draw.randint(1, 3)):
        by = draw.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
        program = world.start(*command, "--workspace", str(workspace))
        # -2: CPython may end itself by the signal it was sent, which a shell shows as 130.
        found.note(program.end(draw.uniform(0, seconds), by), allowed=(0, 130, 143, -signal.SIGINT, -signal.SIGTERM))
    world.settle(found, command, workspace)
    shutil.rmtree(workspace, ignore_errors=True)
    return found


def _after(world: World, draw: random.Random, kind: str) -> Trial:
    found, workspace = Trial("kills", kind), world.finished()
    target = world.temporary("exported")
    commands = {
        "judge": world.judge,
        "export": ("export", "r", str(target)),
        "clean": ("clean", "r", "--yes"),
        "report": ("report", "r"),
    }
    command, before = commands[kind], numbers(workspace)
    if kind == "judge":
        shutil.rmtree(workspace / "journals")
    # The command's own time is measured on "export" into a folder of its own, which must not be there yet.
    seconds = world.seconds(("report", "r"), world.finished)
    found.note(world.start(*command, "--workspace", str(workspace)).end(draw.uniform(0, seconds)))
    if kind == "export":
        whole = (target / "counter.json").exists() and (target / "README.md").exists()
        found.check(whole or not target.exists(), "export: half a folder is there")
        shutil.rmtree(target, ignore_errors=True)
        beside = [path.name for path in target.parent.glob(f".{target.name}*")]
        found.check(not beside, f"export: left beside the target: {beside}")
    # A run that was removed before the kill is not there to be removed again.
    done = found.note(world.run(*command, "--workspace", str(workspace)), allowed=(0, 2) if kind == "clean" else (0,))
    if kind == "export":
        found.check((target / "counter.json").exists(), f"export: nothing exported: {done.stderr[-300:]}")
        shutil.rmtree(target, ignore_errors=True)
    if kind in ("judge", "report"):
        found.check(numbers(workspace) == before, f"{kind}: other numbers than before")
        found.check((workspace / "runs/r/report.html").exists(), f"{kind}: no report")
    world.settle(found, RUN, workspace)
    with contextlib.suppress(OSError):
        shutil.rmtree(workspace)
    return found
