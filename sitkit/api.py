"""sitkit as a library: run a recipe, see what it would take, load a run, and look at what it found.

    import sitkit

    results = sitkit.run(limit=20, test_limit=10)
    results.scores()

Nothing is printed unless asked for (``progress=True`` or a listener); what goes wrong is an exception of
`sitkit.errors`; a run that is stopped (Ctrl-C, a kill) goes on where it was when it is called again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sitkit.capabilities import LoadableStudent
from sitkit.errors import PluginError, RecipeError, RunNotFoundError, blamed
from sitkit.execution.dry_run import DryRun
from sitkit.execution.dry_run import dry_run as dry_run_of
from sitkit.execution.events import Listener
from sitkit.execution.gpus import find_gpu
from sitkit.plan import Plan, build_plan
from sitkit.recipe import Recipe, check_name, default_name, make_recipe
from sitkit.registry import Registry, load_plugins
from sitkit.results.model import Results
from sitkit.results.rows import StoredRows
from sitkit.store import Store, make_key
from sitkit.types import Phase

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

WORKSPACE = "sitkit-workspace"
"""The folder of runs and stored artifacts where no other is named."""

RecipeLike = Recipe | Mapping[str, Any] | str | Path | None
"""A recipe, its plain values as in recipe.yaml, or the path of such a file."""


def run(
    recipe: RecipeLike = None,
    *,
    workspace: str | Path = WORKSPACE,
    name: str | None = None,
    replace: bool = False,
    executor: str = "here",
    progress: bool | Listener = False,
    registry: Registry | None = None,
    **keywords: Any,
) -> RunResults:
    """Teach, refine and score a student, and return what was found.

    ``keywords`` are those of recipe.yaml (``student="tiny"``, ``train_on=["gsm8k"]``, ``limit=100``,
    ``set={"refine": {"beta": 0.2}}``) and win over ``recipe``. Every stage is stored in ``workspace``: the same call
    again reuses what is there. ``name`` is that of the run's folder: one that a finished run of another recipe has is
    refused, unless ``replace`` says otherwise. ``executor`` is where stages run ("here", "ray",
    or a plugin's). ``progress=True`` shows what happens on standard error, a function gets the events.
    Raises `sitkit.errors.SitkitError`: what is wrong, where, and what to do.
    """
    registry = registry or load_plugins()
    said = _recipe(recipe, keywords, registry)
    registry = registry.with_files(said.plugins)
    plan = build_plan(said, registry)
    try:
        with _listening(progress) as listener:
            return run_plan(plan, Path(workspace), name, executor, listener, registry, replace=replace)
    finally:
        plan.close()


def dry_run(
    recipe: RecipeLike = None,
    *,
    workspace: str | Path = WORKSPACE,
    registry: Registry | None = None,
    gpu: str | None = None,
    **keywords: Any,
) -> DryRun:
    """Return what `run` would do with the same arguments: stages, what is stored, prompts, teachers' calls and cost.

    With ``gpu``, the name of a card ("h100", "2xl40s"), hours and memory there are counted too. Questions are read,
    nobody is asked and no model is loaded. Raises as `run` does.
    """
    registry = registry or load_plugins()
    said = _recipe(recipe, keywords, registry)
    registry = registry.with_files(said.plugins)
    plan = build_plan(said, registry)
    try:
        return dry_run_of(plan, Store(Path(workspace).absolute()), registry, None if gpu is None else find_gpu(gpu))
    finally:
        plan.close()


def load_run(path: str | Path, *, registry: Registry | None = None) -> RunResults:
    """Return what a run found, from its folder (``WORKSPACE/runs/NAME``).

    results.json is held against the store it names; where it is damaged or outdated it is built anew from the store.
    A plugin that is a file is not run by this, but where ``registry`` has it (``load_plugins().with_files([FILE])``).
    Raises `RunNotFoundError` if there is no finished run, or nothing to build it from.
    """
    from sitkit.results.files import load_results

    folder = Path(path).absolute()
    registry = registry or load_plugins()
    return RunResults(folder, load_results(folder, registry), registry)


def run_plan(
    plan: Plan,
    workspace: Path,
    name: str | None,
    executor: str,
    listener: Listener,
    registry: Registry,
    *,
    replace: bool = False,
) -> RunResults:
    """Run a plan and write its report: what `run` does once the recipe is planned. Raises as `run` does."""
    from sitkit import __version__
    from sitkit.execution.event_lines import run_log
    from sitkit.report.write import begin_run, write_run
    from sitkit.store.usage import in_use

    folder = run_folder(plan, workspace, name)
    if name and not replace:
        _refuse_another(folder, plan)
    store = Store.of_run(folder)
    made = registry.executor(executor, plan, store, listener)
    with in_use(store):
        _around("sitkit_before_run", registry, recipe=plan.full_recipe(), folder=folder)
        begin_run(folder, plan)
        with run_log(folder, f"sitkit {__version__}: {folder.name}", listener) as made.listener:
            outcome = made.run()
        results = write_run(folder, plan, outcome, registry)
    _around("sitkit_after_run", registry, results=results, folder=folder)
    return RunResults(folder, results, registry)


def _refuse_another(folder: Path, plan: Plan) -> None:
    """Raise `RecipeError` where the folder holds a finished run of another recipe."""
    from sitkit.results.files import read_results

    try:
        finished = read_results(folder)
    except RunNotFoundError:
        return
    if {stage.key for stage in finished.stages} == {node.key for node in plan.nodes}:
        return
    # A newer sitkit has keys and settings of its own; what both say tells whether this is that run made again.
    new = _flat(plan.full_recipe().as_mapping())
    old = _flat(finished.recipe)
    changed = [f"{name}: {old[name]}, now {new[name]}" for name in old if name in new and new[name] != old[name]]
    if changed:
        some = "; ".join(changed[:3]) + ("; and more" if len(changed) > 3 else "")
        raise RecipeError(
            f"the finished run {folder.name} has another recipe ({some}); choose another --name, or say --replace"
        )


def _flat(recipe: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in recipe.items() if name != "set"}
    return plain | {
        f"{stage}.{key}": value for stage, keys in (recipe.get("set") or {}).items() for key, value in keys.items()
    }


def _around(hook: str, registry: Registry, **arguments: object) -> None:
    """Call a hook around a run. What a plugin raises that is not for the user becomes a `PluginError` naming it."""
    for distribution, call in registry.hook_calls(hook):
        try:
            with blamed(f"{distribution}: {hook}", passes=lambda error: isinstance(error, OSError)):
                call(**arguments)
        except PluginError as error:
            if hook != "sitkit_after_run" or error.__cause__ is None:
                raise
            raise PluginError(f"{error}; the run itself is complete") from error.__cause__


def run_folder(plan: Plan, workspace: Path, name: str | None) -> Path:
    """Return the folder of a plan's run. Raises `RecipeError` for a name that is not one."""
    title = check_name(name) if name else default_name(plan.recipe, make_key([node.key for node in plan.nodes]))
    return Store(workspace.absolute()).run_folder(title)


def _recipe(recipe: RecipeLike, keywords: Mapping[str, Any], registry: Registry) -> Recipe:
    below = Path(recipe) if isinstance(recipe, str) else recipe
    return make_recipe(keywords, below=below, presets=registry.presets())


@contextmanager
def _listening(progress: bool | Listener) -> Iterator[Listener]:
    if callable(progress):
        yield progress
    elif progress:
        from sitkit.cli.progress import listening

        with listening(quiet=False) as listener:
            yield listener
    else:
        yield lambda event: None


class LoadedStudent:
    """A student as transformers loads it: ``model`` with the adapter merged in, and its ``tokenizer``."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer


@dataclass(frozen=True)
class Report:
    """A run's report: shown by notebooks, or as text by ``print``."""

    html: str
    markdown: str

    def _repr_html_(self) -> str:
        # In a frame of its own: the page has a policy and styles that are for a page alone.
        from html import escape

        return f'<iframe srcdoc="{escape(self.html, quote=True)}" style="width:100%;height:80vh;border:0"></iframe>'

    def __str__(self) -> str:
        return self.markdown


class RunResults:
    """What a run found: ``data`` are the typed results, ``folder`` is where its files lie.

    The data frames hold shares between 0 and 1 and one row for what their docstring says.
    """

    def __init__(self, folder: Path, data: Results, registry: Registry) -> None:
        self.folder, self.data = folder, data
        self._registry = registry

    def __repr__(self) -> str:
        means = ", ".join(f"{phase} {100 * value:.1f}" for phase, value in self.data.mean_accuracy.items())
        return f"<sitkit run {self.folder.name}: accuracy with CoT in percent, mean over all cells: {means}>"

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.folder.name

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The recipe, every setting resolved, as in recipe.yaml."""
        return self.data.recipe

    @property
    def warnings(self) -> list[str]:
        """What a reader must be told before believing the scores."""
        from sitkit.report.warnings import warnings_of

        return warnings_of(self.data)

    @cached_property
    def _stored(self) -> StoredRows:
        return StoredRows(Store.of_run(self.folder).workspace)

    def scores(self) -> pandas.DataFrame:
        """Return a row for each cell and seed: student, teacher, strategy, method, fraction, phase, train_on,
        refine_on, benchmark, domain, transfer, prompting, seed, accuracy, stderr (over questions), n, unread, worked,
        truncated (counts of answers), finished_accuracy (among the answers that were not cut), and key, the stage that
        holds the answers.
        """
        import pandas

        return pandas.DataFrame(
            [
                {
                    **_cell_columns(cell),
                    "seed": score.seed,
                    "accuracy": score.value,
                    "stderr": score.stderr,
                    "n": score.n,
                    "unread": score.unread,
                    "worked": score.worked,
                    "truncated": score.truncated,
                    "finished_accuracy": score.finished_accuracy,
                    "key": score.key,
                }
                for cell in self.data.cells
                for score in cell.seeds
            ]
        )

    def cells(self) -> pandas.DataFrame:
        """Return a row for each cell, its seeds taken together: the columns of `scores` that tell cells apart,
        accuracy, low and high (Wilson's 95% interval over questions), over_questions and over_seeds (standard errors),
        deviation (over seeds), n, seeds, unread, worked, truncated (shares), worked_accuracy, other_accuracy and
        finished_accuracy; with `evaluate.samples` mean@n, pass@k and majority@n.
        """
        import pandas

        errors = ("over_questions", "over_seeds", "deviation")
        shares = ("unread", "worked", "truncated", "worked_accuracy", "other_accuracy", "finished_accuracy")
        return pandas.DataFrame(
            [
                {
                    **_cell_columns(cell),
                    "accuracy": cell.value,
                    "low": cell.interval[0],
                    "high": cell.interval[1],
                    **{name: getattr(cell, name) for name in (*errors, "n", *shares)},
                    "seeds": len(cell.seeds),
                    **{one.name: one.value for one in cell.sampled},
                }
                for cell in self.data.cells
            ]
        )

    def changes(self) -> pandas.DataFrame:
        """Return a row for each step from one phase to the next: the later cell's columns, before (its phase), change
        (of the accuracy), style, skill, low and high (95% paired bootstrap interval), gained, lost (questions), p (the
        largest of the seeds' exact McNemar tests), holm (it with Holm's correction over the run's tests) and certain.
        """
        import pandas

        rows = []
        for change in self.data.changes:
            before, after = self.data.ends(change)
            paired = change.paired
            rows.append(
                {
                    **_cell_columns(after),
                    "before": before.phase,
                    "change": change.value,
                    "style": change.style,
                    "skill": change.skill,
                    "low": paired and paired.low,
                    "high": paired and paired.high,
                    "gained": paired and paired.gained,
                    "lost": paired and paired.lost,
                    "p": max(paired.p) if paired and paired.p else None,
                    "holm": change.holm,
                    "certain": bool(paired and paired.certain),
                }
            )
        return pandas.DataFrame(rows)

    def forgetting(self) -> pandas.DataFrame:
        """Return a row for each metric of an lm-eval task that was scored beside the benchmarks, after each phase:
        student, teacher, strategy, method, fraction, phase, train_on, refine_on, title (the task as it was asked for),
        task, metric, filter, higher_is_better, num_fewshot, n, value, stderr, and from the untaught student on change,
        low, high (its 95% interval) and paired (by document).
        """
        import pandas

        changes = {change.after: change for change in self.data.forgetting_changes}
        rows = []
        for place, score in enumerate(self.data.forgetting):
            row = {field.name: getattr(score, field.name) for field in fields(score)}
            change = changes.get(place)
            rows.append(
                {
                    **{name: value for name, value in row.items() if name not in ("tasks", "seeds")},
                    "change": change and change.value,
                    "low": change and change.low,
                    "high": change and change.high,
                    "paired": bool(change and change.paired),
                }
            )
        return pandas.DataFrame(rows)

    def demonstrations(self) -> pandas.DataFrame:
        """Return the teachers' answers to training questions: the fields of `sitkit.types.Demonstration`, and key."""
        return self._rows("annotate", [given.key for given in self.data.demonstrations])

    def samples(self) -> pandas.DataFrame:
        """Return the instructed students' own answers to training questions, a row each: the fields of
        `sitkit.types.Answers`, and key.
        """
        return self._rows("sample", [key for _, lesson in self._lessons() for key in lesson.sample])

    def pairs(self) -> pandas.DataFrame:
        """Return the preference pairs, a row each: the fields of `sitkit.types.PreferencePair`, and key."""
        return self._rows("pair", [pairs.key for pairs in self.data.pairs])

    def answers(self) -> pandas.DataFrame:
        """Return the scored answers, a row each: phase, the fields of `sitkit.types.Prediction`, and key."""
        phases = {key: cell.phase for cell in self.data.cells for key in cell.keys}
        found = self._rows("evaluate", list(phases))
        found.insert(0, "phase", found["key"].map(phases) if len(found) else [])
        return found

    def training(self) -> pandas.DataFrame:
        """Return the training curves, a row for each logged step: stage, label, what the trainer logged (step, loss,
        …), and key.
        """
        import pandas

        frames = []
        for training in self.data.training:
            frame = self._rows(training.stage, [training.key])
            frame.insert(0, "label", training.label)
            frame.insert(0, "stage", training.stage)
            frames.append(frame)
        return pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame()

    def report(self) -> Report:
        """Return the report as it lies in the run's folder, written anew if anything changed."""
        from sitkit.report.write import REPORT, write_report

        page = write_report(self.folder, self.data, self._registry)
        return Report(page.read_text(encoding="utf-8"), (self.folder / REPORT).read_text(encoding="utf-8"))

    def figures(self) -> dict[str, Figure]:
        """Return the report's figures by name, as matplotlib figures."""
        from sitkit.report.figures import figures

        return figures(self.data, self._stored)

    def student(self, phase: Phase = "refine", **which: Any) -> LoadedStudent:
        """Load the student of a phase as transformers does, the adapter merged in.

        ``which`` names one of several: student, teacher, train_on, refine_on, fraction, method, seed. Raises
        `RecipeError` if that leaves several, `RunNotFoundError` if it is not stored.
        """
        from sitkit.publish.export import stored_student

        with stored_student(self.folder, self.data, phase, self._registry, which) as (student, adapter, _):
            if not isinstance(student.made, LoadableStudent):
                raise RecipeError(f"{student}: its plugin does not hand out the model; use export()")
            with student.calling("load"):
                return LoadedStudent(*student.made.load(adapter))

    def export(self, directory: str | Path, *, phase: Phase = "refine", merge: bool = False, **which: Any) -> Path:
        """Write the student of a phase as a folder that transformers and PEFT load, with its model card.

        ``which`` is as for `student`. Raises as it does, and `RecipeError` if the folder is not empty.
        """
        from sitkit.publish.export import export

        return export(self.folder, Path(directory), phase=phase, merge=merge, registry=self._registry, wanted=which)

    def _lessons(self) -> list[tuple[Any, Any]]:
        return [(arm, lesson) for arm in self.data.arms for lesson in arm.lessons]

    def _rows(self, stage: str, keys: Sequence[str]) -> pandas.DataFrame:
        import pandas

        rows = []
        for key in dict.fromkeys(keys):
            found = self._stored.rows(stage, key)
            if found is None:
                gone = "; ".join(f"{path}: {reason}" for path, reason in self._stored.unread.items())
                raise RunNotFoundError(f"rows of {self.name} are not stored any more ({gone}); run the recipe again")
            rows += [{**row, "key": key} for row in found]
        return pandas.DataFrame(rows)


def _cell_columns(cell: Any) -> dict[str, Any]:
    # What most runs have several of comes first: a notebook shows the first columns.
    names = ("benchmark", "phase", "prompting", "transfer", "domain", "student", "teacher", "strategy", "method")
    found = {name: getattr(cell, name) for name in (*names, "fraction")}
    return {**found, "train_on": "+".join(cell.train_on), "refine_on": "+".join(cell.refine_on)}
