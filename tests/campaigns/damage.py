"""Files of a workspace damaged at random, and every command tried on what is left."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from sitkit.results.model import Results, digest_of
from tests.campaigns.world import RUN, Trial, World, numbers

_COUNTED = ("cells", "pairs", "training", "demonstrations", "teacher_scores", "usage")


def trial(world: World, draw: random.Random) -> Trial:
    """Damage one to three files, try three commands, and run again."""
    workspace = world.finished()
    before, judged = numbers(workspace), _ratings(workspace)
    done = []
    wanted = draw.choice([1, 1, 1, 2, 3])
    while len(done) < wanted:
        path = _pick(workspace, draw)
        name = draw.choice([name for name in DAMAGES if name != "forge" or path.name == "results.json"])
        try:
            DAMAGES[name](path, draw)
        except (OSError, ValueError, LookupError):
            continue
        done.append(f"{name} {path.relative_to(workspace).as_posix()}")
    found = Trial("damage", "; ".join(done))
    for kind in draw.sample(["report", "runs", "compare", "export", "judge", "clean"], 3):
        _try(world, found, kind, workspace, before, judged)
    world.settle(found, RUN, workspace)
    shutil.rmtree(workspace, ignore_errors=True)
    return found


def _pick(workspace: Path, draw: random.Random) -> Path:
    """Return a file: one of the run's own folder as often as one of the store or any other."""
    groups = [
        [path for path in sorted((workspace / part).rglob("*")) if path.is_file()]
        for part in ("runs", "runs", "store", "journals", "locks")
    ]
    return draw.choice(draw.choice([group for group in groups if group]))


def _try(world: World, found: Trial, kind: str, workspace: Path, before: Any, judged: Any) -> None:
    target, there = world.temporary("exported"), ("--workspace", str(workspace))
    commands = {
        "report": ("report", "r"), "runs": ("runs", "--json"), "compare": ("compare", "r", "r"),
        "export": ("export", "r", str(target)), "judge": world.judge, "clean": ("clean", "--dry-run"),
    }  # fmt: skip
    done = found.note(world.run(*commands[kind], *there))
    if done.code == 0:
        if kind in ("report", "judge"):
            found.check(numbers(workspace) == before, f"{kind}: shows other numbers after {found.what}")
        if kind == "judge":
            found.check(_ratings(workspace) == judged, f"judge: other ratings after {found.what}")
        if kind == "runs":
            for run in json.loads(done.stdout)["runs"]:
                cells = [cell for cell in before["cells"] if cell["phase"] == "refine" and cell["prompting"] == "cot"]
                shown = run.get("accuracy", {}).get("refine", cells[0]["value"])
                found.check(shown == cells[0]["value"], f"runs: shows {shown} after {found.what}")
        if kind == "export":
            learnt = json.loads((target / "counter.json").read_bytes())
            found.check(learnt == {"reach": 9}, f"export: wrote {learnt} after {found.what}")
    shutil.rmtree(target, ignore_errors=True)


def _ratings(workspace: Path) -> Any:
    (path,) = (workspace / "runs" / "r" / "judgements").glob("*.json")
    plain = json.loads(path.read_bytes())
    return {name: plain[name] for name in ("ratings", "changes", "outcomes")}


def _flip(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice([1, 1, 4])):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def _cut(path: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content))])


def _garbage(path: Path, draw: random.Random) -> None:
    path.write_bytes(draw.randbytes(draw.randrange(2000)))


def _folder(path: Path, draw: random.Random) -> None:
    path.unlink()
    path.mkdir()


def _swap(path: Path, draw: random.Random) -> None:
    other = draw.choice([one for one in path.parent.rglob("*") if one.is_file()])
    path.write_bytes(other.read_bytes())


def _number(path: Path, draw: random.Random) -> None:
    """Change a digit, so that JSON stays JSON."""
    content = bytearray(path.read_bytes())
    place = draw.choice([place for place, byte in enumerate(content) if 48 <= byte <= 57])
    content[place] = 48 + (content[place] - 48 + draw.randint(1, 9)) % 10
    path.write_bytes(content)


def _lines(path: Path, draw: random.Random) -> None:
    """Drop, repeat or move lines."""
    lines = path.read_bytes().splitlines(keepends=True)
    line = lines.pop(draw.randrange(len(lines)))
    for _ in range(draw.randint(0, 2)):
        lines.insert(draw.randint(0, len(lines)), line)
    path.write_bytes(b"".join(lines))


def _forge(path: Path, draw: random.Random) -> None:
    """Change a number in results.json and write the digest that fits."""
    plain = json.loads(path.read_bytes())
    places: list[tuple[Any, Any]] = []
    for name in _COUNTED:
        _collect(plain[name], places)
    inner, key = draw.choice(places)
    inner[key] = inner[key] + 1 if isinstance(inner[key], int) else inner[key] / 2 + 0.125
    results = msgspec.convert(plain, Results)
    path.write_bytes(msgspec.json.encode({**plain, "digest": digest_of(results)}))


def _collect(value: Any, places: list[tuple[Any, Any]]) -> None:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(inner, dict | list):
            _collect(inner, places)
        elif isinstance(inner, int | float) and not isinstance(inner, bool) and key not in ("fraction", "seed"):
            places.append((value, key))


DAMAGES: dict[str, Callable[[Path, random.Random], None]] = {
    "flip": _flip, "cut": _cut, "garbage": _garbage, "empty": lambda path, draw: path.write_bytes(b"") and None,
    "remove": lambda path, draw: path.unlink(), "folder": _folder, "swap": _swap, "number": _number, "lines": _lines,
    "forge": _forge,
}  # fmt: skip
