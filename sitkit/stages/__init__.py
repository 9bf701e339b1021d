"""The stages of Self-refine Instruction-Tuning, one file each, from the teacher's answers to the scores."""

from sitkit.stages.annotate import Annotate
from sitkit.stages.base import Node, Stage, Work
from sitkit.stages.evaluate import Evaluate
from sitkit.stages.evaluate_task import EvaluateTask
from sitkit.stages.explore import Explore
from sitkit.stages.instruct import Instruct
from sitkit.stages.pair import Pair
from sitkit.stages.refine import Refine
from sitkit.stages.sample import Sample
from sitkit.stages.teacher_calls import Budget, TeacherSession, Usage, read_replies, usage_of

__all__ = [
    "Annotate",
    "Budget",
    "Evaluate",
    "EvaluateTask",
    "Explore",
    "Instruct",
    "Node",
    "Pair",
    "Refine",
    "Sample",
    "Stage",
    "TeacherSession",
    "Usage",
    "Work",
    "read_replies",
    "usage_of",
]
