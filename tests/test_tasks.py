"""The lm-eval tasks that come with sitkit: indexed, rendered as the paper prints them, and run by lm-eval itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sitkit.harness.folders import tasks_dir
from sitkit.harness.tasks import DATA_DIR, as_doc, as_question, docs, process_results
from sitkit.types import Question

FILES = ("gsm8k", "multiarith")
TINY = ("tiny_chain", "tiny_shop", "tiny_cups", "tiny_gifts")
TASKS = [f"sit_{name}_{prompting}" for name in (*FILES, *TINY) for prompting in ("direct", "cot")]
GROUPS = [f"sit_{name}_{prompting}" for name in ("math", "all", "tiny") for prompting in ("direct", "cot")]

INSTRUCTION = "Answer the following mathematical question with numerical solution."
MATH = Question("q/0", "q", "number", INSTRUCTION, "How many rolls?", None, "16")
CHOICE = Question("c/0", "c", "choice", "Choose.", "Which?", ("red", "blue"), "B")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Three hand-written rows of each set, in its own format."""
    rows = {
        "gsm8k/test.jsonl": [
            {
                "question": f"Ann has {n} rolls and buys 2. How many?",
                "answer": f"{n}+2 = <<{n}+2={n + 2}>>{n + 2}\n#### {n + 2}",
            }
            for n in (3, 4, 5)
        ],
        "MultiArith/test.jsonl": [
            {"question": f" Bo has {n} pens. How many? ", "final_ans": f"{n}"} for n in (6, 7, 8)
        ],
    }
    for name, lines in rows.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A random Llama of two small layers behind lm-eval's own HFLM."""
    from lm_eval.models.huggingface import HFLM
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<pad>", "<bos>", "<eos>", *alphabet]
    inner = Tokenizer(models.BPE(vocab={token: at for at, token in enumerate(tokens)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", padding_side="left"
    )
    set_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=2048,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    folder = tmp_path_factory.mktemp("llama")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=8)


def evaluate(lm: Any, tasks: list[str], metadata: dict[str, Any]) -> dict[str, Any]:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=[str(tasks_dir())], include_defaults=False, metadata=metadata)
    results: dict[str, Any] = simple_evaluate(
        model=lm, tasks=tasks, task_manager=manager, limit=2, log_samples=True, gen_kwargs={"max_gen_toks": 4}
    )
    return results


def test_every_yaml_is_indexed() -> None:
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=[str(tasks_dir())], include_defaults=False)
    assert sorted(manager.all_subtasks) == sorted(TASKS)
    assert sorted(manager.all_groups) == sorted(GROUPS)
    # lm-eval skips a YAML it cannot read in silence: each file must give one name.
    assert len(list(tasks_dir().glob("**/*.yaml"))) == len(TASKS) + len(GROUPS)


@pytest.mark.slow
def test_file_benchmarks_run_from_a_data_folder_through_metadata(lm: Any, data_dir: Path) -> None:
    results = evaluate(lm, ["sit_all_direct", "sit_all_cot"], {"data_dir": str(data_dir)})
    expected = {
        "sit_gsm8k_direct": f"{INSTRUCTION}\nQuestion: Ann has 3 rolls and buys 2. How many?\nAnswer:",
        "sit_gsm8k_cot": f"{INSTRUCTION}\nQuestion: Ann has 3 rolls and buys 2. How many?\nAnswer: Let's think step by "
        "step",
        "sit_multiarith_direct": f"{INSTRUCTION}\nQuestion: Bo has 6 pens. How many?\nAnswer:",
        "sit_multiarith_cot": f"{INSTRUCTION}\nQuestion: Bo has 6 pens. How many?\nAnswer: Let's think step by step",
    }
    for task, prompt in expected.items():
        first = next(sample for sample in results["samples"][task] if sample["doc_id"] == 0)
        assert first["arguments"][0][0] == prompt
        generation = first["arguments"][0][1]
        assert generation["until"] == ["\nQuestion:"]
        assert generation["do_sample"] is False
        assert generation["max_gen_toks"] == 4
        assert results["results"][task]["accuracy,none"] == 0
        assert "accuracy_stderr,none" in results["results"][task]
        assert 0 <= results["results"][task]["extraction_failure,none"] <= 1
        assert results["n-samples"][task] == {"original": 3, "effective": 2}
    assert results["results"]["sit_math_cot"]["accuracy,none"] == 0
    assert first["target"] == "6"


@pytest.mark.slow
def test_embedded_benchmarks_run(lm: Any) -> None:
    pytest.importorskip("sitkit_tiny.benchmarks")
    results = evaluate(lm, ["sit_tiny_direct", "sit_tiny_cot"], {})
    for name in TINY:
        for prompting in ("direct", "cot"):
            assert len(results["samples"][f"sit_{name}_{prompting}"]) == 2
    cups = results["samples"]["sit_tiny_cups_cot"][0]["arguments"][0][0]
    assert "\nChoices:\nA) " in cups
    assert cups.endswith("\nAnswer: Let's think step by step")


def test_docs_come_from_the_environment_without_metadata(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_DIR, str(data_dir))
    rows = docs(benchmark="gsm8k", pretrained="some/model", config_source="x.yaml")["test"]
    assert [row["id"] for row in rows] == ["gsm8k/test/0", "gsm8k/test/1", "gsm8k/test/2"]


@pytest.mark.parametrize("question", [MATH, CHOICE])
def test_a_question_survives_the_way_through_a_dataset(question: Question) -> None:
    from datasets import Dataset

    assert as_question(Dataset.from_list([as_doc(question)])[0]) == question


def test_prompts_are_the_papers() -> None:
    doc = as_doc(CHOICE)
    assert doc["prompt_direct"] == "Choose.\nQuestion: Which?\nChoices:\nA) red\nB) blue\nAnswer:"
    assert doc["prompt_cot"] == "Choose.\nQuestion: Which?\nChoices:\nA) red\nB) blue\nAnswer: Let's think step by step"


@pytest.mark.parametrize(
    ("text", "accuracy", "failure"), [("The answer is 16.", 1, 0), ("The answer is 17.", 0, 0), ("Who knows", 0, 1)]
)
def test_results_are_judged_by_the_one_reader(text: str, accuracy: int, failure: int) -> None:
    assert process_results(as_doc(MATH), [text]) == {"accuracy": accuracy, "extraction_failure": failure}
