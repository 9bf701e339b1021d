"""``sitkit run`` with a teacher behind an endpoint and a student that costs no time."""

from __future__ import annotations

from pathlib import Path

from tests.installed import distribution

STUDENT = '''
import json
from collections import Counter

from sitkit import hookimpl
from sitkit.types import TrainingReport


class Echo:
    """Learns the completion it sees most often, and says it from then on."""

    def fingerprint(self):
        return {"echo": 1}

    def check(self, settings, objective):
        pass

    def recommended(self):
        return {}

    def instruct(self, demonstrations, settings, *, out, scratch, seed, progress):
        return self._learn(out, [one.completion for one in demonstrations])

    def refine(self, start, pairs, objective, settings, *, out, scratch, seed, progress):
        return self._learn(out, [pair.chosen for pair in pairs])

    def _learn(self, out, completions):
        out.mkdir(parents=True, exist_ok=True)
        (out / "said.json").write_text(json.dumps(Counter(completions).most_common(1)[0][0]), encoding="utf-8")
        return TrainingReport(steps=1, metrics={})

    def complete(self, adapter, prompts, generation):
        said = "no idea" if adapter is None else json.loads((adapter / "said.json").read_text(encoding="utf-8"))
        for prompt in prompts:
            yield prompt.id, f"{said} {len(prompt.text)}"

    def export(self, adapter, out, *, merge):
        raise NotImplementedError

    def close(self):
        pass


@hookimpl
def sitkit_students(register):
    register("echo", lambda spec, context: Echo())
'''


def install_student(site: Path) -> Path:
    """Put the student into a folder that can be installed for one process alone, and return it."""
    site.mkdir(parents=True, exist_ok=True)
    distribution(site, "sitkit-echo", STUDENT)
    return site


def arguments(teacher: str, workspace: Path, *more: str, student: str = "echo") -> list[str]:
    """The arguments of a run of 600 questions that ends with a few scores."""
    return [
        "run", "--teacher", teacher, "--student", student, "--train-on", "tiny_chain,tiny_cups", "--eval-on",
        "tiny_chain", "--test-limit", "4", "--set", "annotate.keep=all", "--no-eval-teacher", "--name", "r",
        "--workspace", str(workspace), *more,
    ]  # fmt: skip
