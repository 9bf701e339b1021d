"""The example plugin's parts in a registry of their own: real stages, no torch."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from sitkit.providers import Provider
from sitkit.registry import Registry, build_registry, plugin_manager

# Seconds say how busy the machine is, not whether a property holds: neither an example nor the drawing of one is timed.
settings.register_profile("whole", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# `make test-quick` looks at fewer examples of each property; `make test` at as many as hypothesis takes.
settings.register_profile("quick", settings.get_profile("whole"), max_examples=25)
settings.load_profile("quick" if os.environ.get("SITKIT_TESTS") == "quick" else "whole")

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


# These load torch, transformers or lm-eval, or start servers: slow as a whole, however short the single test is.
SLOW_FOLDERS = ("sitkit_hf", "sitkit_vllm", "sitkit_lmeval", "sitkit_openai", "judging", "docs", "publish")
SLOW_FILES = ("test_real_data.py", "test_real_answers.py", "test_bench.py", "test_hooks_documented.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        path = item.path.relative_to(here)
        if path.parts[0] in SLOW_FOLDERS or path.name in SLOW_FILES:
            item.add_marker(pytest.mark.slow)
    # A worker of xdist takes a module as a whole: begun last, a long one would keep the others waiting.
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])
