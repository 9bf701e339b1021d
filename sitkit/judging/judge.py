"""Have a judge rate a run's answers: each reply on disk before it counts, only the missing ones asked again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from sitkit.capabilities import PaidEndpoint, PromptCompleter
from sitkit.components import Component
from sitkit.errors import RecipeError, TeacherError
from sitkit.judging.answers import Item
from sitkit.stages import Budget, TeacherSession, read_replies
from sitkit.store import Journal, Store, make_key, short
from sitkit.types import Estimate, Generation, Progress, Prompt, Reply, Teacher


@dataclass(frozen=True)
class Judge:
    """A teacher that rates. Raises `RecipeError` if it cannot complete a prompt that is no question of a benchmark."""

    part: Component[Teacher]
    generation: Generation
    store: Store

    def __post_init__(self) -> None:
        _ = self._completing
        # Errors should name it as what it is here.
        object.__setattr__(self, "part", replace(self.part, kind="judge"))

    @cached_property
    def journal_name(self) -> str:
        """The journal is every run's: what determines a reply is the judge and, as the row's id, the whole prompt."""
        return f"judge-{short(make_key({'judge': self.part.fingerprint, 'generation': asdict(self.generation)}))}"

    def missing(self, items: Sequence[Item]) -> list[Prompt]:
        """Return the prompts that have no reply yet, each once. Nothing is asked, written or locked."""
        replies = read_replies(Journal.peek(self._path))
        answered = {name for name, reply in replies.items() if not reply.failed}
        return [prompt for prompt in _prompts(items).values() if prompt.id not in answered]

    def estimate(self, items: Sequence[Item]) -> Estimate:
        """Return what session for the missing replies would take; tokens are 0 for a judge that is no endpoint."""
        missing = self.missing(items)
        if not isinstance(self.part.made, PaidEndpoint):
            return Estimate(len(missing), 0, 0, None)
        with self.part.calling("estimate"):
            return self.part.made.estimate(missing, self.generation)

    def ask(
        self,
        items: Sequence[Item],
        *,
        max_cost: float | None,
        max_failures: float,
        progress: Progress,
        waiting: Callable[[], None],
    ) -> TeacherSession:
        """Ask for the missing replies and return all of them, failures among them.

        ``waiting`` is called once if another process is asking the same judge. Raises `TeacherError` once more than
        the share ``max_failures`` failed or ``max_cost`` US dollars would be passed; what was replied is kept.
        """
        if max_cost is not None and not isinstance(self.part.made, PaidEndpoint):
            raise TeacherError(
                f"{self.part.spec} does not say what it costs, so --max-cost cannot be kept: leave --max-cost out"
            )
        prompts = _prompts(items)
        with self._journal(waiting) as journal:
            session = TeacherSession(
                part=self.part,
                journal=journal,
                ids=list(prompts),
                what=f"judge {self.part.spec}",
                folder=self._path.with_suffix(""),
                budget=Budget(max_cost),
                max_failures=max_failures,
                progress=progress,
                limit="--max-failures",
            )
            session.ask(
                "complete", lambda ids: self._complete([prompt for name, prompt in prompts.items() if name in ids])
            )
        return session

    def _complete(self, prompts: Sequence[Prompt]) -> Iterator[tuple[str, str] | Reply]:
        with self.part.calling("complete"):
            return iter(self._completing.complete(prompts, self.generation))

    @property
    def _completing(self) -> PromptCompleter:
        if not isinstance(self.part.made, PromptCompleter):
            raise RecipeError(
                f"{self.part.spec} cannot judge: it answers a benchmark's questions only, while a judge completes any"
                " prompt (as openai:MODEL and hf:MODEL do)"
            )
        return self.part.made

    @property
    def _path(self) -> Path:
        return self.store.journal(self.journal_name)

    @contextmanager
    def _journal(self, waiting: Callable[[], None]) -> Iterator[Journal]:
        with self.store.lock(self.journal_name, waiting=waiting), Journal(self._path) as journal:
            yield journal


def _prompts(items: Sequence[Item]) -> dict[str, Prompt]:
    return {item.prompt.id: item.prompt for item in items}
