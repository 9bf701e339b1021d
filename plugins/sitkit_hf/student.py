"""The student ``hf``: ties loading, training, generation and export together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sitkit.settings import InstructSettings, RefineSettings, Settings
from sitkit.types import (
    Demonstration,
    Generation,
    Json,
    Objective,
    PreferencePair,
    Progress,
    Prompt,
    TrainingReport,
)
from sitkit_hf.fingerprint import fingerprint, recommended
from sitkit_hf.job import TrainingJob
from sitkit_hf.loading import Models
from sitkit_hf.options import Options


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
        """Raise `SettingError` for an unknown loss or schedule, or steps that never end."""
        from sitkit_hf.checking import check

        check(settings, objective)

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
        from sitkit_hf.refining import refine

        return refine(
            self.models, start, pairs, objective, settings, out=out, scratch=scratch, seed=seed, progress=progress
        )

    def complete(
        self, adapter: Path | None, prompts: Sequence[Prompt], generation: Generation
    ) -> Iterator[tuple[str, str]]:
        """Yield (prompt id, completion) from the full-precision model with the adapter merged in."""
        from sitkit_hf.answering import answers

        yield from answers(self.models, adapter, prompts, generation)

    def export(self, adapter: Path | None, out: Path, *, merge: bool) -> None:
        """Write the adapter, or with ``merge`` the whole model, with its tokenizer."""
        from sitkit_hf.export import export

        export(self.models, adapter, out, merge=merge)

    def _launch(self, job: TrainingJob, progress: Progress) -> TrainingReport:
        from sitkit_hf.launch import launch

        # The training processes need the memory that this one's copies of the model take.
        self.models.close()
        return launch(job, progress)

    def close(self) -> None:
        """Free what was loaded."""
        self.models.close()
