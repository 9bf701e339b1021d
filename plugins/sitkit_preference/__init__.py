"""Strategies of the paper (Appendix B), and the control that tells what the preference adds.

``dpo-cot`` (eq. 3, 4), ``dpo-answer`` (eq. 5), ``sft-chosen``. They take neither an argument nor options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sitkit import hookimpl
from sitkit.hookspecs import Register
from sitkit.spec import Spec
from sitkit.types import Candidate, Context, LeftOut, Objective, PreferencePair, Strategy, StrategyFactory
from sitkit_preference.pairing import PairingStrategy, pair_answer, pair_cot


@hookimpl
def sitkit_strategies(register: Register[StrategyFactory]) -> None:
    """Register the strategies of this package."""
    register("dpo-cot", dpo_cot)
    register("dpo-answer", dpo_answer)
    register("sft-chosen", sft_chosen)


@hookimpl
def sitkit_defaults() -> Mapping[str, object]:
    """Pair as the paper does for its main results."""
    return {"strategy": "dpo-cot"}


def dpo_cot(spec: Spec, context: Context) -> Strategy:
    """DPO towards worked answers: the student's own right ones, else the teacher's, over its direct answers."""
    return _strategy(spec, "dpo-cot", pair_cot, Objective())


def dpo_answer(spec: Spec, context: Context) -> Strategy:
    """DPO towards direct answers: the student's own right ones, else the target, over its worked answers."""
    return _strategy(spec, "dpo-answer", pair_answer, Objective())


def sft_chosen(spec: Spec, context: Context) -> Strategy:
    """The control: plain fine-tuning on the chosen sides of dpo-cot's pairs."""
    return _strategy(spec, "dpo-cot", pair_cot, Objective(loss=("sft",)))


def _strategy(
    spec: Spec, rule: str, pair: Callable[[Candidate], PreferencePair | LeftOut], objective: Objective
) -> Strategy:
    spec.refuse_argument()
    spec.parse_options({})
    return PairingStrategy(rule, pair, objective)
