"""What plugins share: digests of files, the machine's memory, quiet libraries, seeded generators, prompts as tokens,
the logger for notices.

Nothing heavy is imported here. What a helper needs of torch, transformers or datasets is used where a plugin has
loaded it already.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sitkit.answers.thinking import CLOSES, OPENS
from sitkit.errors import ModelError
from sitkit.types import Generation

NOTICES = "sitkit.notices"
"""The logger for what a plugin has to tell the user from deep inside: its warnings become notices of the stage, what it
logs below that (INFO) is shown in passing and kept nowhere."""

WHOLE = 64 * 2**20
"""Files up to this size, in bytes, are hashed whole."""

EDGE = 2**20
"""Of larger files the first and the last so many bytes are hashed, beside size and time of change."""

VLLM_LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes as ``max_lora_rank``, on its command line ``--max-lora-rank``."""

TEMPLATE_SECONDS = 10.0
"""A chat template that takes longer for one conversation (a few milliseconds are usual) is taken not to end."""

_LOG = logging.getLogger(NOTICES)


def tell_loss(loss: float) -> None:
    """Tell the loss of a training under way, shown beside its progress and kept nowhere."""
    _LOG.info("loss %.4g", loss, extra={"loss": loss})


def tell_under_way(answers: float) -> None:
    """Tell how many whole answers those being written amount to: they count in the time left, and are kept nowhere."""
    _LOG.info("%.1f answers under way", answers, extra={"under_way": answers})


_LOGGERS = (
    "accelerate",
    "bitsandbytes",
    "datasets",
    "huggingface_hub",
    "lm_eval",
    "peft",
    "torch",
    "transformers",
    "trl",
)


def file_digest(path: Path) -> str:
    """Return what tells a file from others: its sha256, of a large one size, time of change and sha256 of its edges."""
    status = path.stat()
    with path.open("rb") as file:
        if status.st_size <= WHOLE:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256(file.read(EDGE))
        file.seek(-EDGE, os.SEEK_END)
        digest.update(file.read())
    return f"{status.st_size}-{status.st_mtime_ns}-{digest.hexdigest()}"


def folder_digests(folder: Path, counts: Callable[[Path], bool] = lambda path: True) -> dict[str, str]:
    """Return relative path -> digest of every file in a folder that ``counts``; hidden files never do."""
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts) and counts(path)
    )
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files}


_CONTROL_GROUPS = (Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))


def machine_memory() -> tuple[int, int]:
    """Return the bytes of memory that this process may take in all, and those that are free.

    They are the machine's, or those of the control groups that the process is in, whichever are fewer: a container or a
    job of a cluster that takes more than its own is killed, however much the machine has.
    """
    import psutil

    machine = psutil.virtual_memory()
    total, free = int(machine.total), int(machine.available)
    for limit, used in _group_memory(*_CONTROL_GROUPS):
        total, free = min(total, limit), min(free, max(0, limit - used))
    return total, free


def _group_memory(listed: Path, top: Path) -> Iterator[tuple[int, int]]:
    """Yield limit and use of each Linux control group with a limit around a process, in bytes; of version 2 or 1."""
    try:
        entries = [line.split(":", 2) for line in listed.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return
    for _, controllers, path in entries:
        if not controllers:
            root, limit, used, cache = top, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            root, limit, used, cache = (
                top / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
            )  # fmt: skip
        else:
            continue
        # Within a container the path may be the host's, where there is nothing: the top is the container's own group.
        own = root / path.strip("/") if ".." not in path else root
        for group in (own, *own.parents):
            with contextlib.suppress(OSError, ValueError, KeyError):
                told = dict(line.split(" ", 1) for line in (group / "memory.stat").read_text().splitlines())
                # What the cache of files holds is given back before anybody is killed.
                yield int((group / limit).read_text()), int((group / used).read_text()) - int(told[cache])
            if group == root:
                break


@contextlib.contextmanager
def quiet(*, streams: bool = False) -> Iterator[None]:
    """Keep the libraries' own bars, warnings and logs below an error off the terminal; afterwards all is as it was.

    Bars of transformers and datasets are switched off where these are loaded. With ``streams`` whatever is printed is
    dropped too: some libraries draw their bars whatever they are asked.
    """
    with contextlib.ExitStack() as stack:
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.ERROR)
        transformers_logging: Any = sys.modules.get("transformers.utils.logging")
        if transformers_logging is not None:
            if transformers_logging.is_progress_bar_enabled():
                stack.callback(transformers_logging.enable_progress_bar)
            transformers_logging.disable_progress_bar()
        datasets: Any = sys.modules.get("datasets")
        if datasets is not None:
            if not datasets.are_progress_bars_disabled():
                stack.callback(datasets.enable_progress_bars)
            datasets.disable_progress_bars()
        # accelerate's bar, which TRL uses for the reference's log-probabilities, listens to this alone.
        stack.callback(_set_environment, "TQDM_DISABLE", os.environ.get("TQDM_DISABLE"))
        os.environ["TQDM_DISABLE"] = "1"
        if streams:
            nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield


def _set_environment(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def stream_seed(seed: int, *names: str, bits: int = 63) -> int:
    """Return the seed of a stream of its own: the first ``bits`` (63 or 31) of sha256 over the seed and the names."""
    digest = hashlib.sha256("\0".join([str(seed), *names]).encode()).digest()
    return int.from_bytes(digest[: (bits + 1) // 8], "big") >> 1


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed Python's generator, and numpy's and torch's where they are loaded, inside the block; then set them back."""
    import random

    with contextlib.ExitStack() as stack:
        stack.callback(random.setstate, random.getstate())
        random.seed(seed)
        # What draws with numpy or torch has loaded it; the others need not wait for it.
        numpy: Any = sys.modules.get("numpy")
        if numpy is not None:
            stack.callback(numpy.random.set_state, numpy.random.get_state())
            numpy.random.seed(seed % 2**32)
        torch: Any = sys.modules.get("torch")
        if torch is not None:
            devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
            stack.enter_context(torch.random.fork_rng(devices=devices))
            torch.manual_seed(seed)
        yield


def own_sampling(generation: Generation, temperature: float | None, top_p: float | None) -> Generation:
    """Return the generation with a teacher's own temperature and top_p, where its SPEC has them, over the settings'."""
    return replace(
        generation,
        temperature=generation.temperature if temperature is None else temperature,
        top_p=generation.top_p if top_p is None else top_p,
    )


def check_loaded(name: str, loaded: Mapping[str, Any], config: str = "its config.json") -> None:
    """Raise `ModelError` unless the weights were those that the config asks for, listing the keys that differ.

    ``loaded`` is what transformers' ``from_pretrained`` returns with ``output_loading_info=True``; weights that are
    tied and buffers that are computed are not in it. Anything else that is missing would be drawn at random.
    """
    shapes = [
        f"{key}: {tuple(stored)} in the file, {tuple(wanted)} in the model"
        for key, stored, wanted in loaded.get("mismatched_keys", ())
    ]
    found = {
        "missing": loaded.get("missing_keys", ()),
        "of another shape": shapes,
        "unexpected": loaded.get("unexpected_keys", ()),
    }
    wrong = [f"{len(keys)} {what} ({_some(keys)})" for what, keys in found.items() if keys]
    if wrong:
        raise ModelError(f"the weights of {name} do not fit {config}: {'; '.join(wrong)}")


def check_finite(name: str, weights: Iterable[Any], setting: str) -> None:
    """Raise `ModelError` where one of an adapter's weights, tensors of torch, is NaN or infinite.

    A model with such an adapter writes nonsense, and says nothing of it. ``setting`` is the learning rate to lower.
    """
    found = [one.isfinite().all() for one in weights]
    # Brought together before they are looked at: a GPU is waited for once, and not for each weight.
    if found and not sys.modules["torch"].stack([one.to(found[0].device) for one in found]).all():
        raise ModelError(f"{name} has weights that are NaN or infinite: its training diverged; lower {setting}")


def _some(keys: Any, most: int = 8) -> str:
    ordered = sorted(keys)
    return ", ".join(ordered[:most]) + (f" and {len(ordered) - most} more" if len(ordered) > most else "")


def check_weights(
    transformers: Any, model: str, name: str, *, revision: str | None = None, trust_remote_code: bool = False
) -> None:
    """Raise `ModelError` where a model's weights do not fit its config, for engines that may not say so themselves.

    ``transformers`` is the library, as the plugin has loaded it. Names and shapes are compared, no weight is read. What
    it cannot load, or only with a library for quantised weights, is left to the engine.
    """
    where: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    try:
        with quiet():
            config = transformers.AutoConfig.from_pretrained(model, **where)
            if getattr(config, "quantization_config", None) is not None:
                return
            _, loaded = transformers.AutoModelForCausalLM.from_pretrained(
                model, **where, device_map="meta", output_loading_info=True, ignore_mismatched_sizes=True
            )
    except Exception as error:
        _LOG.info("the weights of %s are not compared with its config: %s", name, type(error).__name__)
        return
    check_loaded(name, loaded)


def chat_messages(prompt: str, system: str | None = None, completion: str | None = None) -> list[dict[str, str]]:
    """Return a conversation: an optional system message, the user's, and the assistant's where it has answered."""
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": prompt})
    if completion is not None:
        messages.append({"role": "assistant", "content": completion})
    return messages


class PromptTokenizer:
    """Turns prompts into the tokens that generation starts from, with a tokenizer's chat template or as plain text.

    With a template: the prompt is one user message, after an optional system message. A template that can think
    (Qwen3's) is told not to, and a thinking block that it begins all the same is closed: the reasoning to learn is the
    demonstration's. With ``thinking`` it thinks; ``opening`` is then what the template has begun of the block.
    ``ends`` are the ids of tokens that end a sequence, the tokenizer's own first.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        name: str,
        chat_template: str = "auto",
        system: str | None = None,
        thinking: bool = False,
        ends: Sequence[int] = (),
    ) -> None:
        """Take a tokenizer of transformers, the model's name for messages, and end tokens beside the tokenizer's own.

        Raises `ModelError` where a chat template, or what only one can do, is asked for and there is none.
        """
        self.tokenizer = tokenizer
        self.name = name
        self.system = system
        self.thinking = thinking
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if chat_template == "on" and not has_template:
            raise ModelError(f"chat_template=on, but the tokenizer of {name} has no chat template")
        self.template = has_template and chat_template != "off"
        if system and not self.template:
            raise ModelError(f"system= needs a chat template, and the tokenizer of {name} has none")
        if thinking and not self.template:
            raise ModelError(f"thinking=true needs a chat template, and the tokenizer of {name} has none")
        self.opening = OPENS if self.template and self.render("?").rstrip().endswith(OPENS) else ""
        own = () if tokenizer.eos_token_id is None else (int(tokenizer.eos_token_id),)
        self.ends = tuple(dict.fromkeys((*own, *ends)))

    def prompt(self, text: str) -> list[int]:
        """Return the token ids that generation starts from."""
        if self.template:
            return self.ids(self.render(text), special=False)
        ids = self.ids(text, special=True)
        # A tokenizer that closes every text would otherwise end the sequence before the answer.
        return ids[:-1] if len(ids) > 1 and ids[-1] in self.ends else ids

    def render(self, prompt: str, completion: str | None = None) -> str:
        """Return the conversation as the template writes it.

        Raises `ModelError` if the template refuses it, fails, or does not come to an end.
        """
        from jinja2 import TemplateError

        try:
            text = _within(
                TEMPLATE_SECONDS,
                lambda: self.tokenizer.apply_chat_template(
                    chat_messages(prompt, self.system, completion),
                    tokenize=False,
                    add_generation_prompt=completion is None,
                    enable_thinking=self.thinking,
                ),
            )
        except TemplateError as error:
            raise ModelError(f"the chat template of {self.name} refuses these messages: {error}") from error
        except TimeoutError as error:
            raise ModelError(
                f"the chat template of {self.name} does not end within {TEMPLATE_SECONDS:g} s; chat_template=off leaves"
                " it out"
            ) from error
        except Exception as error:
            # A template is a program: it can fail in any way.
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"the chat template of {self.name} fails: {type(error).__name__} {reason}") from error
        if completion is None and not self.thinking and text.rstrip().endswith(OPENS):
            # Some templates begin to think whatever they are told.
            return f"{text.rstrip()}\n\n{CLOSES}\n\n"
        return str(text)

    def ids(self, text: str, *, special: bool) -> list[int]:
        """Return the token ids of a text, with the tokenizer's special tokens around it or without."""
        return list(self.tokenizer(text, add_special_tokens=special)["input_ids"])


class _Stopped(BaseException):
    """Raised inside a thread that has taken too long; no ``except Exception`` there holds it up."""


def _within(seconds: float, work: Callable[[], Any]) -> Any:
    """Return what ``work`` returns or raise what it raises; after so many seconds stop it and raise TimeoutError.

    It runs in a thread of its own, because signals reach the main thread alone, and this may be called from any.
    """
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["value"] = work()
        except _Stopped:
            pass
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Stopped))
        raise TimeoutError
    if "error" in outcome:
        raise outcome["error"]
    return outcome["value"]


def end_tokens(generation_config: Any) -> tuple[int, ...]:
    """Return the ids that end a sequence according to a generation config (Llama 3 and Gemma have several)."""
    ends = None if generation_config is None else generation_config.eos_token_id
    if ends is None:
        return ()
    return tuple(ends) if isinstance(ends, list | tuple) else (int(ends),)
