"""The lm-eval tasks of a benchmark that no plugin wrote any for: a folder that plain lm-eval takes as it is.

NAME/sit_NAME_cot.yaml, sit_NAME_direct.yaml    the two tasks, as those in tasks/ are
NAME/_task.inc                                  what they share
NAME/questions.jsonl, questions.py              the test questions, and what reads them wherever the folder lies
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sitkit.harness.tasks import as_row
from sitkit.store.jsonl import write_rows
from sitkit.types import Prompting, Question

_TASK = """\
include: _task.inc
task: {task}
doc_to_text: !function sitkit.harness.tasks.prompt_{prompting}
"""

_SHARED = """\
# Written by sitkit, which has to be installed beside lm-eval.
custom_dataset: !function questions.docs
test_split: test
output_type: generate_until
doc_to_target: !function sitkit.harness.tasks.target
process_results: !function sitkit.harness.tasks.process_results
num_fewshot: 0
generation_kwargs:
  do_sample: false
  temperature: 0
  until: ["\\nQuestion:"]
  max_gen_toks: 512
metric_list:
  - {{metric: accuracy, aggregation: mean, higher_is_better: true}}
  - {{metric: extraction_failure, aggregation: mean, higher_is_better: false}}
  - {{metric: truncated, aggregation: mean, higher_is_better: false}}
metadata:
  version: 1.0
  benchmark: {benchmark}
"""

_READER = '''\
"""The test questions beside this file, as lm-eval documents."""

from pathlib import Path

from sitkit.harness.tasks import docs_in


def docs(**metadata):
    """Return them for lm-eval's custom_dataset."""
    return docs_in(Path(__file__).with_name("questions.jsonl"), **metadata)
'''


def write_tasks(folder: Path, benchmark: str, tasks: Mapping[Prompting, str], questions: Sequence[Question]) -> None:
    """Write the tasks of these names, which ask these questions, into the folder ``folder/benchmark``."""
    folder = folder / benchmark
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "questions.jsonl", map(as_row, questions))
    (folder / "questions.py").write_text(_READER, encoding="utf-8")
    (folder / "_task.inc").write_text(_SHARED.format(benchmark=benchmark), encoding="utf-8")
    for prompting, task in tasks.items():
        (folder / f"{task}.yaml").write_text(_TASK.format(task=task, prompting=prompting), encoding="utf-8")
