"""The lm-eval tasks that come with sitkit: indexed, rendered as the paper prints them, and run by lm-eval itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import RecipeError
from sitkit.harness.folders import tasks_dir
from sitkit.harness.tasks import DATA_DIR, as_doc, as_question, docs, process_probe, process_results
from sitkit.registry import load_plugins
from sitkit.types import Question
from tests.sitkit_benchmarks.examples import PROMPTS, TARGETS, write_data_dir

QA = ("openbookqa", "commonsense_qa", "piqa", "social_i_qa", "mmlu")
MATHS = ("gsm8k", "multiarith", "hendrycks_math")
TINY = ("tiny_chain", "tiny_shop", "tiny_cups", "tiny_gifts")
GENERATING = [f"sit_{name}_{prompting}" for name in (*QA, *MATHS, *TINY) for prompting in ("direct", "cot")]
PROBES = [f"sit_{name}_probe" for name in QA]
GROUPS = [f"sit_{name}_{prompting}" for name in ("qa", "math", "all", "tiny") for prompting in ("direct", "cot")]
GROUPS += ["sit_qa_probe", *(f"sit_mmlu_subjects_{form}" for form in ("direct", "cot", "probe"))]

INSTRUCTION = "Answer the following mathematical question with numerical solution."
MATH = Question("q/0", "q", "number", INSTRUCTION, "How many rolls?", None, "16")
CHOICE = Question("c/0", "c", "choice", "Choose.", "Which?", ("red", "blue"), "B")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hand-written rows of each set, in its own format."""
    return write_data_dir(tmp_path_factory.mktemp("data"), copies=3)


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


def evaluate(
    lm: Any, tasks: list[str], metadata: dict[str, Any], folder: Path | None = None, limit: int | None = 2
) -> dict[str, Any]:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=[str(folder or tasks_dir())], include_defaults=False, metadata=metadata)
    results: dict[str, Any] = simple_evaluate(
        model=lm, tasks=tasks, task_manager=manager, limit=limit, log_samples=True, gen_kwargs={"max_gen_toks": 4}
    )
    return results


def first(results: dict[str, Any], task: str) -> Any:
    return next(sample for sample in results["samples"][task] if sample["doc_id"] == 0)


def reported(metrics: dict[str, Any]) -> None:
    """Accuracy and its standard error, and the rate of answers that could not be read beside it."""
    assert 0 <= metrics["accuracy,none"] <= 1
    assert isinstance(metrics["accuracy_stderr,none"], float)
    assert 0 <= metrics["extraction_failure,none"] <= 1
    # lm-eval's own models do not say what was cut, and a share of 0 would be a claim.
    assert not any(name.startswith("truncated") for name in metrics)


def test_every_yaml_is_indexed() -> None:
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=[str(tasks_dir())], include_defaults=False)
    assert sorted(manager.all_subtasks) == sorted(GENERATING + PROBES)
    assert sorted(manager.all_groups) == sorted(GROUPS)
    # lm-eval skips a YAML it cannot read in silence: each file must give one name.
    assert len(list(tasks_dir().glob("**/*.yaml"))) == len(GENERATING + PROBES) + len(GROUPS)


def test_each_benchmark_names_tasks_that_are_there() -> None:
    registry = load_plugins()
    for name in PROMPTS:
        for prompting in ("direct", "cot"):
            assert registry.benchmark(name).task(prompting) in GENERATING  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def results(lm: Any, data_dir: Path) -> dict[str, Any]:
    """Every task of the public benchmarks in one call, from a data folder through metadata."""
    return evaluate(lm, ["sit_all_direct", "sit_all_cot", "sit_qa_probe"], {"data_dir": str(data_dir)})


@pytest.mark.slow
@pytest.mark.parametrize("name", PROMPTS)
def test_generating_tasks_run_with_the_prompt_written_out_by_hand(results: dict[str, Any], name: str) -> None:
    for prompting, trigger in (("direct", ""), ("cot", " Let's think step by step")):
        task = load_plugins().benchmark(name).task(prompting)  # type: ignore[arg-type]
        prompt, generation = first(results, task)["arguments"][0]
        assert prompt == PROMPTS[name] + trigger
        assert generation["until"] == ["\nQuestion:"]
        assert generation["do_sample"] is False
        assert generation["max_gen_toks"] == 4
        assert results["n-samples"][task]["effective"] == 2
        reported(results["results"][task])


@pytest.mark.slow
@pytest.mark.parametrize("name", QA)
def test_probes_compare_the_options_letters_after_the_direct_prompt(results: dict[str, Any], name: str) -> None:
    task = f"sit_{name}_probe"
    sample = first(results, task)
    assert [argument[0] for argument in sample["arguments"]] == [PROMPTS[name]] * len(sample["arguments"])
    assert [argument[1] for argument in sample["arguments"]] == [f" {letter}" for letter in "ABCDE"][
        : PROMPTS[name].count(") ")
    ]
    values = [value[0] for value in sample["filtered_resps"]]
    assert sample["accuracy"] == int("ABCDE"[values.index(max(values))] == TARGETS[name])
    reported(results["results"][task])


@pytest.mark.slow
def test_groups_report_the_plain_mean_over_their_benchmarks(results: dict[str, Any]) -> None:
    for group, tasks in (
        ("sit_qa_cot", [f"sit_{name}_cot" for name in QA]),
        ("sit_math_direct", [f"sit_{name}_direct" for name in MATHS]),
        ("sit_all_direct", [f"sit_{name}_direct" for name in (*QA, *MATHS)]),
        ("sit_qa_probe", PROBES),
    ):
        values = [results["results"][task]["accuracy,none"] for task in tasks]
        assert results["groups"][group]["accuracy,none"] == pytest.approx(sum(values) / len(values))
        reported(results["groups"][group])


@pytest.mark.slow
def test_mmlu_by_subject_is_the_mean_over_questions(lm: Any, tmp_path: Path) -> None:
    sizes = {"anatomy": 4, "virology": 12}
    rows = [
        {"question": f"{subject} {at}?", "subject": subject, "choices": ["w", "x", "y", "z"], "answer": at % 4}
        for subject, size in sizes.items()
        for at in range(size)
    ]
    (tmp_path / "mmlu").mkdir()
    (tmp_path / "mmlu/test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    # Most of the 57 subjects have no row here: the group is run with those two alone.
    members = "sit_mmlu_subjects_probe"
    group = tmp_path / "two.yaml"
    group.write_text(
        (tasks_dir() / "mmlu/sit_mmlu_subjects_probe.yaml")
        .read_text()
        .replace("../", f"{tasks_dir()}/")
        .replace("_subjects.inc", str(tmp_path / "subjects.inc"))
    )
    subjects = (tasks_dir() / "mmlu/_subjects.inc").read_text()
    head, _, entries = subjects.partition("task:\n")
    assert len(entries.splitlines()) == 57
    kept = [line for line in entries.splitlines() if any(f"subset: {name}}}" in line for name in sizes)]
    (tmp_path / "subjects.inc").write_text(f"{head}task:\n" + "\n".join(kept) + "\n")
    results = evaluate(lm, [members], {"data_dir": str(tmp_path)}, folder=tmp_path, limit=None)
    found = {name: results["results"][f"{members}::{name}"] for name in sizes}
    tested = {name: results["n-samples"][f"{members}::{name}"]["effective"] for name in sizes}
    assert tested == {"anatomy": 3, "virology": 9}
    weighted = sum(found[name]["accuracy,none"] * tested[name] for name in sizes) / 12
    assert results["groups"][members]["accuracy,none"] == pytest.approx(weighted)


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


def test_questions_loaded_already_are_taken_under_either_name() -> None:
    for name in ("openbookqa", "obqa"):
        rows = docs(benchmark="openbookqa", alias="obqa", data_dir="/nowhere", questions={name: [CHOICE]})["test"]
        assert [row["id"] for row in rows] == ["c/0"]


def test_a_subset_is_one_group_of_the_questions(tmp_path: Path) -> None:
    rows = [
        {"question": f"q{at}", "subject": ("law", "art")[at % 2], "choices": ["x", "y"], "answer": 0} for at in range(8)
    ]
    (tmp_path / "mmlu").mkdir()
    file = tmp_path / "mmlu/test.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    where = {"benchmark": "mmlu", "data_dir": str(tmp_path)}
    law, art = (docs(subset=name, **where)["test"]["question"] for name in ("law", "art"))
    assert {int(text[1:]) % 2 for text in law} == {0}
    assert sorted([*law, *art]) == sorted(docs(**where)["test"]["question"])
    file.write_text(json.dumps(rows[1]) + "\n")
    with pytest.raises(RecipeError, match="mmlu has no test questions in a subset 'law'"):
        docs(subset="law", **where)
    with pytest.raises(RecipeError, match="tiny_cups has no subsets"):
        docs(benchmark="tiny_cups", subset="law")


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


def test_metadata_chooses_the_papers_containment() -> None:
    rows = docs(benchmark="c", questions={"c": [CHOICE]}, match="contains")["test"]
    walk = "A) red is wrong. B) blue is wrong. The answer is A."
    assert process_results(rows[0], [walk]) == {"accuracy": 1, "extraction_failure": 0}
    assert process_results(docs(benchmark="c", questions={"c": [CHOICE]})["test"][0], [walk])["accuracy"] == 0
    with pytest.raises(RecipeError, match="'exact': expected one of final, contains"):
        docs(benchmark="c", questions={"c": [CHOICE]}, match="exact")


@pytest.mark.slow
def test_lm_eval_itself_takes_it_from_metadata(lm: Any) -> None:
    results = evaluate(lm, ["sit_tiny_cups_cot"], {"match": "contains"})
    assert {sample["doc"]["match"] for sample in results["samples"]["sit_tiny_cups_cot"]} == {"contains"}


@pytest.mark.parametrize(
    ("values", "accuracy", "failure"),
    [((-3.0, -1.0), 1, 0), ((-1.0, -3.0), 0, 0), ((-2.0, -2.0), 0, 1), ((float("nan"), -1.0), 0, 1)],
)
def test_a_probe_takes_the_most_probable_option(values: tuple[float, ...], accuracy: int, failure: int) -> None:
    results = [(value, False) for value in values]
    assert process_probe(as_doc(CHOICE), results) == {"accuracy": accuracy, "extraction_failure": failure}
