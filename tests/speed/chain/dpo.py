"""Pairs and preference optimisation: ``dpo.py MODEL ADAPTER PROMPTS DEMONSTRATIONS ANSWERS OUT``.

The chosen side is the student's own worked answer if it is right, else the teacher's; the rejected side its direct one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer

from sitkit.answers import is_correct
from sitkit.harness.tasks import as_question

model, adapter, prompts, demonstrations, answers, out = sys.argv[1:]


def read(path: str) -> list[dict[str, Any]]:
    """Return the rows of a JSONL file."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


taught = {row["id"]: row["completion"].strip() for row in read(demonstrations)}
own = {row["id"]: row for row in read(answers)}
rows = []
for asked in read(prompts):
    mine = own[asked["id"]]
    chosen = mine["cot"] if is_correct(as_question(asked["question"]), mine["cot"]) else taught.get(asked["id"])
    if chosen is not None and chosen != mine["direct"]:
        rows.append({"prompt": asked["cot"], "chosen": f" {chosen}", "rejected": f" {mine['direct']}"})
trainer = DPOTrainer(
    model=PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), adapter, is_trainable=True),
    args=DPOConfig(
        output_dir=out,
        learning_rate=1.5e-4,
        max_steps=40,
        per_device_train_batch_size=32,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=10,
        weight_decay=0.0,
        beta=0.1,
        precompute_ref_log_probs=True,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        dataloader_pin_memory=False,
        seed=0,
    ),
    train_dataset=Dataset.from_list(rows),
    processing_class=AutoTokenizer.from_pretrained(model),
)
trainer.train()
trainer.save_model(out)
