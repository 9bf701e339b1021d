"""A run that found exactly what the paper prints for one of its students, as typed results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sitkit.results.accuracy import summarised
from sitkit.results.build import _changes
from sitkit.results.artifacts import StoredRows
from sitkit.results.model import Cell, Results, SeedScore, TeacherScore, Usage
