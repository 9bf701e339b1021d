"""The student ``hf``: ties loading, training, generation and export together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sitkit.answers.thinking import CLOSES
from sitkit.capabilities import Footprint, ModelFacts
from sitkit.errors import SettingError
from sitkit.plugin_support import end_tokens
from sitkit.settings import ExploreSettings, InstructSettings, RefineSettings, Settings, TrainSettings
from sitkit.types import (
    Completion,
    Demonstration,
    Distillation,
    Generation,
    Json,
    Objective,
    PreferencePair,
    Progress,
    Prompt,
    Question,
    Reward,
    Teacher,
    TrainingReport,
)
from sitkit_hf.fingerprint import fingerprint, recommended
from sitkit_hf.loading import Models
from sitkit_hf.options import Options, gpu_memory
from sitkit_hf.processes import TrainingJob


class HfStudent:
    """A causal language model that learns through LoRA adapters; see `sitkit.types.Student`."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.models = Models(options)

    def fingerprint(self) -> Json:
        """Return hashes of the model's files, or its hub id and revision, and the options that matter."""
        return fingerprint(self.options)

    def recommended(self) -> Mapping[str, Mapping[str, Json]]:
        """Return what the model folder's ``sitkit.json`` recommends."""
        return recommended(self.options)

    def check(self, settings: Settings, objective: Objective) -> None:
        """Raise `SettingError` for an unknown loss, schedule or optimiser, and for steps that never end."""
        from sitkit_hf.explore import check_explore
        from sitkit_hf.refine import check_losses, check_patience
        from sitkit_hf.training import check_optimizer, check_processes, check_scheduler

        stages: tuple[tuple[str, TrainSettings], ...] = (("instruct", settings.instruct), ("refine", settings.refine))
        for stage, train in stages:
            check_scheduler(stage, train)
            check_optimizer(stage, train)
        for stage, train in stages:
            check_processes(stage, train)
            if train.processes > 1 and self.options.device_map == "auto":
                raise SettingError(
                    f"{stage}.processes={train.processes}: device_map=auto spreads one model over all GPUs; use either"
                )
        check_explore(settings.explore)
        check_losses(objective, settings.refine)
        check_patience(settings.refine)
        if not settings.refine.epochs and not settings.refine.max_steps:
            raise SettingError("refine.epochs and refine.max_steps are both 0: one must say when to stop")

    def instruct(
        self,
        demonstrations: Sequence[Demonstration],
        settings: InstructSettings,
        *,
        out: Path,
        scratch: Path,
        seed: int,
        progress: Progress,
    ) -> TrainingReport:
        """Train a new LoRA adapter on the completions. Raises `ModelError` if it cannot be, `SettingError`."""
        if settings.processes > 1 and demonstrations:
            return self._launch(
                TrainingJob(
                    stage="instruct",
                    options=self.options,
                    settings=settings,
                    rows=tuple(demonstrations),
                    out=out,
                    scratch=scratch,
                    seed=seed,
                ),
                progress,
            )
        from sitkit_hf.sft import instruct

        return instruct(self.models, demonstrations, settings, out=out, scratch=scratch, seed=seed, progress=progress)

    def refine(
        self,
        start: Path,
        pairs: Sequence[PreferencePair],
        objective: Objective,
        settings: RefineSettings,
        *,
        out: Path,
        scratch: Path,
        seed: int,
        progress: Progress,
    ) -> TrainingReport:
        """Train the adapter in ``start`` further on preferences. Raises `ModelError` or `SettingError`."""
        if settings.processes > 1:
            return self._launch(
                TrainingJob(
                    stage="refine",
                    options=self.options,
                    settings=settings,
                    rows=tuple(pairs),
                    out=out,
                    scratch=scratch,
                    seed=seed,
                    start=start,
                    objective=objective,
                ),
                progress,
            )
        from sitkit_hf.refine import refine

        return refine(
            self.models, start, pairs, objective, settings, out=out, scratch=scratch, seed=seed, progress=progress
        )

    def explore(
        self,
        start: Path,
        questions: Sequence[Question],
        reward: Reward,
        settings: ExploreSettings,
        *,
        out: Path,
        scratch: Path,
        seed: int,
        progress: Progress,
    ) -> TrainingReport:
        """Train the adapter in ``start`` further by a reward. Raises `ModelError` or `SettingError`."""
        from sitkit_hf.explore import explore

        return explore(
            self.models, start, questions, reward, settings, out=out, scratch=scratch, seed=seed, progress=progress
        )

    def check_teacher(self, teacher: Teacher) -> None:
        """Raise `SettingError` unless the teacher is a model run here that has the same tokens."""
        from sitkit_hf.explore import check_teacher

        check_teacher(self.models, teacher)

    def distil(
        self,
        start: Path,
        questions: Sequence[Question],
        teacher: Teacher,
        distillation: Distillation,
        settings: ExploreSettings,
        *,
        out: Path,
        scratch: Path,
        seed: int,
        progress: Progress,
    ) -> TrainingReport:
        """Train the adapter in ``start`` further by the teacher. Raises `ModelError` or `SettingError`."""
        from sitkit_hf.explore import as_local, distil

        return distil(
            self.models,
            start,
            questions,
            as_local(teacher),
            distillation,
            settings,
            out=out,
            scratch=scratch,
            seed=seed,
            progress=progress,
        )

    def complete(self, adapter: Path | None, prompts: Sequence[Prompt], generation: Generation) -> Iterator[Completion]:
        """Yield completions from the full-precision model with the adapter merged in.

        A block of thinking that the chat template has begun in the prompt begins in the completion.
        """
        if not prompts:
            return
        from sitkit_hf.generation import complete, complete_thinking
        from sitkit_hf.prompts import Prompts

        model = self.models.generator(adapter)
        joined = Prompts(self.models.tokenizer(), self.options, end_tokens(model.generation_config))
        size, most = self.options.batch_size, self.options.thinking_tokens
        given = (
            complete_thinking(model, joined, prompts, generation, most, batch_size=size)
            if most
            else complete(model, joined, prompts, generation, batch_size=size)
        )
        for one in given:
            yield replace(one, text=joined.opening + one.text) if joined.opening else one

    def export(self, adapter: Path | None, out: Path, *, merge: bool) -> None:
        """Write the adapter, or with ``merge`` the whole model, with its tokenizer."""
        from sitkit_hf.adapters import export

        export(self.models, adapter, out, merge=merge)

    def load(self, adapter: Path | None) -> tuple[Any, Any]:
        """Return the full-precision model with the adapter merged in, and its tokenizer."""
        models = Models(self.options)
        return models.generator(adapter), models.tokenizer()

    def harness_model(self, adapter: Path | None) -> Any:
        """Return lm-eval's own model class around the full-precision model with the adapter merged in."""
        import copy

        from lm_eval.models.huggingface import HFLM

        on_gpu, size = self.models.device().startswith("cuda"), self.options.batch_size
        # It sets the tokenizer's padding as it likes.
        tokenizer = copy.deepcopy(self.models.tokenizer())
        return HFLM(
            self.models.generator(adapter),
            tokenizer=tokenizer,
            # On a CPU finding the batch that fits takes longer than it saves.
            batch_size=size or ("auto" if on_gpu else 8),
            # Templates that can think do so unless they are told.
            chat_template_args={"enable_thinking": self.options.thinking},
            think_end_token=CLOSES if self.options.thinking else None,
        )

    def card_facts(self, folder: Path) -> ModelFacts:
        """Return the base's hub id and how prompts reach the model: through the chat template of the export."""
        template = _chat_template(folder)
        chat = self.options.chat_template != "off" and bool(template)
        return ModelFacts(
            base=self.options.model if self.options.folder is None else None,
            revision=self.options.revision,
            chat=chat,
            system=self.options.system,
            quantized=f"{self.options.name} ({at_rest})" if (at_rest := self.models.quantization()) else None,
            model_args=_thinking_args(self.options) if chat and "enable_thinking" in template else {},
        )

    def _launch(self, job: TrainingJob, progress: Progress) -> TrainingReport:
        from sitkit_hf.processes import launch

        # The training processes need the memory that this one's copies of the model take.
        self.models.close()
        return launch(job, progress)

    def footprint(self, settings: Settings) -> Footprint | None:
        """Return what it takes on a GPU, from its config and the headers of its weights."""
        from sitkit_hf.footprint import footprint

        return footprint(self.options, settings, trained=True)

    def gpu_memory(self) -> Sequence[int]:
        """Return the bytes of each GPU that it would run on."""
        return gpu_memory(self.options)

    def close(self) -> None:
        """Free what was loaded."""
        self.models.close()


def _thinking_args(options: Options) -> dict[str, str]:
    """Return lm-eval's arguments that have a template think or not, and its reader read what follows."""
    return {"enable_thinking": "True", "think_end_token": CLOSES} if options.thinking else {"enable_thinking": "False"}


def _chat_template(folder: Path) -> str:
    template, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if template.is_file():
        return template.read_text(encoding="utf-8")
    return str(json.loads(config.read_text(encoding="utf-8")).get("chat_template", "")) if config.is_file() else ""
