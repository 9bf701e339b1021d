"""The notebooks in docs/examples run from the first cell to the last, as a reader would run them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.mark.slow
@pytest.mark.parametrize("notebook", sorted(path.name for path in EXAMPLES.glob("*.ipynb")))
def test_a_notebook_runs(notebook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.chdir(tmp_path)
    content: Any = nbformat.read(EXAMPLES / notebook, as_version=4)
    NotebookClient(content, timeout=300, kernel_name="python3").execute()
    assert all(cell.get("execution_count") for cell in content.cells if cell.cell_type == "code")
    assert not [cell for cell in content.cells if any(out.output_type == "stream" for out in cell.get("outputs", ()))]


def test_notebooks_are_stored_without_outputs() -> None:
    import nbformat

    for path in EXAMPLES.glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), path.name
