"""Complete prompts in length-sorted batches that rows leave as they finish, each beginning read once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sitkit.answers.thinking import CLOSES, apart
from sitkit.errors import ModelError
from sitkit.plugin_support import NOTICES, stream_seed, tell_under_way
from sitkit.types import Completion, Generation, Prompt
from sitkit_hf.kv_cache import families, read, select_rows
from sitkit_hf.memory import MOST_ROWS, free_memory, generation_rows, out_of_memory
from sitkit_hf.prompts import Prompts
from sitkit_hf.sampling import Greedy, GumbelRows, drawn_ahead

_LOG = logging.getLogger(NOTICES)

_TELL_SECONDS = 1.0
"""A batch that takes longer tells how far its answers are: on a slow machine they end minutes later, all together."""

_COMPACT = 1 / 8
"""Rows are taken out of the batch once this share of it is done: taking out costs a copy of the cache."""


@dataclass(frozen=True)
class Row:
    """A prompt as tokens, how many tokens may follow, and the seed of its stream."""

    id: str
    tokens: list[int]
    limit: int
    seed: int


@dataclass(frozen=True)
class Written:
    """What a row wrote: its tokens, the end token that closed them, if any did, and if they were cut at the limit."""

    id: str
    tokens: list[int]
    end: int | None
    truncated: bool

    @property
    def count(self) -> int:
        """How many tokens were written, the end token included."""
        return len(self.tokens) + (self.end is not None)


def complete(
    model: Any, prompts: Prompts, wanted: Sequence[Prompt], generation: Generation, *, batch_size: int = 0
) -> Iterator[Completion]:
    """Yield completions as rows finish, in batches of the longest prompts first.

    A batch that does not fit into memory is halved and tried again. Raises `ModelError` if one row does not fit.
    """
    stops = StopStrings(prompts.tokenizer, generation.stop)
    rows = _rows(model, prompts, wanted, generation, {})
    for written in write(model, prompts, rows, generation, stops, batch_size, tell=tell_under_way):
        yield Completion(written.id, stops.text(written.tokens), written.truncated, written.count)


def complete_thinking(
    model: Any, prompts: Prompts, wanted: Sequence[Prompt], generation: Generation, most: int, *, batch_size: int = 0
) -> Iterator[Completion]:
    """Yield completions in which at most ``most`` tokens are thought: thinking that goes on is ended there, as by the
    model itself, and the answer follows it (Muennighoff et al. 2025, "s1", arXiv 2501.19393, section 3.1).

    The answer has ``generation.max_new_tokens`` beside them. How often thinking was ended is told.
    """
    stops = StopStrings(prompts.tokenizer, generation.stop)
    begun, ended, taken = dict[str, list[int]](), dict[str, str](), dict[str, int]()
    thinking = replace(generation, max_new_tokens=most)
    rows = _rows(model, prompts, wanted, thinking, {})
    for one in write(model, prompts, rows, thinking, stops, batch_size, tell=tell_under_way):
        text = stops.text(one.tokens)
        taken[one.id] = one.count
        if not one.truncated:
            yield Completion(one.id, text, one.truncated, one.count)
        elif apart(prompts.opening + text).closed:
            # An answer is under way: it goes on from its very tokens, whose blanks a text at the cut would lose.
            begun[one.id] = one.tokens
        else:
            ended[one.id] = f"{text}\n{CLOSES}\n\n"
            begun[one.id] = prompts.ids(ended[one.id], special=False)
    if ended:
        _LOG.warning("thinking was ended at thinking_tokens=%d in %d of %d answers", most, len(ended), len(wanted))
    left = [prompt for prompt in wanted if prompt.id in begun]
    # Drawn answers go on with noise of their own.
    follow = replace(generation, seed=stream_seed(generation.seed, "answer") % 2**31)
    rows = _rows(model, prompts, left, follow, begun)
    for one in write(model, prompts, rows, follow, stops, batch_size, tell=tell_under_way):
        tokens = one.tokens
        whole = ended[one.id] + stops.text(tokens) if one.id in ended else stops.text([*begun[one.id], *tokens])
        yield Completion(one.id, whole, one.truncated, taken[one.id] + one.count)


def write(
    model: Any,
    prompts: Prompts,
    rows: Sequence[Row],
    generation: Generation,
    stops: StopStrings,
    batch_size: int = 0,
    *,
    tell: Callable[[float], None] | None = None,
) -> Iterator[Written]:
    """Yield what each row wrote, as rows finish. The rows say how much each may write and which stream it draws from.

    ``tell`` is told now and then how many rows those under way amount to, each by its share of what it may write.
    Raises `ModelError` if one row does not fit into memory.
    """
    waiting = in_order(rows)
    most = batch_size
    while waiting:
        batch = waiting[: most or _fitting(model, waiting[: MOST_ROWS[model.device.type]], generation)]
        done: set[str] = set()
        try:
            for written in _decoded(model, batch, prompts, stops, generation, tell):
                done.add(written.id)
                yield written
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            if len(batch) == 1:
                raise ModelError(
                    f"memory ran out on a single prompt of {len(batch[0].tokens)} tokens; lower max_new_tokens"
                ) from error
            most = len(batch) // 2
        else:
            waiting = waiting[len(batch) :]
            continue
        # What had finished is handed out already.
        waiting = [row for row in batch if row.id not in done] + waiting[len(batch) :]
        free_memory(after_failure=True)


def _fitting(model: Any, rows: Sequence[Row], generation: Generation) -> int:
    """Return how many of the rows to take at once."""
    vocabulary = model.config.get_text_config().vocab_size
    draws = drawn_ahead(vocabulary, model.device.type) if generation.temperature > 0 else 0
    return generation_rows(model, max(len(row.tokens) for row in rows), max(row.limit for row in rows), draws)


def _decoded(
    model: Any,
    rows: Sequence[Row],
    prompts: Prompts,
    stops: StopStrings,
    generation: Generation,
    tell: Callable[[float], None] | None,
) -> Iterator[Written]:
    """Yield what rows wrote, as they end. The cache goes when this returns or raises, before the next batch is read."""
    decoding = Decoding(model, rows, prompts, stops, generation)
    told, at = False, time.monotonic()
    while decoding.going:
        ended = decoding.step()
        # What has ended is no longer under way, and is counted when it is handed out.
        if tell is not None and ((told and ended) or time.monotonic() - at > _TELL_SECONDS):
            tell(decoding.under_way())
            told, at = True, time.monotonic()
        yield from ended


def _rows(
    model: Any, prompts: Prompts, wanted: Sequence[Prompt], generation: Generation, begun: Mapping[str, list[int]]
) -> list[Row]:
    longest = _positions(model)
    rows, cut = [], 0
    for prompt in wanted:
        tokens, limit = [*prompts.prompt(prompt.text), *begun.get(prompt.id, ())], generation.max_new_tokens
        if longest is not None:
            # The prompt matters more than the length of the answer, up to half of what the model can see.
            room = longest - min(limit, longest // 2)
            cut += len(tokens) > room
            tokens = tokens[-room:]
            limit = min(limit, longest - len(tokens))
        if not tokens:
            raise ModelError(f"the prompt {prompt.id!r} has no tokens")
        rows.append(Row(prompt.id, tokens, limit, stream_seed(generation.seed, prompt.id)))
    if cut:
        _LOG.warning(
            "%d of %d prompts are longer than the model's %d positions allow; cut on the left", cut, len(rows), longest
        )
    return rows


def _positions(model: Any) -> int | None:
    longest: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return longest


def in_order(rows: Sequence[Row]) -> list[Row]:
    """Return rows longest first, and those beside each other that share their beginning."""
    ordered = sorted(rows, key=lambda row: (-len(row.tokens) - row.limit, row.id))
    kin = families([row.tokens for row in ordered])
    groups = [sorted(family.rows) for family in kin] or [[index] for index in range(len(ordered))]
    return [ordered[index] for group in sorted(groups) for index in group]


def _picker(seeds: Sequence[int], generation: Generation, device: Any) -> Greedy | GumbelRows:
    if generation.temperature <= 0:
        return Greedy()
    return GumbelRows(seeds, generation.temperature, device, top_p=generation.top_p, top_k=generation.top_k)


class Decoding:
    """A batch under way.

    In float32 and greedy, each row writes the tokens that ``model.generate`` writes for it where the model's generation
    config holds nothing but special tokens: its penalties and other changes of logits (Qwen2.5 ships a
    ``repetition_penalty``) are not applied here.
    """

    def __init__(
        self, model: Any, rows: Sequence[Row], prompts: Prompts, stops: StopStrings, generation: Generation
    ) -> None:
        """Read the prompts. Raises what the model raises where memory runs out."""
        import torch

        self.model = model
        self.longest = _positions(model)
        self.stops = stops
        self.ends = frozenset(prompts.ends)
        self.alive: list[tuple[Row, list[int]] | None] = [(row, []) for row in rows]
        with torch.inference_mode():
            self._read = read(model, [row.tokens for row in rows], prompts.tokenizer.pad_token_id or 0)
        self._pick = _picker([row.seed for row in rows], generation, model.device)

    def under_way(self) -> float:
        """Return how many whole answers those under way amount to, each by its share of the tokens it may have."""
        return sum(len(written) / row.limit for row, written in filter(None, self.alive))

    @property
    def going(self) -> bool:
        """Whether any row has still to write."""
        return bool(self.alive)

    def step(self) -> list[Written]:
        """Write one token of every row, and return what the rows wrote that ended with it."""
        import torch

        with torch.inference_mode():
            chosen = self._pick.choose(self._read.logits)
            ended = self._write(chosen.tolist())
            going = [slot for slot, one in enumerate(self.alive) if one is not None]
            if not going:
                self.alive = []
                return ended
            if len(self.alive) - len(going) >= _COMPACT * len(self.alive):
                chosen = self._keep(going, chosen)
            self._forward(chosen)
        return ended

    def _write(self, tokens: Sequence[int]) -> list[Written]:
        ended = list[Written]()
        for slot, (one, token) in enumerate(zip(self.alive, tokens, strict=True)):
            if one is None:
                continue
            (row, written), end = one, token in self.ends
            if not end:
                written.append(token)
            stopped = end or self.stops.reached(written)
            if stopped or len(written) >= row.limit:
                ended.append(Written(row.id, written, token if end else None, truncated=not stopped))
                self.alive[slot] = None
        return ended

    def _keep(self, slots: Sequence[int], chosen: Any) -> Any:
        import torch

        kept = torch.tensor(slots, device=chosen.device)
        state = self._read
        select_rows(state.cache, kept)
        state.mask, state.last = state.mask[kept], state.last[kept]
        self._pick.keep(kept)
        self.alive = [self.alive[slot] for slot in slots]
        return chosen[kept]

    def _forward(self, chosen: Any) -> None:
        import torch

        state = self._read
        state.mask = torch.cat([state.mask, state.mask.new_ones(len(chosen), 1)], dim=1)
        state.last = state.last + 1
        if self.longest is not None:
            # A row that ended at the last position stays there until it is taken out; what it writes is read by nobody.
            state.last = state.last.clamp(max=self.longest - 1)
        state.logits = self.model(
            input_ids=chosen[:, None],
            attention_mask=state.mask,
            position_ids=state.last[:, None],
            past_key_values=state.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]


class StopStrings:
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
