"""The student's answers to its training questions, with lm-eval's hf model: ``sample.py MODEL ADAPTER PROMPTS OUT``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

model, adapter, prompts, out = sys.argv[1:]
rows = [json.loads(line) for line in Path(prompts).read_text(encoding="utf-8").splitlines()]
arguments = {"until": ["\nQuestion:"], "max_gen_toks": 96, "temperature": 0.7, "do_sample": True, "top_k": 0}
requests = [
    Instance("generate_until", {}, (row[prompting], dict(arguments)), index)
    for index, row in enumerate(rows)
    for prompting in ("direct", "cot")
]
lm = HFLM(pretrained=model, peft=adapter, device="cpu", dtype="float32", batch_size=64)
answers = lm.generate_until(requests)
with Path(out).open("w", encoding="utf-8") as file:
    for index, row in enumerate(rows):
        told = {"id": row["id"], "direct": answers[2 * index].strip(), "cot": answers[2 * index + 1].strip()}
        file.write(json.dumps(told) + "\n")
