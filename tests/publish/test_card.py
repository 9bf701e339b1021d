"""The model card: metadata the hub's own classes read back, true scores, and nothing of this machine."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sitkit.capabilities import CardFacts, ModelFacts
from sitkit.publish.card import Exported, model_card
from sitkit.publish.redact import Redactor, hub_id
from sitkit.recipe import recipe_from
from sitkit.results.accuracy import summarised
from sitkit.results.arms import choose
from sitkit.results.model import (
    Arm,
    Cell,
    Demonstrations,
    Lesson,
    Pairs,
    Results,
    SeedScore,
    Training,
    Usage,
)
from sitkit.results.rows import StoredRows
from sitkit.spec import parse_spec
from sitkit.store import Store, make_key
from sitkit.types import PROMPTINGS, Phase, Prompting

ANNOTATE, INSTRUCT, REFINE, PAIR, SCORE = (make_key(name) for name in "airps")
HUB = "hf:some-org/some-model,quantize=nf4"


ARM = Arm(
    student=HUB, teacher="gold", strategy="dpo-cot", train_on=("b",), refine_on=("b",), fraction=0.5, method="both",
    lessons=(Lesson(seed=3, annotate=(ANNOTATE,), instruct=INSTRUCT, pair=PAIR, refine=REFINE),),
)  # fmt: skip


def _cell(arm: Arm, phase: Phase, prompting: Prompting, value: float) -> Cell:
    taught, refined = phase != "baseline", phase == "refine"
    blank = Cell(
        student=arm.student, teacher=arm.teacher if taught else "", strategy=arm.strategy if refined else "",
        method=arm.method if refined else "", fraction=arm.fraction if taught else 1.0, phase=phase,
        train_on=arm.train_on if taught else (), refine_on=arm.refine_on if refined else (), benchmark="b",
        domain="math", transfer="trained", prompting=prompting, value=0.0, over_questions=0.0, over_seeds=None,
        deviation=None, n=0, unread=0.0, worked=0.0, worked_accuracy=None, other_accuracy=None, truncated=0.0,
        finished_accuracy=None, seeds=(),
    )  # fmt: skip
    score = SeedScore(
        seed=3, key=SCORE, n=100, value=value, stderr=0.05, unread=0, worked=0, worked_correct=0, characters=0,
        truncated=0, finished_correct=round(100 * value), repeated=0, repeated_answer="",
    )  # fmt: skip
    return summarised(blank, [score])


def _results(arm: Arm = ARM, *, label: str = "b by gold", **recipe: Any) -> Results:
    values: dict[Phase, float] = {"baseline": 0.25, "instruct": 0.5, "refine": 0.75}
    plain = {
        "student": arm.student, "teacher": arm.teacher, "strategy": arm.strategy, "train_on": list(arm.train_on),
        "refine_on": ["b"], "fraction": arm.fraction, "eval_on": ["b"], "cross": False, "methods": ["both"],
        "limit": None, "test_limit": 7, "seeds": [3], "data_dir": None, "drop_duplicates": False, "set": {},
    }  # fmt: skip
    return Results(
        built_from="",
        recipe={**plain, **recipe},
        versions={"sitkit": "0.1.0", "lm_eval": "0.4.13"},
        arms=(arm,),
        cells=tuple(
            _cell(arm, phase, prompting, value + (prompting == "cot") / 8)
            for phase, value in values.items()
            for prompting in PROMPTINGS
            if arm.train_on or phase != "instruct"
        ),
        changes=(),
        pairs=(
            Pairs(key=PAIR, label="", questions=9, direct_correct=4, cot_correct=5, total=9,
                  chosen_from={"student": 4, "teacher": 5, "target": 0}, chosen_characters=9, rejected_characters=9,
                  rejected_correct=0, rejected_truncated=0, truncated=0, without_demonstration=0, fell_back=0,
                  left_out=0, left_out_reasons={}),
        ),
        training=(
            Training(stage="instruct", label="", key=INSTRUCT, examples=12, dropped=0, steps=34, metrics={}),
        ),
        demonstrations=(
            Demonstrations(label=label, key=ANNOTATE, asked=9, answered=8, right=7, unanswered=0, truncated=0,
                           failed=0),
        ),
        teacher_scores=(),
        usage=Usage(),
        duplicates=(),
        tasks={"b": {"direct": "task_b_direct", "cot": "task_b_cot"}},
        notices=(),
        stages=(),
    )  # fmt: skip


def _exported(tmp_path: Path, results: Results, *, kind: str = "adapter", **more: Any) -> Exported:
    folder = tmp_path / "out"
    folder.mkdir(exist_ok=True)
    if kind == "adapter":
        (folder / "adapter_config.json").write_text('{"r": 20}')
    elif kind == "model":
        (folder / "config.json").write_text("{}")
    rest = {"phase": "refine", "title": "my student", "facts": ModelFacts(base="some-org/some-model"), **more}
    chosen = choose(results, rest["phase"], {}, "run")
    return Exported(folder=folder, chosen=chosen, results=results, stored=StoredRows(tmp_path / "w"), **rest)


def _card(tmp_path: Path, results: Results, **more: Any) -> Any:
    """The card as the hub's class reads it from a file."""
    from huggingface_hub import ModelCard

    path = tmp_path / "README.md"
    path.write_text(model_card(_exported(tmp_path, results, **more)), encoding="utf-8")
    return ModelCard.load(path)


def test_an_adapters_metadata_reads_back(tmp_path: Path) -> None:
    card = _card(tmp_path, _results())
    assert "llama.cpp" not in card.text
    found = card.data.to_dict()
    assert (found["library_name"], found["base_model"]) == ("peft", "some-org/some-model")
    assert (found["base_model_relation"], found["pipeline_tag"]) == ("adapter", "text-generation")
    assert "license" not in found
    assert {"sitkit", "lora", "sft"} <= set(found["tags"])
    values = {(one.metric_name, one.metric_value, one.metric_args["stderr"]) for one in card.data.eval_results}
    assert values == {("accuracy (direct)", 0.75, 0.05), ("accuracy (CoT)", 0.875, 0.05)}
    assert {(one.dataset_type, one.dataset_split, one.verified) for one in card.data.eval_results} == {
        ("b", "test", None)
    }
    again = type(card)(str(card))
    assert again.data.to_dict() == found
    assert "# my student" in card.text


def test_a_merged_model_is_transformers_own(tmp_path: Path) -> None:
    card = _card(tmp_path, _results(), kind="model", phase="instruct")
    assert "convert_hf_to_gguf.py './my student' --outtype f16 --outfile 'my student-f16.gguf'" in card.text
    found = card.data
    assert (found.library_name, found.base_model_relation) == ("transformers", "finetune")
    assert {one.metric_value for one in found.eval_results} == {0.5, 0.625}
    assert "dpo" not in found.tags


def test_what_loads_nowhere_claims_no_library(tmp_path: Path) -> None:
    card = _card(tmp_path, _results(), kind="none")
    assert card.data.library_name is None
    assert card.data.pipeline_tag is None
    assert "## Load it" not in card.text


def test_the_phase_that_was_exported_is_the_last_one_shown(tmp_path: Path) -> None:
    text = _card(tmp_path, _results(), phase="instruct").text
    assert "| instruct | cot | **62.5 ± 4.8** |" in text
    assert "| baseline | direct | 25.0 ± 4.3 |" in text
    assert "| refine |" not in text
    assert "Refinement on" not in text
    text = _card(tmp_path, _results()).text
    assert "| refine | cot | **87.5 ± 3.3** |" in text
    assert "9 preference pairs" in text
    assert "12 demonstrations, 34 steps" in text
    assert "50% of the training questions" in text


def test_a_student_that_was_refined_untaught_says_so(tmp_path: Path) -> None:
    lesson = Lesson(seed=3, annotate=(ANNOTATE,), pair=PAIR, refine=REFINE)
    card = _card(tmp_path, _results(replace(ARM, train_on=(), method="refine", lessons=(lesson,))))
    assert "without instruction-tuning before" in card.text
    assert "Instruction-tuning on" not in card.text
    assert "sft" not in card.data.tags
    assert "- refine\n" in card.text, "the recipe has the method"
    assert "| instruct |" not in card.text


def test_settings_are_those_that_determined_the_stages(tmp_path: Path) -> None:
    store = Store(tmp_path / "w")
    for stage, key, material in (
        ("instruct", INSTRUCT, {"settings": {"learning_rate": 0.125, "lora_r": 20}}),
        ("refine", REFINE, {"settings": {}, "objective": {"loss": ["sigmoid"], "weights": [1.0], "beta": 0.3}}),
        ("evaluate", SCORE, {"settings": {"max_new_tokens": 77}}),
    ):
        store.folder(stage, key).mkdir(parents=True)
        store.finish(stage, key, {"settings": material}, {}, 0, {})
    card = _card(tmp_path, _results())
    for part in ("learning_rate 0.125, lora_r 20", "beta 0.3", "max_gen_toks=77", "--max-lora-rank 32", "--limit 7"):
        assert part in card.text
    assert "dpo" in card.data.tags


def test_the_recipe_repeats_this_arm(tmp_path: Path) -> None:
    results = _results(train_on=["a", "b"], refine_on=["b", "c"], cross=True, seeds=[3, 4, 5])
    text = _card(tmp_path, results).text
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    recipe = recipe_from(yaml.safe_load(block), "card")
    assert (recipe.train_on, recipe.refined_on, recipe.seeds) == (("b",), ("b",), (3,))
    assert (recipe.student, recipe.fraction, recipe.test_limit) == ((HUB,), (0.5,), 7)
    assert recipe.cross is False


def test_hostile_texts_stay_text(tmp_path: Path) -> None:
    results = _results(label="<script>|x|\n---\nlicense: mit")
    card = _card(tmp_path, results, title="---\n# <b>")
    assert "<script>" not in card.text
    assert card.data.get("license") is None


def test_no_path_of_this_machine_is_in_it(tmp_path: Path) -> None:
    home = tmp_path / "home of someone"
    model, data = home / "models" / "llama", home / "data"
    for folder in (model, data, tmp_path / "w"):
        folder.mkdir(parents=True)
    arm = replace(
        ARM, student=f"hf:{model}", teacher=f"file:{home}/demos.jsonl,base_url=http://secret.host:8000/v1"
    )  # fmt: skip
    results = _results(
        arm,
        label=f"listed in {tmp_path}/w/store/x.jsonl, see /etc/hosts and ~/notes and C:\\Users\\me\\x.txt",
        data_dir=str(data),
        set={"annotate": {"x": f"{tmp_path}/w/store"}},
    )
    for kind in ("adapter", "model"):
        card = _card(tmp_path, results, kind=kind, facts=ModelFacts())
        for part in (str(tmp_path), "home of someone", "/etc", "~/", "C:\\", "Users", "secret.host", str(Path.home())):
            assert part not in str(card)
        assert card.data.base_model is None
        assert "hf:llama" in card.text
        assert "file:demos.jsonl" in card.text
        assert "DATA_DIR" in card.text


PART = st.text(st.characters(whitelist_categories=("L", "N"), max_codepoint=0x17F), min_size=1, max_size=8)


@given(st.lists(PART, min_size=2, max_size=5), st.sampled_from(["/", "~/", "./", "../", "C:\\"]))
def test_a_rooted_path_is_cut_down_to_its_last_part(parts: list[str], root: str) -> None:
    separator = "\\" if "\\" in root else "/"
    path = root + separator.join(parts)
    assert Redactor([]).text(f"see {path}, please") == f"see {parts[-1]}, please"


WORD = st.text(st.characters(whitelist_categories=("L",)), min_size=6)


@given(st.lists(st.tuples(WORD, WORD, WORD), min_size=1, max_size=3), st.sampled_from(" ,(':|`"))
def test_a_known_folder_is_gone_whatever_its_name_holds(parts: list[tuple[str, str, str]], between: str) -> None:
    # A blank or a bracket in a name ends what looks like a path, and the folder is known all the same.
    folder = Path("/rooted", *(between.join(part) for part in parts))
    text = Redactor([folder]).text(f"see {folder}/file in it")
    assert text == "see file in it"


def test_a_folder_whose_name_starts_like_a_known_one_is_cut_too() -> None:
    assert Redactor([Path("/root")]).text("in /root-of-it/a/b and /root and /root/c") == "in b and … and c"


@pytest.mark.parametrize(
    "text", ["tiny_chain/cot -3.3", "4/5 right", "https://arxiv.org/abs/2405.00402", "a 1.5e-4 / 2", "and/or", "n/a"]
)
def test_what_is_no_path_stays(text: str) -> None:
    assert Redactor([]).text(text) == text


def test_a_hub_id_is_one_unless_it_lies_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert hub_id("org/name") == "org/name"
    Path("org/name").mkdir(parents=True)
    for text in ("org/name", "./org", "/a/b", "~/x", "a/b/c", "", None, "a b/c"):
        assert hub_id(text) is None


def test_a_card_of_a_chat_model_goes_through_its_template(tmp_path: Path) -> None:
    facts = ModelFacts(
        base="o/m", revision="v1", chat=True, system="Be brief.", model_args={"enable_thinking": "False"}
    )
    text = _card(tmp_path, _results(), facts=facts).text
    assert "--apply_chat_template --system_instruction 'Be brief.'" in text
    assert "--model_args 'pretrained=o/m,revision=v1,peft=./my student,enable_thinking=False' --apply" in text
    assert "apply_chat_template(" in text
    assert "enable_thinking=False, return_tensors" in text
    thinks = ModelFacts(chat=True, model_args={"enable_thinking": "True", "think_end_token": "</think>"})
    assert "enable_thinking=True, return_tensors" in _card(tmp_path, _results(), facts=thinks).text
    assert "(revision v1)" in text
    assert "one user message of the chat template" in text
    assert "apply_chat_template" not in _card(tmp_path, _results()).text


def test_a_card_says_where_the_base_was_quantised(tmp_path: Path) -> None:
    told = "The base's weights were read from small.Q4_1.gguf (Q4_1, Q8_0), where they are quantised"
    assert told in _card(tmp_path, _results(), facts=ModelFacts(quantized="small.Q4_1.gguf (Q4_1, Q8_0)")).text
    assert "quantised" not in _card(tmp_path, _results(), facts=ModelFacts()).text


def test_hf_tells_what_a_card_needs(tmp_path: Path) -> None:
    from sitkit.registry import load_plugins

    registry = load_plugins()
    (tmp_path / "chat_template.jinja").write_text("{{ messages }} {% if enable_thinking %}{% endif %}")
    for name, more in (("hf", ""), ("vllm", ",max_num_seqs=2")):
        student = registry.student(parse_spec(f"{name}:o/m,revision=v1,system=Be brief.{more}"))
        assert isinstance(student, CardFacts)
        assert student.card_facts(tmp_path) == ModelFacts(
            base="o/m", revision="v1", chat=True, system="Be brief.", model_args={"enable_thinking": "False"}
        )
    student = registry.student(parse_spec("hf:o/m,chat_template=off"))
    (tmp_path / "chat_template.jinja").unlink()
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "x"}))
    assert isinstance(student, CardFacts)
    assert student.card_facts(tmp_path) == ModelFacts(base="o/m")
    local = registry.student(parse_spec("tiny"))
    assert isinstance(local, CardFacts)
    assert local.card_facts(tmp_path) == ModelFacts(chat=True)
