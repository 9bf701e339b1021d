"""The student ``vllm``: the student ``hf`` in everything but generation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sitkit
from sitkit.capabilities import (
    CardFacts,
    DistillingStudent,
    ExploringStudent,
    Footprint,
    HarnessStudent,
    LocalModel,
    ModelFacts,
)
from sitkit.errors import PluginError
from sitkit.settings import ExploreSettings, InstructSettings, RefineSettings, Settings
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
    Student,
    Teacher,
    TrainingReport,
)
from sitkit_vllm.engine import Engine
from sitkit_vllm.installed import MissingVllmNotice, vllm_version
from sitkit_vllm.options import Options


class VllmStudent:
    """A student that trains as ``hf`` does and answers through vLLM; see `sitkit.types.Student`.

    Training and the engine take turns on the GPU: each frees what it holds before the other starts.
    """

    def __init__(self, hf: Student, options: Options) -> None:
        self.hf = hf
        self.options = options
        self.version = vllm_version()
        self.engine = Engine(options)
        self.missing = MissingVllmNotice(options.name)

    def fingerprint(self) -> Json:
        """Return that of the student ``hf``, under vLLM's version and options where vLLM answers.

        Without vLLM it is ``hf``'s to the letter, because its answers are: what one made the other reuses.
        """
        if self.version is None:
            return self.hf.fingerprint()
        return engine_fingerprint(self.hf.fingerprint(), self.version, self.options)

    def recommended(self) -> Mapping[str, Mapping[str, Json]]:
        """Return what the model recommends."""
        return self.hf.recommended()

    def check(self, settings: Settings, objective: Objective) -> None:
        """Raise `SettingError` for what ``hf`` cannot train with."""
        self.hf.check(settings, objective)

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
        """Train as ``hf`` does, with the engine's memory free."""
        self.engine.close()
        return self.hf.instruct(demonstrations, settings, out=out, scratch=scratch, seed=seed, progress=progress)

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
        """Train as ``hf`` does, with the engine's memory free."""
        self.engine.close()
        return self.hf.refine(start, pairs, objective, settings, out=out, scratch=scratch, seed=seed, progress=progress)

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
        """Train as ``hf`` does, which writes the answers too. Raises `PluginError` where it is another that cannot."""
        if not isinstance(self.hf, ExploringStudent):
            raise PluginError("its student cannot explore")
        self.engine.close()
        return self.hf.explore(
            start, questions, reward, settings, out=out, scratch=scratch, seed=seed, progress=progress
        )

    def check_teacher(self, teacher: Teacher) -> None:
        """Raise `SettingError` for a teacher that ``hf`` cannot learn from."""
        self._distilling().check_teacher(teacher)

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
        """Train as ``hf`` does, which writes the answers too."""
        self.engine.close()
        return self._distilling().distil(
            start, questions, teacher, distillation, settings, out=out, scratch=scratch, seed=seed, progress=progress
        )

    def _distilling(self) -> DistillingStudent:
        if not isinstance(self.hf, DistillingStudent):
            raise PluginError("its student cannot be distilled into")
        return self.hf

    def complete(
        self, adapter: Path | None, prompts: Sequence[Prompt], generation: Generation
    ) -> Iterator[Completion | tuple[str, str]]:
        """Yield completions as chunks finish; through ``hf``, with a notice, where vLLM is not installed.

        Raises `ModelError` if vLLM is there but cannot run the model: an engine is never swapped behind a key.
        """
        if not prompts:
            return
        if self.version is None:
            self.missing.give()
            yield from self.hf.complete(adapter, prompts, generation)
            return
        from sitkit_vllm.engine import read_adapter
        from sitkit_vllm.generation import complete, load_prompts

        learnt = None if adapter is None else read_adapter(adapter)
        self.hf.close()
        for prompt, _, written in complete(self.engine, load_prompts(self.options), learnt, prompts, generation):
            yield Completion(prompt.id, written.text.strip(), written.truncated, written.tokens)

    def export(self, adapter: Path | None, out: Path, *, merge: bool) -> None:
        """Write what ``hf`` writes."""
        self.engine.close()
        self.hf.export(adapter, out, merge=merge)

    def harness_model(self, adapter: Path | None) -> Any:
        """Return lm-eval's model around what ``hf`` loads. Raises `PluginError` where another stands in its place."""
        if not isinstance(self.hf, HarnessStudent):
            raise PluginError("its student cannot be asked by lm-eval")
        self.engine.close()
        return self.hf.harness_model(adapter)

    def card_facts(self, folder: Path) -> ModelFacts:
        """Return what ``hf`` says of what it wrote."""
        return self.hf.card_facts(folder) if isinstance(self.hf, CardFacts) else ModelFacts()

    def footprint(self, settings: Settings) -> Footprint | None:
        """Return what ``hf`` says of itself, its answers as the engine writes them where vLLM is there."""
        return engine_footprint(self.hf, settings, self.options, installed=self.version is not None)

    def gpu_memory(self) -> Sequence[int]:
        """Return the bytes of each GPU that it would run on."""
        return self.hf.gpu_memory() if isinstance(self.hf, LocalModel) else ()

    def close(self) -> None:
        """Free what was loaded."""
        self.engine.close()
        self.hf.close()


def engine_footprint(hf: object, settings: Settings, options: Options, *, installed: bool) -> Footprint | None:
    """Return what ``hf`` says it takes on a GPU, with the engine's manner of answering where vLLM is ``installed``.

    The engine holds the weights in 16 bits, the adapter beside, spread over the GPUs of ``tensor_parallel_size``, and
    fills the rest with caches; it starts a token's kernels at once (CUDA graphs). Not measured.
    """
    found = hf.footprint(settings) if isinstance(hf, LocalModel) else None
    if found is None or not installed:
        return found
    weights = found.parameters * (4.0 if options.dtype == "float32" else 2.0)
    gpus = int(str(options.engine.get("tensor_parallel_size", 1)))
    return replace(found, answering=weights, read=weights, row_share=0.9, pass_seconds=0.0, spread=gpus, parallel=True)


def engine_fingerprint(hf: Json, version: str, options: Options) -> Json:
    """Return the fingerprint of a model that vLLM runs: versions and numerics differ, so it never equals ``hf``'s."""
    return {
        "implementation": f"sitkit_vllm {sitkit.__version__}",
        "vllm": version,
        "dtype": options.dtype,
        "engine": dict(options.engine),
        "hf": hf,
    }
