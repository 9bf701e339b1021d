"""The example plugin's parts in a registry of their own: real stages, no torch."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from sitkit.providers import Provider
from sitkit.registry import Registry, build_registry, plugin_manager

# `make test-quick` looks at fewer examples of each property; `make test` at as many as hypothesis takes.
settings.register_profile("quick", max_examples=25, deadline=None)
if os.environ.get("SITKIT_TESTS") == "quick":
    settings.load_profile("quick")

EXAMPLE = Path(__file__).parent / "example_plugin" / "src"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A registry that holds the example plugin alone."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    import sitkit_example

    manager = plugin_manager()
    manager.register(sitkit_example, name="example")
    yield build_registry(manager, {"example": Provider("sitkit-example", "1.0")})
    for name in [name for name in sys.modules if name.split(".")[0] == "sitkit_example"]:
        del sys.modules[name]
