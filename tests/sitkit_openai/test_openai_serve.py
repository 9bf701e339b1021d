"""Against a server that others wrote: ``transformers serve``, with a tiny model made from a config."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from sitkit.errors import TeacherError
from sitkit.spec import parse_spec
from sitkit.types import ANSWERED, TRUNCATED, Context, Generation, Question
from sitkit_openai import openai_teacher
from sitkit_openai.teacher import OpenAITeacher
from tests.sitkit_openai.conftest import prompts

pytestmark = pytest.mark.slow

CHAT = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"


def _model(folder: Path) -> Path:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = ["<pad>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>")
    fast.chat_template = CHAT
    config = LlamaConfig(
        vocab_size=len(letters), hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=512, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The model's folder and the server's base URL."""
    folder = _model(tmp_path_factory.mktemp("served") / "tiny")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder.parent / "log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            [str(Path(sys.executable).with_name("transformers")), "serve", str(folder), "--device", "cpu", "--dtype",
             "float32", "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}, stdout=file, stderr=file,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not _up(port):
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(log.read_text(errors="replace")[-3000:])
            time.sleep(0.2)
        yield folder, f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def _teacher(served: tuple[Path, str], **options: object) -> OpenAITeacher:
    folder, url = served
    more = "".join(f",{key}={value}" for key, value in options.items())
    made = openai_teacher(parse_spec(f"openai:{folder},base_url={url},concurrency=4,timeout=60{more}"), Context())
    assert isinstance(made, OpenAITeacher)
    return made


def test_it_answers_with_tokens_counted_and_the_length_kept(served: tuple[Path, str]) -> None:
    questions = [Question(f"q{n}", "sums", "number", "Answer.", f"{n} + 1?", None, str(n + 1)) for n in range(6)]
    made = _teacher(served, system="Count.")
    found = {one.id: one for one in made.answer(questions, "cot", Generation(8, 0.7))}
    assert set(found) == {question.id for question in questions}
    for one in found.values():
        assert one.outcome in (ANSWERED, TRUNCATED), one
        assert one.prompt_tokens > 10
        assert 0 < one.completion_tokens <= 8
    # The model is random, so it never ends by itself within 8 of 259 tokens but by rare chance.
    assert sum(one.outcome == TRUNCATED for one in found.values()) >= 4


def test_greedy_answers_are_the_same_twice(served: tuple[Path, str]) -> None:
    first, second = ({one.id: one.completion for one in _teacher(served).complete(prompts(4), Generation(6))}
                     for _ in range(2))  # fmt: skip
    assert first == second
    assert len(first) == 4


def test_an_unknown_model_is_one_line(served: tuple[Path, str]) -> None:
    wrong = served[0] / "other", served[1]
    with pytest.raises(TeacherError, match="is the model's name right") as caught:
        list(_teacher(wrong, retries=0).complete(prompts(2), Generation(4)))
    assert len(str(caught.value).splitlines()) == 1
