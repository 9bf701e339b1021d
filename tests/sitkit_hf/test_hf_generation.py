from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.errors import ModelError
from sitkit.types import Completion, Generation, Prompt
from tests.completions import answered


@pytest.fixture(scope="module")
def asked() -> Sequence[Prompt]:
    rng = random.Random(0)
    texts = ["".join(rng.choice("abcdefgh 123") for _ in range(rng.randint(1, 40))) for _ in range(32)]
    return [Prompt(f"p{n}", f"Question: {text}\nAnswer:") for n, text in enumerate(texts)]


def generate(student: Any, adapter: Path | None, asked: Sequence[Prompt], tokens: int) -> dict[str, str]:
    """The reference: transformers' own generate, each prompt alone, so without any padding."""
    model, tokenizer = student.models.generator(adapter), student.models.tokenizer()
    answers = {}
    for prompt in asked:
        ids = tokenizer(prompt.text, return_tensors="pt")["input_ids"]
        out = model.generate(input_ids=ids, attention_mask=ids * 0 + 1, max_new_tokens=tokens, do_sample=False)
        text = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
        answers[prompt.id] = text.partition("\nQuestion:")[0].strip()
    return answers


def test_greedy_answers_are_those_of_generate(student: Any, start: Path, asked: Sequence[Prompt]) -> None:
    for adapter in (None, start):
        expected = generate(student, adapter, asked[:12], 16)
        assert len(set(expected.values())) > 3
        assert answered(student.complete(adapter, asked[:12], Generation(16))) == expected


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_no_answer_depends_on_batch_size_or_order(
    tiny: Path, make_student: Callable[..., Any], asked: Sequence[Prompt], temperature: float
) -> None:
    generation = Generation(10, temperature, seed=5)
    shuffled = random.Random(1).sample(list(asked), len(asked))
    answers = [
        answered(make_student(tiny, batch_size=size).complete(None, prompts, generation))
        for size, prompts in (("0", asked), ("1", shuffled), ("8", shuffled), ("32", asked))
    ]
    assert len(answers[0]) == len(asked)
    assert all(other == answers[0] for other in answers)
    # As after a kill: what is left is asked alone.
    rest = answered(make_student(tiny).complete(None, asked[20:], generation))
    assert rest == {prompt.id: answers[0][prompt.id] for prompt in asked[20:]}


def test_prompts_that_begin_alike_are_read_once_and_answered_as_alone(student: Any, start: Path) -> None:
    questions = [f"Question: {'abcdefghij'[n % 7 :] * (2 + n % 3)} {n}?\nAnswer:" for n in range(7)]
    texts = [text + trigger for text in questions for trigger in ("", " Let's think step by step", " Think")]
    prompts = [Prompt(str(n), text) for n, text in enumerate([*texts, "something else", "x"])]
    model = student.models.generator(start)
    expected = generate(student, start, prompts, 12)
    read: list[int] = []
    hook = model.model.register_forward_pre_hook(
        lambda module, args, kwargs: read.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    try:
        assert answered(student.complete(start, prompts, Generation(12))) == expected
    finally:
        hook.remove()
    assert len(set(expected.values())) > 5
    width = max(len(student.models.tokenizer()(text)["input_ids"]) for text in texts)
    assert read[0] + read[1] < 0.8 * len(prompts) * width


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), max_size=8))
def test_families_share_what_they_say(prompts: list[list[int]]) -> None:
    from sitkit_hf.kv_cache import families

    kin = families(prompts)
    if kin:
        assert sorted(row for family in kin for row in family.rows) == list(range(len(prompts)))
    for family in kin:
        heads = {tuple(prompts[row][: family.length]) for row in family.rows}
        assert len(heads) == 1
        assert all(0 <= family.length < len(prompts[row]) for row in family.rows)


@pytest.mark.parametrize("vocabulary", [300, 5000, 40_000])
def test_a_rows_noise_is_drawn_as_if_at_once(vocabulary: int) -> None:
    import torch

    from sitkit_hf.sampling import GumbelRows

    rows, at_once = GumbelRows([7], 0.5, torch.device("cpu")), torch.Generator().manual_seed(7)
    steps = max(1, (1 << 15) // vocabulary)
    noise = [torch.empty(steps, vocabulary).exponential_(generator=at_once).log().neg() for _ in range(2)]
    logits = torch.linspace(-1, 1, vocabulary)[None]
    for step in range(2 * steps):
        drawn = noise[step // steps][step % steps]
        assert rows.choose(logits).item() == (logits[0] / 0.5 + drawn).argmax().item()


def test_rows_are_handed_out_as_they_finish_and_memory_may_run_out_between(
    tiny: Path, make_student: Callable[..., Any], asked: Sequence[Prompt]
) -> None:
    import torch

    student = make_student(tiny)
    warm = Generation(30, 1.0, seed=3)
    expected = answered(student.complete(None, asked, warm))
    model = student.models.base()
    forward, calls = model.forward, []
    first = student.complete(None, asked, warm)

    def failing(*args: Any, **kwargs: Any) -> Any:
        calls.append(len(kwargs["input_ids"]))
        if len(calls) == 25:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(*args, **kwargs)

    model.forward = failing
    early = next(first)
    assert len(calls) < 25
    rest = list(first)
    assert len(rest) == len(asked) - 1
    assert answered([early, *rest]) == expected
    assert calls[25] < calls[0]


def test_sampling_follows_seed_and_id_and_the_softmax(student: Any, asked: Sequence[Prompt]) -> None:
    warm = Generation(12, 1.0, seed=1)
    once = answered(student.complete(None, asked[:8], warm))
    assert answered(student.complete(None, asked[:8], warm)) == once
    assert answered(student.complete(None, asked[:8], Generation(12, 1.0, seed=2))) != once
    twins = answered(student.complete(None, [Prompt("a", "same"), Prompt("b", "same")], warm))
    assert twins["a"] != twins["b"]

    import torch

    from sitkit_hf.sampling import GumbelRows

    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]]).repeat(40, 1)
    rows = GumbelRows(range(40), 0.5, torch.device("cpu"))
    drawn = torch.cat([rows.choose(logits) for _ in range(100)])
    share = torch.bincount(drawn, minlength=4) / len(drawn)
    assert torch.allclose(share, torch.softmax(logits[0] / 0.5, dim=-1), atol=0.03)


LOGITS = [0.0, 1.0, 2.0, -1.0, 1.5]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"top_k": 1}, {2}),
        ({"top_k": 3}, {2, 4, 1}),
        ({"top_k": 9}, {0, 1, 2, 3, 4}),
        # At temperature 0.5 the shares are 0.013, 0.094, 0.697, 0.002 and 0.256, over their sum.
        ({"top_p": 0.5}, {2}),
        ({"top_p": 0.8}, {2, 4}),
        ({"top_p": 0.95}, {2, 4, 1}),
        ({"top_k": 2, "top_p": 0.95}, {2, 4}),
        ({"top_p": 1e-9}, {2}),
    ],
)
def test_top_k_and_top_p_leave_tokens_out_as_transformers_does(options: dict[str, Any], kept: set[int]) -> None:
    import torch
    from transformers import TopKLogitsWarper, TopPLogitsWarper

    from sitkit_hf.sampling import GumbelRows

    logits = torch.tensor([LOGITS])
    theirs = logits / 0.5
    if "top_k" in options:
        theirs = TopKLogitsWarper(options["top_k"])(None, theirs)
    if "top_p" in options:
        theirs = TopPLogitsWarper(options["top_p"])(None, theirs)
    assert {int(token) for token in theirs[0].isfinite().nonzero()} == kept
    rows = GumbelRows(range(60), 0.5, torch.device("cpu"), **options)
    drawn = torch.cat([rows.choose(logits.repeat(60, 1)) for _ in range(100)])
    share = torch.bincount(drawn, minlength=5) / len(drawn)
    assert set(share.nonzero().flatten().tolist()) <= kept
    assert torch.allclose(share, theirs[0].softmax(-1), atol=0.03)


def test_a_draw_that_leaves_nothing_out_is_the_draw_without(student: Any, asked: Sequence[Prompt]) -> None:
    free = answered(student.complete(None, asked[:8], Generation(12, 1.0, seed=1)))
    assert answered(student.complete(None, asked[:8], Generation(12, 1.0, seed=1, top_p=1.0, top_k=10_000))) == free
    narrow = answered(student.complete(None, asked[:8], Generation(12, 1.0, seed=1, top_k=2)))
    assert narrow != free
    alone = answered(student.complete(None, asked[3:4], Generation(12, 1.0, seed=1, top_k=2)))
    assert alone.items() <= narrow.items()
    greedy = answered(student.complete(None, asked[:8], Generation(12)))
    assert answered(student.complete(None, asked[:8], Generation(12, 1.0, top_k=1))) == greedy


@pytest.mark.parametrize("vocabulary", [300, 20_000])
def test_a_rows_stream_goes_on_when_others_leave_the_batch(vocabulary: int) -> None:
    import torch

    from sitkit_hf.sampling import GumbelRows

    logits, cpu = torch.zeros(3, vocabulary), torch.device("cpu")
    together, alone = GumbelRows([1, 2, 3], 1.0, cpu), GumbelRows([3], 1.0, cpu)
    steps = 2 * ((1 << 15) // vocabulary)
    for step in range(steps):
        drawn = together.choose(logits)
        assert drawn[-1] == alone.choose(logits[:1])[0]
        if step == 0:
            together.keep(torch.tensor([0, 2]))
            logits = logits[:2]


def test_a_stop_string_ends_a_row_and_is_cut_off(student: Any, asked: Sequence[Prompt]) -> None:
    free = answered(student.complete(None, asked[:16], Generation(24, stop=())))
    written = [text[at : at + 2] for text in free.values() for at in range(1, len(text) - 2)]
    stop = next(piece for piece in written if piece.isascii() and piece.strip() == piece)
    stopped = answered(student.complete(None, asked[:16], Generation(24, stop=(stop, "\nQuestion:"))))
    for key, text in free.items():
        assert stopped[key] == text.partition(stop)[0].strip()
    assert stopped != free


def test_a_stopped_row_writes_no_further(student: Any) -> None:
    from sitkit_hf.generation import StopStrings

    tokenizer = student.models.tokenizer()
    for stop in ("b", "ab", "é", "\nQuestion:"):
        stops = StopStrings(tokenizer, (stop,))
        tokens = tokenizer(f"xx{stop}yy")["input_ids"]
        first = next(n for n in range(1, len(tokens) + 1) if stops.reached(tokens[:n]))
        assert tokenizer.decode(tokens[:first]) == f"xx{stop}"
        assert stops.text(tokens) == "xx"


def test_end_tokens_of_the_generation_config_end_a_row(tiny: Path, make_student: Callable[..., Any]) -> None:
    student = make_student(tiny)
    prompts = [Prompt(str(n), f"Question: {n}\nAnswer:") for n in range(8)]
    free = answered(student.complete(None, prompts, Generation(12, stop=())))
    letter = next(letter for letter in free["1"][1:] if letter.isascii())
    ends = student.models.tokenizer()(letter)["input_ids"]
    student.models.base().generation_config.eos_token_id = [2, *ends]
    ended = answered(student.complete(None, prompts, Generation(12, stop=())))
    assert ended == {key: text.partition(letter)[0].strip() for key, text in free.items()}
    assert ended != free


def test_what_ran_into_its_limit_was_cut_and_what_ended_there_was_not(
    tiny: Path, make_student: Callable[..., Any], asked: Sequence[Prompt]
) -> None:
    student, prompt = make_student(tiny), asked[0]
    tokenizer = student.models.tokenizer()

    def written(tokens: int, stop: str = "") -> Any:
        (given,) = student.complete(None, [prompt], Generation(tokens, stop=(stop,)))
        return given

    text = written(24).text
    at = next(n for n in range(2, 20) if text[n].isascii() and text[n].strip() and text[n] not in text[:n])
    tokens = next(n for n in range(2, 24) if text[at] in written(n).text)
    assert written(tokens).truncated
    assert written(24).truncated
    # The very last token it may have completes a stop string, or is an end token: the student ended it.
    assert written(tokens, stop=text[at]) == Completion(prompt.id, text[:at].strip(), truncated=False, tokens=tokens)
    assert written(24).tokens == 24
    assert written(tokens - 1, stop=text[at]).truncated
    student.models.base().generation_config.eos_token_id = [2, *tokenizer(text[at])["input_ids"][-1:]]
    assert written(tokens) == Completion(prompt.id, text[:at].strip(), truncated=False, tokens=tokens)
    assert written(tokens - 1).truncated


def test_no_special_token_is_shown(chatty: Path, make_student: Callable[..., Any], asked: Sequence[Prompt]) -> None:
    answers = answered(make_student(chatty).complete(None, asked[:32], Generation(24, 1.5, seed=1)))
    assert not any("<|" in text or "</s>" in text or "<pad>" in text for text in answers.values())


def test_a_long_prompt_is_cut_on_the_left_and_told_of(
    make_model: Callable[..., Path], make_student: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    student = make_student(make_model(positions=64))
    long = "x" * 100 + "Question: abc\nAnswer:"
    with caplog.at_level(logging.WARNING):
        answers = answered(student.complete(None, [Prompt("long", long), Prompt("short", "abc")], Generation(16)))
    assert [record.getMessage() for record in caplog.records if record.name == "sitkit.notices"] == [
        "1 of 2 prompts are longer than the model's 64 positions allow; cut on the left"
    ]
    kept = answered(student.complete(None, [Prompt("long", long[-48:])], Generation(16)))
    assert answers["long"] == kept["long"]


def test_an_answer_never_outgrows_the_models_positions(
    make_model: Callable[..., Path], make_student: Callable[..., Any]
) -> None:
    student = make_student(make_model(positions=32))
    tokenizer = student.models.tokenizer()
    (given,) = student.complete(None, [Prompt("1", "x" * 20)], Generation(500, stop=()))
    assert len(tokenizer(given.text)["input_ids"]) <= 3 * 16
    assert given.truncated


def test_out_of_memory_halves_the_batch_and_goes_on(
    tiny: Path, make_student: Callable[..., Any], asked: Sequence[Prompt]
) -> None:
    import torch

    student = make_student(tiny)
    expected = answered(student.complete(None, asked[:20], Generation(8)))
    model = student.models.base()
    forward, sizes = model.forward, []

    def small(*args: Any, **kwargs: Any) -> Any:
        sizes.append(len(kwargs["input_ids"]))
        if sizes[-1] > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(*args, **kwargs)

    model.forward = small
    limit = 6
    assert answered(student.complete(None, asked[:20], Generation(8))) == expected
    assert [size for size in sizes if size > limit] == [20, 10]
    limit = 0
    with pytest.raises(ModelError, match="memory ran out"):
        list(student.complete(None, asked[:2], Generation(8)))


def test_the_cpus_and_the_devices_errors_are_known() -> None:
    import torch

    from sitkit_hf.memory import out_of_memory

    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 50)
    assert out_of_memory(raised.value)
    assert out_of_memory(MemoryError())
    cudnn = (
        "cuDNN Frontend error: mha_graph.execute(handle, variant_pack, workspace_ptr.get()).is_good() INTERNAL ASSERT"
    )
    assert out_of_memory(RuntimeError(cudnn))
    assert out_of_memory(RuntimeError("Expected mha_graph->execute(handle, variant_pack, ptr).is_good() to be true"))
    assert not out_of_memory(RuntimeError("shapes do not match"))
    assert not out_of_memory(RuntimeError("cuDNN Frontend error: mha_graph.build_operation_graph(handle) is not good"))


def test_nothing_asked_loads_nothing(tiny: Path, make_student: Callable[..., Any]) -> None:
    student = make_student(tiny)
    assert list(student.complete(None, [], Generation(4))) == []
    assert student.models._base is None


def test_the_teacher_answers_with_the_benchmarks_prompts(tiny: Path, make_student: Callable[..., Any]) -> None:
    import sitkit_hf
    from sitkit.spec import Spec
    from sitkit.types import Context, Question

    teacher = sitkit_hf.hf_teacher(Spec("hf", str(tiny)), Context())
    questions = [Question(f"q{n}", "sums", "number", "Solve.", f"{n}+1?", None, str(n + 1)) for n in range(3)]
    for prompting in ("direct", "cot"):
        expected = answered(
            make_student(tiny).complete(
                None, [Prompt(f"sums/{q.id}", q.prompt(prompting)) for q in questions], Generation(8, 0.7)
            )
        )
        answers = {reply.id: reply.completion for reply in teacher.answer(questions, prompting, Generation(8, 0.7))}
        assert {f"sums/{key}": text for key, text in answers.items()} == expected
    teacher.close()


def test_a_slow_batch_tells_how_far_its_answers_are_and_that_never_goes_back(
    tiny: Path, make_student: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit.execution.events import receive_notices
    from sitkit.execution.executor import _Reached
    from sitkit_hf import generation

    monkeypatch.setattr(generation, "_TELL_SECONDS", 0.0)
    prompts = [Prompt(str(n), f"Question: {n}\nAnswer:") for n in range(6)]
    told, reached, done, shown = list[float](), _Reached(), 0, list[float]()

    def under_way(answers: float) -> None:
        told.append(answers)
        reached.under_way = answers
        shown.append(done + reached.part(done, len(prompts)))

    with receive_notices(print, print, under_way=under_way):
        for _ in make_student(tiny).complete(None, prompts, Generation(12, stop=("e",))):
            done += 1
            shown.append(done + reached.part(done, len(prompts)))
    # Six answers of at most twelve tokens: after the first token half an answer is written, at the end none is left.
    assert told[0] <= 6 / 12
    assert told[-1] == 0
    assert max(told) > 1
    assert shown == sorted(shown)
    assert shown[-1] == len(prompts)
