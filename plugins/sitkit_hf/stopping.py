"""Stop strings: noticed as they are written, and cut off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Stops:
    """Looks for stop strings in what rows have written.

    A stop string can only become complete with a token that holds its last character, so a row's text is looked at
    after such a token alone.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.stops = tuple(stop for stop in stops if stop)
        last = {stop[-1] for stop in self.stops}
        # A character outside ASCII may be spread over several byte tokens, whose text alone does not show it.
        self.always = any(not character.isascii() for character in last)
        self.closing: frozenset[int] = frozenset()
        if last and not self.always:
            texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
            self.closing = frozenset(token for token, text in enumerate(texts) if not last.isdisjoint(text))

    def reached(self, tokens: Sequence[int]) -> bool:
        """Tell whether the tokens written so far hold a stop string, given that all but the last did not."""
        if not self.stops or not (self.always or tokens[-1] in self.closing):
            return False
        text = self.decode(tokens)
        return any(stop in text for stop in self.stops)

    def text(self, tokens: Sequence[int]) -> str:
        """Return what the tokens say, cut at the first stop string, stripped, without special tokens."""
        text = self.decode(tokens)
        for stop in self.stops:
            text = text.partition(stop)[0]
        return text.strip()

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of the tokens, special ones left out."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))
