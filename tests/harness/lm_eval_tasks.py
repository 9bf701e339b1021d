"""Small lm-eval tasks in files of their own, of both kinds, written for the tests; they know nothing of sitkit."""

from __future__ import annotations

import json
from pathlib import Path

_WORDS = ("stone", "river", "cloud", "lamp", "bell", "oak", "kitchen", "pear", "hat", "ship", "window", "plant")

_SHARED = """\
dataset_path: json
dataset_kwargs:
  data_files:
    validation: {rows}
    train: {shots}
validation_split: validation
fewshot_split: train
num_fewshot: 2
"""

_CHOICE = """\
task: {name}
output_type: multiple_choice
doc_to_text: "The word after {{{{word}}}} is"
doc_to_choice: "{{{{options}}}}"
doc_to_target: "{{{{right}}}}"
metric_list:
  - metric: acc
  - metric: acc_norm
"""

_WRITTEN = """\
task: {name}
output_type: generate_until
doc_to_text: "How many letters are in the word {{{{word}}}}? Let's think step by step"
doc_to_target: "{{{{letters}}}}"
generation_kwargs:
  until: ["\\n"]
  max_gen_toks: 8
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
filter_list:
  - name: number
    filter:
      - function: regex
        regex_pattern: "(\\\\d+)"
      - function: take_first
"""


def write_tasks(folder: Path) -> dict[str, Path]:
    """Write a task of choices, "after", and one that is answered in words, "count"; return name -> its YAML."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"word": word, "options": [f" {_WORDS[at - 1]}", f" {_WORDS[at - 3]} and more"], "right": at % 2,
         "letters": str(len(word))}
        for at, word in enumerate(_WORDS)
    ]  # fmt: skip
    for name, part in (("rows", rows[3:]), ("shots", rows[:3])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    shared = _SHARED.format(rows=folder / "rows.jsonl", shots=folder / "shots.jsonl")
    found = {}
    for name, text in (("after", _CHOICE), ("count", _WRITTEN)):
        found[name] = folder / f"{name}.yaml"
        found[name].write_text(text.format(name=name) + shared)
    return found
