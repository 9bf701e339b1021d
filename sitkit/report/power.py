"""How many questions a difference takes: McNemar's test on the same questions, at 5% two-sided.

Connor (1987), Biometrics 43(1):207-211: with psi the share of questions on which two phases differ and d the
difference of their accuracies, n = (z(0.975) sqrt(psi) + z(power) sqrt(psi - d^2))^2 / d^2.
"""

from __future__ import annotations

import math

POWER = 0.8
_LEVEL = 0.05
_SMALLEST = 1e-6


def independent_discordance(before: float, after: float) -> float:
    """Return the share of questions on which two phases of these accuracies differ if one says nothing of the other:
    more than is usual for phases of one student, so that needs err on the high side.
    """
    return before * (1 - after) + after * (1 - before)


def needed(difference: float, discordance: float, power: float = POWER) -> int:
    """Return how many questions it takes to tell ``difference`` (0 to 1, either sign, not 0) from none."""
    return math.ceil(_needed(abs(difference), discordance, power))


def detectable(n: int, discordance: float, power: float = POWER) -> float:
    """Return the smallest difference (0 to 1) that n questions tell from none with that power; 1 if they tell none."""
    from scipy.optimize import brentq

    def lacking(difference: float) -> float:
        return _needed(difference, discordance, power) - n

    return float(brentq(lacking, _SMALLEST, 1.0)) if lacking(1.0) < 0 else 1.0


def _needed(difference: float, discordance: float, power: float) -> float:
    from scipy.special import ndtri

    # Two phases differ on at least as many questions as their accuracies do.
    psi = max(discordance, difference)
    level, tail = float(ndtri(1 - _LEVEL / 2)), float(ndtri(power))
    return (level * math.sqrt(psi) + tail * math.sqrt(max(psi - difference**2, 0.0))) ** 2 / difference**2
