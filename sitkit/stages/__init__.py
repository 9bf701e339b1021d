"""The stages of Self-refine Instruction-Tuning, one file each, from the teacher's answers to the scores."""

from sitkit.stages.annotate import Annotate
from sitkit.stages.asking import Asking, Budget, Usage, journal_path, read_replies
from sitkit.stages.base import Node, Stage, Work, node
from sitkit.stages.evaluate import Evaluate
from sitkit.stages.instruct import Instruct
from sitkit.stages.pair import Pair
from sitkit.stages.refine import Refine
from sitkit.stages.sample import Sample

__all__ = [
    "Annotate",
    "Asking",
    "Budget",
    "Evaluate",
    "Instruct",
    "Node",
    "Pair",
    "Refine",
    "Sample",
    "Stage",
    "Usage",
    "Work",
    "journal_path",
    "node",
    "read_replies",
]
