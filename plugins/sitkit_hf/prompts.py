"""From prompts, completions and preference pairs to tokens, the same way in training and in generation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sitkit.answers.thinking import CLOSES, OPENS
from sitkit.errors import ModelError, SettingError
from sitkit.plugin_support import PromptTokenizer
from sitkit.types import PreferencePair
from sitkit_hf.options import Options

IGNORED = -100
"""The label of a token that takes no part in the loss."""


class Prompts(PromptTokenizer):
    """Prompts and completions for one tokenizer, with its chat template or as plain text.

    Plain: prompt, a blank, completion, end of sequence; generation starts from the prompt as it is. With a template:
    the prompt is one user message (after an optional system message), the completion the assistant's turn.
    """

    def __init__(self, tokenizer: Any, options: Options, ends: tuple[int, ...] = ()) -> None:
        """Take the tokenizer, and the token ids that end a sequence beside the tokenizer's own."""
        super().__init__(
            tokenizer,
            name=options.name,
            chat_template=options.chat_template,
            system=options.system,
            thinking=options.thinking,
            ends=ends,
        )

    def count(self, completion: str) -> int:
        """Return how many tokens a completion takes, without the one that ends it."""
        return len(self.ids(completion, special=False))

    def check_thoughts(self, demonstrated: Iterable[str]) -> None:
        """Raise `SettingError` if demonstrations think and the template has the student answer without."""
        if self.template and not self.thinking and any(text.startswith(OPENS) for text in demonstrated):
            raise SettingError(
                f"annotate.reasoning=keep: the student {self.name} is asked through a chat template that has it answer"
                " without thinking; add ,thinking=true to it, or chat_template=off"
            )

    def joined(self, prompt: str, completion: str, *, truncated: bool = False) -> tuple[list[int], list[int]]:
        """Return the prompt's token ids, exactly those of `prompt`, and the completion's, closed by an end token.

        ``truncated``: the completion was cut while it was written, so that no end token, nor anything else that a
        template puts after it, belongs to it.
        """
        if not self.ends:
            raise ModelError("the tokenizer has no end-of-sequence token, so a model cannot learn where to stop")
        head = self.prompt(prompt)
        completion = completion.strip()
        if self.template:
            before, text = self.render(prompt), self.render(prompt, completion)
            if self.opening:
                # The prompt has begun the thinking already.
                completion = completion.removeprefix(OPENS).lstrip("\n")
            # Templates may leave what was thought out of a turn.
            if not text.startswith(before) or (CLOSES in completion and completion not in text[len(before) :]):
                text = before + completion
            if truncated:
                found = text.rfind(completion, len(before))
                text = before + completion if found < 0 else text[: found + len(completion)]
            tail = self._tail(head, before, text, special=False)
        else:
            tail = self._tail(head, prompt, f"{prompt} {completion}", special=True)
        return head, self._open(tail) if truncated else self._closed(tail)

    def _tail(self, head: list[int], before: str, text: str, *, special: bool) -> list[int]:
        ids = self.ids(text, special=special)
        if ids[: len(head)] == head:
            return ids[len(head) :]
        # Tokens merge across the boundary: the completion is tokenised by itself, so that the prefix stays
        # what generation starts from.
        return self.ids(text[len(before) :], special=False)

    def _open(self, tail: list[int]) -> list[int]:
        # A tokenizer may close every text by itself.
        return next((tail[:index] for index, token in enumerate(tail) if token in self.ends), tail)

    def _closed(self, tail: list[int]) -> list[int]:
        for index, token in enumerate(tail):
            if token in self.ends:
                # Templates may write more after the end of a turn, a line break say; it is never generated.
                return tail[: index + 1]
        return [*tail, self.ends[0]]


@dataclass
class Examples:
    """Rows for a trainer, and how many were cut at the end or left out because nothing of an answer was left."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    cut: int = 0
    left_out: int = 0

    @property
    def tokens(self) -> int:
        """How many tokens one pass goes through: a prompt counts with each of its sides."""
        return sum(
            len(row["input_ids"])
            if "input_ids" in row
            else 2 * len(row["prompt_ids"]) + len(row["chosen_ids"]) + len(row["rejected_ids"])
            for row in self.rows
        )

    def warnings(self, stage: str, max_length: int) -> list[str]:
        """Return what the user should know about examples that did not fit."""
        told = []
        if self.cut:
            told.append(
                f"{self.cut} examples were cut at {max_length} tokens ({stage}.max_length, or what the model can see)"
            )
        if self.left_out:
            told.append(f"{self.left_out} examples were left out: at {max_length} tokens nothing is left to learn from")
        return told


def completions(prompts: Prompts, texts: Iterable[tuple[str, str]], max_length: int) -> Examples:
    """Return rows of input_ids and labels for (prompt, completion) texts; the prompt's labels are ignored."""
    examples = Examples()
    for prompt, completion in texts:
        head, tail = prompts.joined(prompt, completion)
        room = max_length - len(head)
        if room <= 0:
            examples.left_out += 1
            continue
        examples.cut += len(tail) > room
        ids = (head + tail)[:max_length]
        examples.rows.append({"input_ids": ids, "labels": [IGNORED] * len(head) + ids[len(head) :]})
    return examples


def preferences(prompts: Prompts, pairs: Sequence[PreferencePair], max_length: int) -> Examples:
    """Return rows of prompt_ids, chosen_ids and rejected_ids; pairs whose sides are the same tokens are left out.

    They would train in silence at a loss of ln 2.
    """
    examples = Examples()
    for pair in pairs:
        head, chosen = prompts.joined(pair.prompt, pair.chosen)
        _, rejected = prompts.joined(pair.prompt, pair.rejected, truncated=pair.rejected_truncated)
        room = max_length - len(head)
        if room <= 0 or chosen[:room] == rejected[:room]:
            examples.left_out += 1
            continue
        examples.cut += len(chosen) > room or len(rejected) > room
        examples.rows.append({"prompt_ids": head, "chosen_ids": chosen[:room], "rejected_ids": rejected[:room]})
    return examples
