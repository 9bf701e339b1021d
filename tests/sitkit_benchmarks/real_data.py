"""Where the real files lie, for the tests that need them: beside the checkout, never in it."""

from __future__ import annotations

from pathlib import Path

import pytest

DATA = Path(__file__).parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real files are not beside the checkout (../shared/data)")
NAMES = ("openbookqa", "commonsense_qa", "piqa", "social_i_qa", "gsm8k", "multiarith", "math", "mmlu")
