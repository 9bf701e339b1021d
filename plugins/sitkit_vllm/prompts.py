"""From prompts to tokens by the rule of the student ``hf``, so that both engines start from the same ones.

Plain: the prompt as it is. With a chat template: one user message after an optional system message; a template that can
think is told not to, unless ``thinking=true``. docs/vllm.md states the rule; a test holds it to what ``hf`` does, token
for token.
"""

from __future__ import annotations

from typing import Any

from sitkit.answers.thinking import CLOSES, OPENS
from sitkit.errors import ModelError
from sitkit_vllm.options import Options


class Prompts:
    """A tokenizer and whether prompts go through its chat template.

    ``opening`` is what the template has written of a thinking block already, where the model may think.
    """

    def __init__(self, tokenizer: Any, options: Options, ends: frozenset[int] = frozenset()) -> None:
        """Take the tokenizer, and the token ids that end a sequence beside its own.

        Raises `ModelError` where a chat template, or what only one can do, is asked for and there is none.
        """
        self._tokenizer = tokenizer
        self._system = options.system
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if options.chat_template == "on" and not has_template:
            raise ModelError(f"chat_template=on, but the tokenizer of {options.name} has no chat template")
        self._template = has_template and options.chat_template != "off"
        if self._system and not self._template:
            raise ModelError(f"system= needs a chat template, and the tokenizer of {options.name} has none")
        self._thinking = options.thinking
        if self._thinking and not self._template:
            raise ModelError(f"thinking=true needs a chat template, and the tokenizer of {options.name} has none")
        self.opening = OPENS if self._template and self._render("?").rstrip().endswith(OPENS) else ""
        self._ends = ends | ({int(tokenizer.eos_token_id)} if tokenizer.eos_token_id is not None else set())

    def tokens(self, text: str) -> list[int]:
        """Return the token ids that generation starts from."""
        if self._template:
            return self._ids(self._render(text), special=False)
        ids = self._ids(text, special=True)
        # A tokenizer that closes every text would otherwise end the sequence before the answer.
        return ids[:-1] if len(ids) > 1 and ids[-1] in self._ends else ids

    def _render(self, text: str) -> str:
        from jinja2 import TemplateError

        messages = [{"role": "system", "content": self._system}] if self._system else []
        messages.append({"role": "user", "content": text})
        try:
            rendered = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, enable_thinking=self._thinking
            )
        except TemplateError as error:
            raise ModelError(f"the chat template refuses these messages: {error}") from error
        if not self._thinking and rendered.rstrip().endswith(OPENS):
            # Some templates begin to think whatever they are told.
            return f"{rendered.rstrip()}\n\n{CLOSES}\n\n"
        return str(rendered)

    def _ids(self, text: str, *, special: bool) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=special)["input_ids"])


def load_prompts(options: Options) -> Prompts:
    """Load the tokenizer and return its `Prompts`. Raises `ModelError` if it cannot be loaded."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            options.model, revision=options.revision, trust_remote_code=options.trust_remote_code
        )
        ends = _further_ends(options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"cannot load the tokenizer of {options.name}: {str(error).splitlines()[0]}") from error
    return Prompts(tokenizer, options, ends)


def _further_ends(options: Options) -> frozenset[int]:
    from transformers import AutoConfig, GenerationConfig

    try:
        generation = GenerationConfig.from_pretrained(options.model, revision=options.revision)
    except OSError:
        # Models without the file have what their config says.
        config = AutoConfig.from_pretrained(
            options.model, revision=options.revision, trust_remote_code=options.trust_remote_code
        )
        generation = GenerationConfig.from_model_config(config)
    ends = generation.eos_token_id
    if ends is None:
        return frozenset()
    return frozenset(ends) if isinstance(ends, list | tuple) else frozenset({int(ends)})
