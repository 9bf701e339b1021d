"""The model card of an exported student: README.md with the hub's metadata in front, by the hub's own classes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sitkit.capabilities import ModelFacts
from sitkit.publish.redact import Redactor
from sitkit.publish.snippets import Snippets
from sitkit.report.tables import forgetting_tables
from sitkit.report.warnings import warnings_of
from sitkit.results.arms import Chosen
from sitkit.results.model import Cell, Results
from sitkit.results.rows import StoredRows
from sitkit.stages.evaluate import TASKS
from sitkit.types import COT_TRIGGER, PHASES, PROMPTINGS, Json, Phase

README = "README.md"

_TEMPLATE = Path(__file__).with_name("card.md.jinja")
_LONGEST_ANSWER = 512
_NAMES = {"cot": "CoT", "direct": "direct"}
_UNKNOWN = "?"


@dataclass(frozen=True)
class Exported:
    """A student that was written to ``folder``: which one and which phase of a run; ``title`` is what it is called.

    ``results`` are the run's, whole; ``stored`` reads what lies behind them; ``facts`` are the student's own.
    """

    title: str
    folder: Path
    phase: Phase
    chosen: Chosen
    results: Results
    stored: StoredRows
    facts: ModelFacts = field(default_factory=ModelFacts)


def model_card(exported: Exported) -> str:
    """Return the card: metadata, what it is, how it was trained, scores, limits, how to load and to repeat it.

    No path of this machine is in it, and it claims no licence. What the folder holds decides what it is: an adapter
    (adapter_config.json), a whole model (config.json), or something that the student's plugin knows to load.
    """
    from huggingface_hub import ModelCard

    card = _Card(exported)
    # The hub's class reads the text back, so that a card it does not take shows here.
    return str(ModelCard.from_template(card.metadata(), template_path=str(_TEMPLATE), **card.context()))


class _Card:
    def __init__(self, exported: Exported) -> None:
        self.exported, self.arm, self.lesson = exported, exported.chosen.arm, exported.chosen.lesson
        self.phase, self.facts = exported.phase, exported.facts
        self.results = exported.results.narrowed(self.arm, self.lesson.seed)
        self.adapter = (exported.folder / "adapter_config.json").is_file()
        self.loads = self.adapter or (exported.folder / "config.json").is_file()
        data_dir = self.results.recipe.get("data_dir")
        folders = [Path.home(), Path.cwd(), exported.stored.workspace, exported.folder.parent]
        self.redactor = Redactor([*folders, *([Path(data_dir)] if data_dir else [])])

    def metadata(self) -> Json:
        """The metadata in the hub's classes; scores are those of this phase alone."""
        from huggingface_hub import EvalResult, ModelCardData

        results = [
            EvalResult(
                task_type="text-generation",
                task_name=f"zero-shot question answering ({cell.domain})",
                dataset_type=cell.benchmark,
                dataset_name=cell.benchmark,
                dataset_split="test",
                metric_type="accuracy",
                metric_name=f"accuracy ({_NAMES[cell.prompting]})",
                metric_value=cell.value,
                metric_args={"prompting": cell.prompting, "stderr": cell.seeds[0].stderr, "n": cell.n},
            )
            for cell in self.results.cells
            if cell.phase == self.phase
        ]
        relation = {"base_model_relation": "adapter" if self.adapter else "finetune"}
        return ModelCardData(
            base_model=self.facts.base,
            **(relation if self.facts.base and self.loads else {}),
            library_name=("peft" if self.adapter else "transformers") if self.loads else None,
            pipeline_tag="text-generation" if self.loads else None,
            tags=["sitkit", "self-refine-instruction-tuning", *self._methods()],
            metrics=["accuracy"] if results else None,
            model_name=self.exported.title,
            eval_results=results or None,
        )

    def _methods(self) -> list[str]:
        found = ["lora"] if self.adapter else []
        if self.arm.train_on:
            found.append("sft")
        if self.phase == "refine" and "sigmoid" in self._objective.get("loss", ()):
            found.append("dpo")
        return found

    def context(self) -> dict[str, Json]:
        """What the template needs, every text of others made plain."""
        pairs = self.results.pairs_of(self.lesson)
        return {
            "title": escaped(self.exported.title),
            "adapter": self.adapter,
            "facts": self.facts,
            "revision": self._text(self.facts.revision),
            "quantized": self._text(self.facts.quantized),
            "phase": self.phase,
            "arm": self.arm,
            "student": self._spec(self.arm.student),
            "teacher": self._spec(self.arm.teacher),
            "strategy": self._spec(self.arm.strategy),
            "seed": self.lesson.seed,
            "quoted": lambda names: ", ".join(f"`{name}`" for name in names),
            "versions": {"sitkit": "", "lm_eval": "", **self.results.versions},
            "demonstrations": [
                {"label": self._text(given.label), "asked": given.asked, "answered": given.answered,
                 "right": given.right}
                for given in self.results.demonstrations
            ],
            "instruct": self._training("instruct"),
            "refine": self._training("refine"),
            "online": self._online(),
            "pairs": pairs or {"total": _UNKNOWN, "chosen_from": {}},
            "questions": self._questions(),
            "trigger": COT_TRIGGER,
            "scores": self._scores(),
            "forgetting": self._forgetting(),
            "warnings": [self._text(text) for text in warnings_of(self.results)],
            "own": self._own(),
            "load": self._snippets(),
            "recipe": self._recipe(),
            "all_versions": ", ".join(
                f"{name} {version}" for name, version in self.redactor.value(dict(self.results.versions)).items()
            ),
        }  # fmt: skip

    def _training(self, phase: Phase) -> dict[str, Json]:
        told = self.results.training_of(self.lesson, phase)
        settings = self._material(phase).get("settings", {})
        shown = (
            "learning_rate", "scheduler", "batch_size", "lora_r", "lora_alpha", "prompts", "samples", "temperature"
        )  # fmt: skip
        return {
            "examples": told.examples if told else _UNKNOWN,
            "steps": told.steps if told else _UNKNOWN,
            "settings": ", ".join(f"{name} {settings[name]}" for name in shown if name in settings)
            or "settings unknown",
            "loss": "+".join(self._objective.get("loss", ())) or "unknown",
            "beta": self._objective.get("beta", _UNKNOWN),
        }

    def _online(self) -> str:
        """What the student learnt by where there were no pairs, in a few words."""
        optimised = self._material("refine").get("optimised", {})
        weights, distillation = optimised.get("reward", {}), optimised.get("distillation")
        if distillation is not None:
            return (
                f"towards the teacher's probabilities (generalised Jensen-Shannon divergence, {_listed(distillation)})"
            )
        return f"by a reward ({_listed(weights)})" if weights else ""

    @cached_property
    def _objective(self) -> Mapping[str, Json]:
        found: Mapping[str, Json] = self._material("refine").get("objective", {})
        return found

    def _material(self, phase: Phase) -> Mapping[str, Json]:
        key = self.lesson.instruct if phase == "instruct" else self.lesson.refine
        return {} if key is None else stage_settings(self.exported.stored, phase, key)

    def _questions(self) -> str:
        fraction = f"{100 * self.arm.fraction:g}% of the {self.results.shared}" if self.arm.fraction < 1 else ""
        limit = self.results.recipe["limit"]
        parts = [fraction, f"the first {limit} training questions" if limit else ""]
        return " of ".join(part for part in parts if part) or "all training questions"

    def _scores(self) -> list[str]:
        names = self.results.benchmarks
        cells = {(cell.phase, cell.prompting, cell.benchmark): cell for cell in self.results.cells}
        first = {cell.benchmark: cell for cell in reversed(self.results.cells)}
        headings = [f"{name} ({first[name].transfer}, n={first[name].n})" for name in names]
        lines = [_row(["phase", "prompting", *headings]), "|" + "---|" * (2 + len(names))]
        for phase in PHASES[: PHASES.index(self.phase) + 1]:
            for prompting in PROMPTINGS:
                row = [cells.get((phase, prompting, name)) for name in names]
                if any(row):
                    lines.append(_row([phase, prompting, *(self._accuracy(cell) for cell in row)]))
        return lines

    def _forgetting(self) -> list[str]:
        """The metrics of other lm-eval tasks before and after, as the report has them."""
        return [
            line
            for table in forgetting_tables(self.results)
            for line in (
                _row(table.headings),
                "|" + "---|" * len(table.headings),
                *(_row([self.redactor.text(text) for text in row]) for row in table.rows),
            )
        ]

    def _accuracy(self, cell: Cell | None) -> str:
        if cell is None:
            return ""
        text = f"{100 * cell.value:.1f} ± {100 * cell.over_questions:.1f}"
        return f"**{text}**" if cell.phase == self.phase else text

    def _snippets(self) -> Snippets | None:
        if not self.loads or not self.results.tasks:
            return None
        recipe, own = self.results.recipe, self._own()
        # Of own benchmarks only what lies in the folder can be asked again.
        benchmark = next((name for name in self.results.tasks if own.get(name, True)), None)
        scored = next((cell for cell in self.results.cells if cell.benchmark == benchmark), None)
        settings = (
            stage_settings(self.exported.stored, "evaluate", scored.keys[0]).get("settings", {}) if scored else {}
        )
        metadata = {"seed": self.lesson.seed} | ({"data_dir": "DATA_DIR"} if recipe["data_dir"] else {})
        limit = f"--limit {recipe['test_limit']}" if recipe["test_limit"] else ""
        flags = [] if benchmark in own else [f"--metadata '{json.dumps(metadata)}'"]
        place = shlex.quote(f"./{self.exported.title}/{TASKS}")
        return Snippets(
            name=self.exported.title,
            folder=self.exported.folder,
            adapter=self.adapter,
            facts=self.facts,
            task=self.results.tasks[benchmark]["cot"] if benchmark else "",
            tasks=place if benchmark in own else f'"$(sitkit tasks path {benchmark})"',
            length=int(settings.get("max_new_tokens", _LONGEST_ANSWER)),
            evaluation=" ".join(filter(None, (*flags, limit))),
        )

    def _own(self) -> dict[str, bool]:
        """The benchmarks of the user's own questions, and whether their tasks lie in the folder."""
        own = [name for name in self.results.tasks if name in (self.results.recipe.get("questions") or ())]
        return {name: (self.exported.folder / TASKS / name).is_dir() for name in own}

    def _recipe(self) -> str:
        import yaml

        recipe = {
            name: self._specs(value) if name in ("student", "teacher", "strategy") else self.redactor.value(value)
            for name, value in self.results.recipe.items()
        }
        if recipe.get("data_dir"):
            recipe["data_dir"] = "DATA_DIR"
        if own := self.results.recipe.get("questions"):
            recipe["questions"] = {name: self.redactor.spec(text) for name, text in own.items()}
        return str(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)).rstrip()

    def _specs(self, value: Json) -> Json:
        return self.redactor.spec(value) if isinstance(value, str) else [self.redactor.spec(spec) for spec in value]

    def _spec(self, text: str) -> str:
        return self.redactor.spec(text).replace("`", "'")

    def _text(self, text: object) -> str:
        return escaped(self.redactor.text(str(text)))


def stage_settings(stored: StoredRows, stage: str, key: str) -> Mapping[str, Json]:
    """Return the settings that made a stage, from its manifest; {} if that is gone."""
    found: Mapping[str, Json] = (stored.material(stage, key) or {}).get("settings", {})
    return found


def _listed(values: Mapping[str, Json]) -> str:
    return ", ".join(f"{escaped(str(name))} {value:g}" for name, value in values.items())


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(escaped(cell) for cell in cells) + " |"


def escaped(text: str) -> str:
    """Return a text as one line of Markdown that means nothing but itself."""
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").split())
