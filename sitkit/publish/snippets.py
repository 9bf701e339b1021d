"""How an exported student is loaded, as text for its card: transformers, PEFT, lm_eval, vLLM."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

from sitkit.capabilities import ModelFacts
from sitkit.plugin_support import VLLM_LORA_RANKS
from sitkit.types import COT_TRIGGER

_PROMPT = f"Question: If you have 3 pens and buy 4 more, how many are there?\nAnswer: {COT_TRIGGER}"


@dataclass(frozen=True, kw_only=True)
class Snippets:
    """Code and commands that load the student in ``folder``, which is called ``name``.

    ``task`` is an lm-eval task (empty: there is none to ask), ``tasks`` the folder it lies in, as a word of the shell,
    ``length`` the longest answer in tokens, ``evaluation`` the flags of lm_eval that take the run's own questions.
    All but `vllm` and `llama_cpp` are run by sitkit's tests, on a card of its own.
    """

    name: str
    folder: Path
    adapter: bool
    facts: ModelFacts
    task: str
    tasks: str
    length: int
    evaluation: str

    @property
    def place(self) -> str:
        """The folder as the commands name it, from the one it lies in."""
        return f"./{self.name}"

    @property
    def python(self) -> str:
        """Loading and one answer with transformers."""
        place = json.dumps(self.place)
        needs = "  # PEFT has to be installed" if self.adapter else ""
        return "\n".join(
            [
                "from transformers import AutoModelForCausalLM, AutoTokenizer",
                "",
                f"tokenizer = AutoTokenizer.from_pretrained({place})",
                f"model = AutoModelForCausalLM.from_pretrained({place}){needs}",
                f"prompt = {json.dumps(_PROMPT)}",
                *self._inputs(),
                f"answer = model.generate(**inputs, max_new_tokens={self.length}, do_sample=False)",
                'print(tokenizer.decode(answer[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))',
            ]
        )

    @property
    def peft(self) -> str:
        """Loading an adapter with PEFT."""
        return (
            "from peft import AutoPeftModelForCausalLM\n\n"
            f"model = AutoPeftModelForCausalLM.from_pretrained({json.dumps(self.place)})\n"
            "model = model.merge_and_unload()"
        )

    @property
    def lm_eval(self) -> str:
        """The command that gives the card's accuracy with CoT; empty where its questions are not to be had."""
        if not self.task:
            return ""
        revision = f",revision={self.facts.revision}" if self.facts.revision else ""
        base = f"pretrained={self.facts.base or 'BASE'}{revision},peft={self.place}"
        model = base if self.adapter else f"pretrained={self.place}"
        model += "".join(f",{name}={value}" for name, value in self.facts.model_args.items())
        chat = " --apply_chat_template" if self.facts.chat else ""
        if self.facts.chat and self.facts.system:
            chat += f" --system_instruction {shlex.quote(self.facts.system)}"
        last = f" \\\n  {self.evaluation}" if self.evaluation else ""
        return (
            f"lm_eval --model hf --model_args {shlex.quote(model)}{chat} --tasks {self.task} \\\n"
            f"  --include_path {self.tasks} --gen_kwargs max_gen_toks={self.length}{last}"
        )

    @property
    def vllm(self) -> str:
        """The command that serves it."""
        if not self.adapter:
            return f"vllm serve {shlex.quote(self.place)}"
        config = json.loads((self.folder / "adapter_config.json").read_text(encoding="utf-8"))
        rank = int(config.get("r", VLLM_LORA_RANKS[0]))
        most = next((allowed for allowed in VLLM_LORA_RANKS if allowed >= rank), VLLM_LORA_RANKS[-1])
        named = shlex.quote(f"{self.name}={self.place}")
        return (
            f"vllm serve {self.facts.base or 'BASE'} --enable-lora --max-lora-rank {most} --lora-modules {named}"
        )  # fmt: skip

    @property
    def llama_cpp(self) -> str:
        """The commands that turn the merged model into a GGUF and serve it, in a checkout of llama.cpp."""
        place, out = shlex.quote(self.place), shlex.quote(f"{self.name}-f16.gguf")
        return f"python convert_hf_to_gguf.py {place} --outtype f16 --outfile {out}\nllama-server -m {out}"

    def _inputs(self) -> list[str]:
        if not self.facts.chat:
            return ['inputs = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)']
        thinking = self.facts.model_args.get("enable_thinking", "False")
        messages = [{"role": "system", "content": self.facts.system}] if self.facts.system else []
        return [
            f'messages = {json.dumps(messages)} + [{{"role": "user", "content": prompt}}]',
            "inputs = tokenizer.apply_chat_template("
            f'messages, add_generation_prompt=True, enable_thinking={thinking}, return_tensors="pt", return_dict=True)',
        ]
