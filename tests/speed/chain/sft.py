"""Instruction-tuning with stock SFTTrainer: ``sft.py MODEL DEMONSTRATIONS.jsonl OUT``."""

from __future__ import annotations

import sys

from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

model, demonstrations, out = sys.argv[1:]
rows = load_dataset("json", data_files=demonstrations, split="train")
trainer = SFTTrainer(
    model=AutoModelForCausalLM.from_pretrained(model),
    args=SFTConfig(
        output_dir=out,
        learning_rate=2.5e-4,
        max_steps=36,
        per_device_train_batch_size=32,
        train_sampling_strategy="group_by_length",
        lr_scheduler_type="cosine",
        warmup_steps=0.03,
        weight_decay=0.0,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        dataloader_pin_memory=False,
        seed=0,
    ),
    train_dataset=rows,
    processing_class=AutoTokenizer.from_pretrained(model),
    peft_config=LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"),
)
trainer.train()
trainer.save_model(out)
