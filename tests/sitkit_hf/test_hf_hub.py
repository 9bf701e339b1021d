"""A student by its hub id, from a stand-in of the hub: its revisions, and what cannot be had in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sitkit.types import Generation, Prompt
from tests.completions import answered
from tests.installed import python
from tests.publish.hub import Repo, hub

ASKED = "Question: what is 3 plus 4?\nAnswer:"
LOAD = """
import json, sys
from sitkit.errors import ModelError
from sitkit.spec import parse_spec
from sitkit.types import Context, Generation, Prompt
from sitkit_hf import hf_student

found = []
for spec in sys.argv[2:]:
    student = hf_student(parse_spec(spec), Context())
    try:
        found.append([one.text for one in student.complete(None, [Prompt("q", sys.argv[1])], Generation(12))][0])
    except ModelError as error:
        found.append(str(error))
    student.close()
print(json.dumps(found))
"""


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_student_is_loaded_by_hub_id(
    tiny: Path, make_model: Callable[..., Path], make_student: Callable[..., Any], tmp_path: Path
) -> None:
    other = make_model(seed=5)
    with hub() as server:
        repo = server.repos["models/us/tiny"] = Repo()
        repo.names["v1"] = first = repo.commit(_files(other))
        repo.commit(_files(tiny))
        gated = server.repos["models/us/gated"] = Repo(gated=True)
        gated.commit(_files(tiny))
        done = python(
            *("-c", LOAD, ASKED, "hf:us/tiny", "hf:us/tiny,revision=v1", f"hf:us/tiny,revision={first}"),
            *("hf:us/tiny,revision=v2", "hf:us/nothing", "hf:us/gated"),
            path=tmp_path,
            cwd=None,
            **server.environment(str(tmp_path / "home")),
        )
    assert done.returncode == 0, done.stderr
    newest, tagged, pinned, *refused = json.loads(done.stdout)
    expected = [
        answered(make_student(folder).complete(None, [Prompt("q", ASKED)], Generation(12)))["q"]
        for folder in (tiny, other)
    ]
    assert [newest, tagged, pinned] == [expected[0], expected[1], expected[1]]
    assert expected[0] != expected[1]
    for text, name, said in zip(refused, ("tiny", "nothing", "gated"), ("v2", "not", "gated"), strict=True):
        assert text.startswith(f"cannot load us/{name}: ")
        assert said in text.partition(": ")[2]
        assert "\n" not in text
