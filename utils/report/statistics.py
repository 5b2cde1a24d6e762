"""Intervals, tests and numbers of seeds for differences that are paired by seed: Student's t."""

from collections.abc import Sequence
from warnings import catch_warnings

import numpy as np
from scipy import stats

__all__ = [
    "MOST_SEEDS",
    "holm_levels",
    "seeds_needed",
    "smallest_p",
    "student_interval",
]

MOST_SEEDS = 1000  # where the search for enough seeds ends


def student_interval(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """Student's interval of the mean; (nan, nan) for fewer than two values."""
    with catch_warnings(action="ignore"):  # fewer than two values, or all the same
        low, high = stats.ttest_1samp(values, 0).confidence_interval(confidence)
    return float(low), float(high)


def smallest_p(values: Sequence[float], low: float, high: float) -> float:
    """The smaller of two p-values: that of the mean lying in (low, high), and that of it lying out.

    To lie in takes two one-sided tests that both succeed (TOST, Schuirmann 1987). It is 1 for fewer
    than two values, and for values that all are the limit itself.
    """
    with catch_warnings(action="ignore"):  # fewer than two values, or all the same
        above_low, above_high = (
            stats.ttest_1samp(values, limit, alternative="greater").pvalue for limit in (low, high)
        )
    inside = max(above_low, 1 - above_high)  # both one-sided tests have to succeed
    smallest = min(inside, 1 - above_low, above_high)  # inside, below or above
    return 1.0 if np.isnan(above_low + above_high) else float(smallest)


def holm_levels(p_values: Sequence[float], alpha: float = 0.05) -> list[float]:
    """The level at which Holm's step-down method tests each claim of a family (Holm 1979).

    The smallest p-value is tested at alpha/n, the next one at alpha/(n − 1) and so on, until one
    fails. All later ones have that level too, and so fail as well.
    """
    levels, passed, level = [0.0] * len(p_values), True, 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        level = alpha / (len(p_values) - rank) if passed else level
        levels[place], passed = level, p_values[place] < level
    return levels


def seeds_needed(
    differences: Sequence[float], half_width: float, confidence: float = 0.95, least: int = 2
) -> int | None:
    """The smallest number of seeds, from `least` up, whose interval is within ± `half_width`.

    The spread is taken to stay that of `differences`, two or more of them; Student's quantile
    changes with the number. None if 1,000 seeds are not enough.
    """
    counts = np.arange(least, MOST_SEEDS + 1)
    errors = np.std(differences, ddof=1) / np.sqrt(counts)
    enough = counts[stats.t.ppf((1 + confidence) / 2, counts - 1) * errors <= half_width]
    return int(enough[0]) if len(enough) else None
