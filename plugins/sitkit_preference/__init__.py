"""Strategies of the paper (Appendix B), the control that tells what the preference adds, and what came since.

``dpo-cot`` (eq. 3, 4), ``dpo-answer`` (eq. 5), ``sft-chosen``: one answer of each kind. ``irpo``, ``rft``, ``star``: by
several samples a question, right or wrong. ``grpo``, ``gkd``: by answers that the student writes while it learns. Each
says in its docstring where it differs from its source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from sitkit import hookimpl
from sitkit.hookspecs import Register
from sitkit.spec import Spec, number
from sitkit.types import Candidate, Context, LeftOut, Objective, PreferencePair, Strategy, StrategyFactory
from sitkit_preference.online import OwnAnswers, RightAnswers
from sitkit_preference.pairing import PairingStrategy, pair_answer, pair_cot
from sitkit_preference.sampling import contrast, distinct_paths, first_right


@hookimpl
def sitkit_strategies(register: Register[StrategyFactory]) -> None:
    """Register the strategies of this package."""
    register("dpo-cot", dpo_cot)
    register("dpo-answer", dpo_answer)
    register("sft-chosen", sft_chosen)
    register("irpo", irpo)
    register("rft", rft)
    register("star", star)
    register("grpo", grpo)
    register("gkd", gkd)


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


def irpo(spec: Spec, context: Context) -> Strategy:
    """DPO + NLL on the student's own right CoT answers over its wrong ones; pairs=N: at most so many a question (10).

    Pang et al. 2024, "Iterative Reasoning Preference Optimization", arXiv 2404.19733: beta 0.1, the NLL of the chosen
    answer with weight 1, at most 10 pairs a question of 30 samples at temperature 0.8; here of 8 samples, and it starts
    from the instructed student. The source divides the NLL by the answer's length; TRL's ``sft`` takes the mean over
    the tokens of the chosen answers that go through the model together, so a long one counts for more. The source's
    rounds are ``refine.rounds``.
    """
    spec.refuse_argument()
    most = {"pairs": _PAIRS, **spec.parse_options({"pairs": _count})}["pairs"]
    return PairingStrategy(
        "irpo",
        partial(contrast, most=int(str(most))),
        Objective(loss=("sigmoid", "sft"), weights=(1.0, 1.0), beta=0.1),
        options={"pairs": most},
        recommends={"sample": {"samples": _SAMPLES, "temperature": 0.8}},
    )


def rft(spec: Spec, context: Context) -> Strategy:
    """Fine-tuning on the demonstration and the student's own right CoT answers, one for each way of reasoning.

    Rejection sampling fine-tuning, Yuan et al. 2023, arXiv 2308.01825: answers with the same equations in the same
    order count once. The source draws 100 samples at temperature 0.7 and trains the base model on demonstrations and
    samples; here it is 8 samples, and training goes on from the instructed student, as all refining does.
    """
    return _plain(spec, PairingStrategy(
        "rft", distinct_paths, Objective(loss=("sft",)),
        recommends={"sample": {"samples": _SAMPLES, "temperature": 0.7}},
    ))  # fmt: skip


def star(spec: Spec, context: Context) -> Strategy:
    """Fine-tuning on the student's own right CoT answers, one a question, and on nothing of the teacher's.

    STaR, Zelikman et al. 2022, arXiv 2203.14465, with its rationalisation (``sample.hints``): a question that the
    student gets wrong is asked again with its target as a hint, and an answer that reaches it and explains how (a
    number that is not in the target; for a choice, a sentence that does not name it) is learnt as if there had been
    none. The source learns whatever reaches it, and hints inside its few worked examples, where here the question says
    it; the source starts each round from the base model, here training goes on from the student that answered. Its
    rounds are ``refine.rounds``.
    """
    return _plain(spec, PairingStrategy(
        "star-explained", first_right, Objective(loss=("sft",)), recommends={"sample": {"hints": True}}
    ))  # fmt: skip


def grpo(spec: Spec, context: Context) -> Strategy:
    """Reinforcement learning on right answers, without pairs; format=W: weight of the answer's form beside it (0.1).

    Group relative policy optimisation, Shao et al. 2024, arXiv 2402.03300, with a rule for the reward as in DeepSeek-R1
    (arXiv 2501.12948): 1 for a right answer, W more for one that is worked in steps and ends with an answer to be read.
    The student answers the training questions with CoT, and those of ``practice_on``; no teacher is asked for them. The
    source draws 64 answers to a question, here it is 8; the loss is TRL's (``explore.loss``), the reference the student
    it starts from.
    """
    spec.refuse_argument()
    return RightAnswers(float(str({"format": 0.1, **spec.parse_options({"format": number(low=0, high=10)})}["format"])))


def gkd(spec: Spec, context: Context) -> Strategy:
    """On-policy distillation from a local teacher (hf:MODEL) with the student's tokens; beta=B: the divergence (0.5).

    Generalised knowledge distillation, Agarwal et al. 2024, arXiv 2306.13649, on the student's own answers alone
    (lambda 1), at one temperature; beta 0 is the KL divergence from the teacher, 1 the reverse one.
    """
    spec.refuse_argument()
    return OwnAnswers(float(str({"beta": 0.5, **spec.parse_options({"beta": number(low=0, high=1)})}["beta"])))


_SAMPLES = 8
_PAIRS = 10


def _plain(spec: Spec, strategy: PairingStrategy) -> Strategy:
    spec.refuse_argument()
    spec.parse_options({})
    return strategy


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ValueError("expected a whole number above 0")
    return int(text)


def _strategy(
    spec: Spec, rule: str, pair: Callable[[Candidate], PreferencePair | LeftOut], objective: Objective
) -> Strategy:
    return _plain(spec, PairingStrategy(rule, lambda candidate: [pair(candidate)], objective))
