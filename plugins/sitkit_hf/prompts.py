"""From prompts and completions to tokens, the same way in training and in generation."""

from __future__ import annotations

from typing import Any

from sitkit.answers.thinking import CLOSES, OPENS
from sitkit.errors import ModelError
from sitkit_hf.options import Options


class Prompts:
    """Joins prompts and completions for one tokenizer, with its chat template or as plain text.

    Plain: prompt, a blank, completion, end of sequence; generation starts from the prompt as it is. With a template:
    the prompt is one user message (after an optional system message), the completion the assistant's turn. A
    template that can think (Qwen3's) is told not to, and a thinking block that it begins all the same is closed: the
    reasoning to learn is the demonstration's. With ``thinking=true`` it thinks; ``opening`` is then what the template
    has written of the block already.
    """

    def __init__(self, tokenizer: Any, options: Options, ends: tuple[int, ...] = ()) -> None:
        """Take the tokenizer, and the token ids that end a sequence beside the tokenizer's own."""
        self.tokenizer = tokenizer
        self.system = options.system
        self.thinking = options.thinking
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if options.chat_template == "on" and not has_template:
            raise ModelError(f"chat_template=on, but the tokenizer of {options.name} has no chat template")
        self.template = has_template and options.chat_template != "off"
        if self.system and not self.template:
            raise ModelError(f"system= needs a chat template, and the tokenizer of {options.name} has none")
        if self.thinking and not self.template:
            raise ModelError(f"thinking=true needs a chat template, and the tokenizer of {options.name} has none")
        self.opening = OPENS if self.template and self._render("?", None).rstrip().endswith(OPENS) else ""
        own = () if tokenizer.eos_token_id is None else (int(tokenizer.eos_token_id),)
        self.ends = tuple(dict.fromkeys((*own, *ends)))

    def prompt(self, text: str) -> list[int]:
        """Return the token ids that generation starts from."""
        if self.template:
            return self._ids(self._render(text, None), special=False)
        ids = self._ids(text, special=True)
        # A tokenizer that closes every text would otherwise end the sequence before the answer.
        return ids[:-1] if len(ids) > 1 and ids[-1] in self.ends else ids

    def count(self, completion: str) -> int:
        """Return how many tokens a completion takes, without the one that ends it."""
        return len(self._ids(completion, special=False))

    def joined(self, prompt: str, completion: str) -> tuple[list[int], list[int]]:
        """Return the prompt's token ids, exactly those of `prompt`, and the completion's, closed by an end token."""
        if not self.ends:
            raise ModelError("the tokenizer has no end-of-sequence token, so a model cannot learn where to stop")
        head = self.prompt(prompt)
        completion = completion.strip()
        if self.template:
            before, text = self._render(prompt, None), self._render(prompt, completion)
            if not text.startswith(before):
                text = before + completion
            tail = self._tail(head, before, text, special=False)
            return head, self._closed(tail)
        tail = self._tail(head, prompt, f"{prompt} {completion}", special=True)
        return head, self._closed(tail)

    def _tail(self, head: list[int], before: str, text: str, *, special: bool) -> list[int]:
        ids = self._ids(text, special=special)
        if ids[: len(head)] == head:
            return ids[len(head) :]
        # Tokens merge across the boundary: the completion is tokenised by itself, so that the prefix stays
        # what generation starts from.
        return self._ids(text[len(before) :], special=False)

    def _closed(self, tail: list[int]) -> list[int]:
        for index, token in enumerate(tail):
            if token in self.ends:
                # Templates may write more after the end of a turn, a line break say; it is never generated.
                return tail[: index + 1]
        return [*tail, self.ends[0]]

    def _render(self, prompt: str, completion: str | None) -> str:
        messages = [{"role": "system", "content": self.system}] if self.system else []
        messages.append({"role": "user", "content": prompt})
        if completion is not None:
            messages.append({"role": "assistant", "content": completion})
        from jinja2 import TemplateError

        try:
            text = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=completion is None, enable_thinking=self.thinking
            )
        except TemplateError as error:
            raise ModelError(f"the chat template refuses these messages: {error}") from error
        if completion is None and not self.thinking and text.rstrip().endswith(OPENS):
            return f"{text.rstrip()}\n\n{CLOSES}\n\n"
        return str(text)

    def _ids(self, text: str, *, special: bool) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=special)["input_ids"])


def end_tokens(model: Any) -> tuple[int, ...]:
    """Return the ids that end a sequence according to the generation config (Llama 3 and Gemma have several)."""
    ends = model.generation_config.eos_token_id if model.generation_config is not None else None
    if ends is None:
        return ()
    return tuple(ends) if isinstance(ends, list | tuple) else (int(ends),)
