"""A student or teacher from a GGUF: read as transformers reads it, turned into safetensors once, and told so."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import ModelError, SpecError
from sitkit.plugin_support import NOTICES
from sitkit.spec import Spec, parse_spec
from sitkit.types import Context, Demonstration, Generation, Objective, PreferencePair, Prompt
from tests.completions import answered

NAME = "model.Q8_0.gguf"


def write_gguf(model: Path, path: Path) -> None:
    """Write the tiny Llama with its linear layers in Q8_0, as llama.cpp's converter does."""
    from gguf import GGMLQuantizationType, GGUFWriter, quantize
    from safetensors.numpy import load_file

    config = json.loads((model / "config.json").read_text())
    heads = {"q": config["num_attention_heads"], "k": config["num_key_value_heads"]}
    vocabulary = json.loads((model / "tokenizer.json").read_text())["model"]["vocab"]
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads["q"])
    writer.add_head_count_kv(heads["k"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(sorted(vocabulary, key=vocabulary.__getitem__))
    writer.add_token_types([3 if place < 6 else 1 for place in range(len(vocabulary))])
    # Without merges transformers takes them from the scores, and letters alone have none.
    writer.add_token_scores([0.0] * len(vocabulary))
    for kind, place in (("pad", 0), ("bos", 1), ("eos", 2), ("unk", 0)):
        getattr(writer, f"add_{kind}_token_id")(place)
    names = {
        "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "model.layers.": "blk.",
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    for key, weight in load_file(model / "model.safetensors").items():
        name = key
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)
        for kind, count in heads.items():
            if f"attn_{kind}." in name:
                half = weight.shape[0] // count // 2
                weight = weight.reshape(count, 2, half, -1).swapaxes(1, 2).reshape(weight.shape)
        if weight.ndim == 2 and "blk" in name:
            kind = GGMLQuantizationType.Q8_0
            writer.add_tensor(name, quantize(weight, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("assets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.utils._cache_assets.HF_ASSETS_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def file(tiny: Path, tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    path: Path = tmp_path_factory.mktemp("gguf") / NAME
    write_gguf(tiny, path)
    return path


@pytest.fixture(scope="module")
def student(file: Path, make_student: Callable[..., Any]) -> Any:
    return make_student(file.parent, gguf=NAME, dtype="float32")


def test_weights_and_tokens_are_those_that_transformers_reads(student: Any, file: Path, tiny: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = student.load(None)
    where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": NAME}
    theirs = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32).state_dict()
    ours = model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    original = AutoModelForCausalLM.from_pretrained(tiny).state_dict()
    furthest = max(float((ours[name] - original[name]).abs().max()) for name in original)
    assert 0 < furthest < 0.01
    text = "Adding 12 and 30 gives <|user|> 42.</s>"
    expected = AutoTokenizer.from_pretrained(**where)
    assert (
        tokenizer(text)["input_ids"]
        == expected(text)["input_ids"]
        == AutoTokenizer.from_pretrained(tiny)(text)["input_ids"]
    )


def test_it_is_taught_refined_and_exported_like_any_other(
    student: Any,
    demonstrations: Sequence[Demonstration],
    pairs: Sequence[PreferencePair],
    quick: Any,
    work: dict[str, Any],
    tmp_path: Path,
) -> None:
    from sitkit.settings import RefineSettings

    student.instruct(demonstrations, quick, **work)
    refined = {**work, "out": tmp_path / "refined", "scratch": tmp_path / "refining"}
    told = student.refine(work["out"], pairs, Objective(), RefineSettings(max_steps=1, batch_size=8), **refined)
    assert told.metrics["first_loss"] == pytest.approx(0.693147, abs=1e-4)
    student.export(refined["out"], tmp_path / "adapter", merge=False)
    base = Path(json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"])
    assert base == Path(student.models.place())
    assert (base / "model.safetensors").is_file()
    student.export(refined["out"], tmp_path / "merged", merge=True)
    assert "quantization_config" not in json.loads((tmp_path / "merged" / "config.json").read_text())
    assert student.card_facts(tmp_path / "merged").quantized == f"{NAME} (Q8_0)"


def test_that_it_is_quantised_is_told_where_it_answers(
    file: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import sitkit_hf

    teacher: Any = sitkit_hf.hf_teacher(Spec("hf", str(file.parent), {"gguf": NAME}), Context())
    with caplog.at_level(logging.WARNING, NOTICES):
        list(teacher.complete([Prompt("1", "x")], Generation(1)))
    assert caplog.messages == [
        f"the weights of {NAME} are quantised in the file (Q8_0): scores are not those of the model it was made from"
    ]


def test_its_fingerprint_is_that_of_its_bytes(file: Path, tmp_path: Path, make_student: Callable[..., Any]) -> None:
    before = make_student(file.parent, gguf=NAME).fingerprint()
    elsewhere = tmp_path / "other.gguf"
    content = file.read_bytes()
    elsewhere.write_bytes(content)
    assert make_student(tmp_path, gguf="other.gguf").fingerprint() == before
    elsewhere.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert make_student(tmp_path, gguf="other.gguf").fingerprint() != before


def test_a_damaged_copy_is_made_anew_and_named(
    file: Path, cache: Path, make_student: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    asked = [Prompt("1", "Question: what is 3 plus 4?\nAnswer:")]
    before = make_student(file.parent, gguf=NAME)
    expected = answered(before.complete(None, asked, Generation(8)))
    weights = Path(before.models.place()) / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with caplog.at_level(logging.WARNING, NOTICES):
        again = make_student(file.parent, gguf=NAME)
        assert answered(again.complete(None, asked, Generation(8))) == expected
    assert "model.safetensors has changed" in caplog.text
    assert weights.read_bytes() == content


def test_what_is_no_gguf_is_one_line(tiny: Path, file: Path, tmp_path: Path, make_student: Callable[..., Any]) -> None:
    with pytest.raises(SpecError, match="not a folder"):
        make_student(Path("org/name"), gguf=NAME)
    with pytest.raises(SpecError, match=r"the name of a \*\.gguf file"):
        make_student(file.parent, gguf="../model.gguf")
    with pytest.raises(ModelError, match=f"gguf=FILE reads one of its GGUF files: {NAME}"):
        make_student(file.parent)
    with pytest.raises(ModelError, match=f"No such file.*{NAME}"):
        make_student(file.parent, gguf="other.gguf")
    (tmp_path / NAME).write_bytes(b"pickle")
    with pytest.raises(ModelError, match="is not a GGUF file"):
        make_student(tmp_path, gguf=NAME)
    (tmp_path / NAME).write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ModelError, match="cannot load") as raised:
        list(make_student(tmp_path, gguf=NAME).complete(None, [Prompt("1", "x")], Generation(1)))
    assert "\n" not in str(raised.value)


def test_a_file_recommends_settings_in_place_of_the_folders(tiny: Path, tmp_path: Path) -> None:
    import sitkit_hf

    (tmp_path / "own.json").write_text('{"recommended": {"instruct": {"epochs": 2}}}')
    for model in (str(tiny), "org/name"):
        spec = parse_spec(f"hf:{model},recommended={tmp_path}/own.json")
        assert sitkit_hf.hf_student(spec, Context()).recommended() == {"instruct": {"epochs": 2}}
    with pytest.raises(SpecError, match=r"missing\.json: expected a file such as sitkit\.json"):
        sitkit_hf.hf_student(parse_spec("hf:org/name,recommended=missing.json"), Context())
    with pytest.raises(SpecError, match="recommended= is for students"):
        sitkit_hf.hf_teacher(parse_spec(f"hf:org/name,recommended={tmp_path}/own.json"), Context())
