"""How an exported student is loaded, as text for its card: transformers, PEFT, vLLM, lm_eval."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sitkit.plugin_support import VLLM_LORA_RANKS as _RANKS
from sitkit.types import COT_TRIGGER

_PROMPT = f"Question: If you have 3 pens and buy 4 more, how many are there?\nAnswer: {COT_TRIGGER}"


@dataclass(frozen=True)
class LoadedBy:
    """What the commands need: the folder as written, the base's hub id if it has one, the student's options, a task.

    ``length`` is the longest answer in tokens, ``evaluation`` the flags of lm_eval that take the run's own questions.
    """

    name: str
    folder: Path
    adapter: bool
    base: str | None
    options: Mapping[str, str]
    task: str
    benchmark: str
    length: int
    evaluation: str

    @property
    def chat(self) -> bool:
        """Whether prompts go through the tokenizer's chat template."""
        return self.options.get("chat_template") != "off" and bool(self.template)

    @property
    def template(self) -> str:
        """The tokenizer's chat template, empty without one."""
        path, config = self.folder / "chat_template.jinja", self.folder / "tokenizer_config.json"
        if path.is_file():
            return path.read_text(encoding="utf-8")
        return str(json.loads(config.read_text(encoding="utf-8")).get("chat_template", "")) if config.is_file() else ""

    @property
    def place(self) -> str:
        """The folder as the commands name it, from the one it lies in."""
        return f"./{self.name}"


def loading(how: LoadedBy) -> Iterator[str]:
    """Yield the section. All but the vLLM commands are run by sitkit's tests, on a card of its own."""
    yield from ("## Load it", "")
    yield (
        f"With this folder as `{how.place}`. Prompts are those of the lm-eval tasks: the benchmark's instruction, the"
        f' question, the choices, and "Answer: {COT_TRIGGER}"'
        + (", as one user message of the chat template." if how.chat else ", as plain text.")
    )
    if how.adapter and not how.base:
        yield "`BASE` stands for the folder of the base model."
    yield from ("", "```python", *_python(how), "```", "")
    if how.adapter:
        yield from ("The same with PEFT's own classes, or merged into the base:", "", "```python")
        yield from ("from peft import AutoPeftModelForCausalLM", "")
        yield f"model = AutoPeftModelForCausalLM.from_pretrained({json.dumps(how.place)})"
        yield from ("model = model.merge_and_unload()", "```", "")
    yield from ("The accuracy above, from plain lm-eval:", "", "```", *_lm_eval(how), "```", "")
    yield from ("vLLM (the command is from its documentation, and was not run):", "", "```", _vllm(how), "```", "")


def _python(how: LoadedBy) -> Iterator[str]:
    yield from ("from transformers import AutoModelForCausalLM, AutoTokenizer", "")
    yield f"tokenizer = AutoTokenizer.from_pretrained({json.dumps(how.place)})"
    yield f"model = AutoModelForCausalLM.from_pretrained({json.dumps(how.place)})" + (
        "  # PEFT has to be installed" if how.adapter else ""
    )
    yield f"prompt = {json.dumps(_PROMPT)}"
    if how.chat:
        system = how.options.get("system")
        messages = [{"role": "system", "content": system}] if system else []
        yield f'messages = {json.dumps(messages)} + [{{"role": "user", "content": prompt}}]'
        yield (
            "inputs = tokenizer.apply_chat_template("
            'messages, add_generation_prompt=True, enable_thinking=False, return_tensors="pt", return_dict=True)'
        )
    else:
        yield 'inputs = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)'
    yield f"answer = model.generate(**inputs, max_new_tokens={how.length}, do_sample=False)"
    yield 'print(tokenizer.decode(answer[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))'


def _lm_eval(how: LoadedBy) -> Iterator[str]:
    model = f"{_base(how)},peft={how.place}" if how.adapter else f"pretrained={how.place}"
    if "enable_thinking" in how.template and how.chat:
        model += ",enable_thinking=False"
    chat = " --apply_chat_template" if how.chat else ""
    if how.chat and how.options.get("system"):
        chat += f" --system_instruction {shlex.quote(how.options['system'])}"
    yield f"lm_eval --model hf --model_args {shlex.quote(model)}{chat} --tasks {how.task} \\"
    yield f'  --include_path "$(sitkit tasks path {how.benchmark})" --gen_kwargs max_gen_toks={how.length} \\'
    yield f"  {how.evaluation}"


def _base(how: LoadedBy) -> str:
    revision = f",revision={how.options['revision']}" if how.options.get("revision") else ""
    return f"pretrained={how.base or 'BASE'}{revision}"


def _vllm(how: LoadedBy) -> str:
    if not how.adapter:
        return f"vllm serve {shlex.quote(how.place)}"
    rank = int(json.loads((how.folder / "adapter_config.json").read_text(encoding="utf-8")).get("r", _RANKS[0]))
    most = next((one for one in _RANKS if one >= rank), _RANKS[-1])
    named = shlex.quote(f"{how.name}={how.place}")
    return f"vllm serve {how.base or 'BASE'} --enable-lora --max-lora-rank {most} --lora-modules {named}"
