"""How many pairs a question needs, and how small a drop the pairs at hand can show."""

from __future__ import annotations

import math

from scipy import special

POWER = 0.8


def minimum_detectable_effect(
    standard_error: float, *, degrees: float = math.inf, alpha: float = 0.05, power: float = POWER
) -> float:
    """Smallest true drop that a one-sided test at alpha finds with this power, in the unit of the standard error.

    `degrees` are the degrees of freedom of the standard error; infinite for a known one.
    """
    return float(_quantile(1 - alpha, degrees) + _quantile(power, degrees)) * standard_error


def sample_size(standard_deviation: float, difference: float, *, alpha: float = 0.05, power: float = POWER) -> int:
    """Pairs needed to tell a mean difference from zero, one-sided, given the spread of single differences.

    Solved with the t distribution, so that small answers are not too small. Raises ValueError unless the difference
    and the deviation are positive and finite.
    """
    if not (0 < difference < math.inf and 0 < standard_deviation < math.inf):
        raise ValueError(f"need a positive difference and deviation, got {difference} and {standard_deviation}")
    ratio = standard_deviation / difference
    n = 2.0
    # The t quantiles depend on n; the fixed point is reached in a few rounds because they change slowly.
    for _ in range(20):
        following = max(2.0, float(_quantile(1 - alpha, n - 1) + _quantile(power, n - 1)) ** 2 * ratio**2)
        if abs(following - n) < 0.5:
            break
        n = (n + following) / 2 if following < n else following
    return math.ceil(max(n, following))


def _quantile(probability: float, degrees: float) -> float:
    # The bare functions: the distribution objects take fifty times as long, and a gate asks thousands of times.
    if math.isinf(degrees):
        return float(special.ndtri(probability))
    return float(special.stdtrit(max(degrees, 1.0), probability))
