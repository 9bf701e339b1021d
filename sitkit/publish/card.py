"""The model card of an exported student: README.md with the hub's metadata in front, by the hub's own classes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sitkit.publish.redact import Private, hub_id
from sitkit.publish.snippets import LoadedBy, loading
from sitkit.report.one_arm import Arm, narrowed
from sitkit.report.summary import CellSummary, summarise
from sitkit.report.warnings import remarks
from sitkit.results.artifacts import Stored
from sitkit.spec import parse_spec
from sitkit.types import COT_TRIGGER, PHASES, PROMPTINGS, Json

README = "README.md"

_PAPER = "https://arxiv.org/abs/2405.00402"
_LONGEST_ANSWER = 512


@dataclass(frozen=True)
class Exported:
    """A student that was written to ``folder``: which arm and phase of a run; ``title`` is what it is called.

    ``results`` are the run's, whole; ``stored`` reads what lies behind them.
    """

    title: str
    folder: Path
    phase: str
    arm: Arm
    results: Json
    stored: Stored


def model_card(exported: Exported) -> str:
    """Return the card: metadata, what it is, how it was trained, scores, limits, how to load and to repeat it.

    No path of this machine is in it, and it claims no licence. What the folder holds decides what it is: an adapter
    (adapter_config.json), a whole model (config.json), or something that the student's plugin knows to load.
    """
    from huggingface_hub import ModelCard

    card = _Card(exported)
    content = f"---\n{card.metadata().to_yaml()}\n---\n\n" + "\n".join(card.lines()) + "\n"
    # Read back by the hub's own class, so that a card it does not take shows here.
    return str(ModelCard(content))


class _Card:
    def __init__(self, exported: Exported) -> None:
        self.exported, self.arm = exported, exported.arm
        self.results = narrowed(exported.results, exported.arm)
        self.recipe: Mapping[str, Json] = self.results["recipe"]
        data_dir = self.recipe.get("data_dir")
        folders = [Path.home(), Path.cwd(), exported.stored.workspace, exported.folder.parent]
        self.private = Private([*folders, *([Path(data_dir)] if data_dir else [])])
        self.cells = summarise(self.results["scores"])
        spec = parse_spec(str(self.arm["student"]))
        self.base, self.options = hub_id(spec.argument), spec.options
        self.kind = _kind(exported.folder)

    def metadata(self) -> Json:
        """The metadata in the hub's classes; scores are those of this phase alone."""
        from huggingface_hub import EvalResult, ModelCardData

        rows = [row for row in self.results["scores"] if row["phase"] == self.exported.phase]
        results = [
            EvalResult(
                task_type="text-generation",
                task_name=f"zero-shot question answering ({row['domain']})",
                dataset_type=str(row["benchmark"]),
                dataset_name=str(row["benchmark"]),
                dataset_split="test",
                metric_type="accuracy",
                metric_name=f"accuracy ({'with' if row['prompting'] == 'cot' else 'without'} the trigger)",
                metric_value=float(row["value"]),
                metric_args={"prompting": row["prompting"], "stderr": float(row["stderr"]), "n": int(row["n"])},
            )
            for row in rows
        ]
        relation = {"adapter": "adapter", "model": "finetune"}.get(self.kind)
        return ModelCardData(
            base_model=self.base,
            **({"base_model_relation": relation} if self.base and relation else {}),
            library_name={"adapter": "peft", "model": "transformers"}.get(self.kind),
            pipeline_tag="text-generation" if self.kind else None,
            tags=["sitkit", "self-refine-instruction-tuning", *self._methods()],
            metrics=["accuracy"] if results else None,
            model_name=self.exported.title,
            eval_results=results or None,
        )

    def _methods(self) -> list[str]:
        found = ["lora"] if self.kind == "adapter" else []
        if self.arm["train_on"]:
            found.append("sft")
        if self.exported.phase == "refine" and "sigmoid" in self._objective().get("loss", ()):
            found.append("dpo")
        return found

    def lines(self) -> Iterator[str]:
        """The text."""
        yield from (f"# {_escape(self.exported.title)}", "", *self._what(), "")
        yield from ("## How it was trained", "", *self._training(), "")
        yield from ("## Scores", "", *self._scores(), "")
        yield from ("## Limits", "", *self._limits(), "")
        yield from self._loading()
        yield from ("## Repeat it", "", *self._repeat())

    def _what(self) -> Iterator[str]:
        what = "A LoRA adapter for " if self.kind == "adapter" else ""
        base = f"[{self.base}](https://huggingface.co/{self.base})" if self.base else f"`{self._spec('student')}`"
        revision = self.options.get("revision")
        base += f" (revision {self._text(revision)})" if revision else ""
        untaught = "" if self.arm["train_on"] else ", without instruction-tuning before"
        done = "instruction-tuned" if self.exported.phase == "instruct" else f"self-refined{untaught}"
        yield (
            f"{what}{base}, {done} by [Self-refine Instruction-Tuning]({_PAPER}) with"
            f" sitkit {self.results['versions'].get('sitkit', '')}, to answer questions step by step."
        )
        if not self.base:
            yield (
                "The base model has no hub id"
                + (
                    ": `adapter_config.json` names the folder it was loaded from; put the base's own place into"
                    " `base_model_name_or_path` before you pass the adapter on."
                    if self.kind == "adapter"
                    else "."
                )
            )

    def _training(self) -> Iterator[str]:
        teacher = self._spec("teacher")
        for one in self.results["demonstrations"]:
            yield (
                f"- Demonstrations, {self._text(one['label'])}: {one['asked']} questions asked, {one['answered']}"
                f" answered, {one['right']} right."
            )
        if self.arm["train_on"]:
            used = self._trained("instruct")
            yield (
                f"- Instruction-tuning on `{teacher}`'s answers to {_names(self.arm['train_on'])}:"
                f" {used.get('demonstrations', '?')} demonstrations, {used.get('steps', '?')} steps,"
                f" {self._settings('instruct')}."
            )
        if self.exported.phase == "refine":
            pairs, used, objective = self.results["pairs"], self._trained("refine"), self._objective()
            loss = "+".join(objective.get("loss", ())) or "unknown"
            yield (
                f"- Refinement on {_names(self.arm['refine_on'])} by the strategy `{self._spec('strategy')}`:"
                f" {pairs['total']} preference pairs (chosen: the student's own answer in"
                f" {pairs.get('chosen_from_student', 0)}, the teacher's in {pairs.get('chosen_from_teacher', 0)},"
                f" the target in {pairs.get('chosen_from_target', 0)}), loss {loss}, beta {objective.get('beta', '?')},"
                f" {used.get('steps', '?')} steps, {self._settings('refine')}."
            )
        fraction = f"{100 * self.arm['fraction']:g}% of the training questions" if self.arm["fraction"] < 1 else ""
        limit = f"the first {self.recipe['limit']} training questions" if self.recipe["limit"] else ""
        kept = " of ".join(one for one in (fraction, limit) if one) or "all training questions"
        yield f"- Seed {self.arm['seed']}; {kept} of each benchmark."

    def _settings(self, stage: str) -> str:
        found = self._material(stage).get("settings", {})
        shown = ("learning_rate", "scheduler", "batch_size", "lora_r", "lora_alpha")
        return ", ".join(f"{name} {found[name]}" for name in shown if name in found) or "settings unknown"

    def _objective(self) -> Mapping[str, Json]:
        found: Mapping[str, Json] = self._material("refine").get("objective", {})
        return found

    def _material(self, stage: str) -> Mapping[str, Json]:
        key = self.arm.get(stage)
        material = self.exported.stored.material(stage, key) if key else None
        found: Mapping[str, Json] = (material or {}).get("settings", {})
        return found

    def _trained(self, stage: str) -> Mapping[str, Json]:
        key = self.arm[stage]
        return next((one for one in self.results["training"] if one["key"] == key), {})

    def _scores(self) -> Iterator[str]:
        names = list(dict.fromkeys(cell.benchmark for cell in self.cells))
        cells = {(cell.phase, cell.prompting, cell.benchmark): cell for cell in self.cells}
        first = {cell.benchmark: cell for cell in self.cells}
        yield (
            "Accuracy in percent ± standard error over the n test questions, zero-shot, through lm-eval"
            f" {self.results['versions'].get('lm_eval', '')}. cot: with the trigger “{COT_TRIGGER}”, direct: without."
            f" **Bold**: this {'adapter' if self.kind == 'adapter' else 'model'}; the phases before it beside."
        )
        yield ""
        yield _row(["phase", "prompting", *(f"{name} ({first[name].transfer}, n={first[name].n})" for name in names)])
        yield "|" + "---|" * (2 + len(names))
        for phase in PHASES[: PHASES.index(_phase(self.exported.phase)) + 1]:
            for prompting in PROMPTINGS:
                row = [cells.get((phase, prompting, name)) for name in names]
                if any(row):
                    yield _row([phase, prompting, *(_accuracy(cell, self.exported.phase) for cell in row)])

    def _limits(self) -> Iterator[str]:
        for text in remarks(self.results, self.exported.stored):
            yield f"- {self._text(text)}"
        yield (
            "- Scored on the benchmarks above and nothing else, with their own prompts: no statement about other tasks,"
            " languages, conversation or safety follows. Reasoning that reads well may be wrong."
        )
        yield (
            "- One arm and one seed of a run: the standard error is over questions, not over trainings."
            " The teacher's mistakes and habits are learnt with its answers."
        )
        yield (
            "- No licence is stated here: those of the base model, of the teacher's answers and of the benchmarks'"
            " questions apply."
        )

    def _loading(self) -> Iterator[str]:
        benchmark = next(iter(self.results["tasks"]), None)
        if not self.kind or benchmark is None:
            return
        row = next((one for one in self.results["scores"] if one["benchmark"] == benchmark), None)
        settings = self._evaluated(row["key"]) if row else {}
        metadata = {"seed": self.arm["seed"]} | ({"data_dir": "DATA_DIR"} if self.recipe["data_dir"] else {})
        limit = self.recipe["test_limit"]
        how = LoadedBy(
            name=self.exported.title,
            folder=self.exported.folder,
            adapter=self.kind == "adapter",
            base=self.base,
            options=self.options,
            task=self.results["tasks"][benchmark]["cot"],
            benchmark=benchmark,
            length=int(settings.get("max_new_tokens", _LONGEST_ANSWER)),
            evaluation=f"--metadata '{json.dumps(metadata)}'" + (f" --limit {limit}" if limit else ""),
        )
        yield from loading(how)

    def _evaluated(self, key: str) -> Mapping[str, Json]:
        material = self.exported.stored.material("evaluate", key)
        found: Mapping[str, Json] = (material or {}).get("settings", {}).get("settings", {})
        return found

    def _repeat(self) -> Iterator[str]:
        import yaml

        recipe = {
            name: self._spec_value(value) if name in ("student", "teacher", "strategy") else self.private.value(value)
            for name, value in self.recipe.items()
        }
        if recipe.get("data_dir"):
            recipe["data_dir"] = "DATA_DIR"
        yield from ("`sitkit run --config recipe.yaml` with", "", "```yaml")
        yield yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True).rstrip()
        yield from ("```", "")
        versions = self.private.value(self.results["versions"])
        yield "Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + "."

    def _spec(self, name: str) -> str:
        return str(self._spec_value(self.arm[name])).replace("`", "'")

    def _spec_value(self, value: Json) -> Json:
        return self.private.spec(value) if isinstance(value, str) else [self.private.spec(one) for one in value]

    def _text(self, text: str) -> str:
        return _escape(self.private.text(str(text)))


def _kind(folder: Path) -> str:
    if (folder / "adapter_config.json").is_file():
        return "adapter"
    return "model" if (folder / "config.json").is_file() else ""


def _phase(text: str) -> str:
    return text if text in PHASES else PHASES[-1]


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _accuracy(cell: CellSummary | None, phase: str) -> str:
    if cell is None:
        return ""
    text = f"{100 * cell.value:.1f} ± {100 * cell.stderr:.1f}"
    return f"**{text}**" if cell.phase == phase else text


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_escape(cell) for cell in cells) + " |"


def _escape(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").split())
