"""docs/settings.md lists every setting with its default and its sentence."""

import dataclasses
from pathlib import Path

from sitkit.settings import STAGE_SETTINGS, setting_types
from sitkit.validation import description

DOC = Path(__file__).parents[2] / "docs" / "settings.md"


def test_every_setting_is_listed_as_it_is() -> None:
    text = DOC.read_text(encoding="utf-8")
    for stage, kind in STAGE_SETTINGS.items():
        section = text.partition(f"## {stage}\n")[2].partition("\n## ")[0]
        types = setting_types(stage)
        rows = [
            f"| `{field.name}` | {'-' if field.default is None else field.default} | {description(types[field.name])} |"
            for field in dataclasses.fields(kind)
        ]
        assert [line for line in section.splitlines() if line.startswith("| `")] == rows, f"expected: {rows}"
