"""Claims that were written down before the runs, and what the runs say about them."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from .records import accuracies

__all__ = ["CONFIDENCE", "Claim", "Result", "judge", "read_plan", "signed"]

# Three claims share an error of 5 % (Bonferroni): each one-sided test gets 5/3 %. A two-sided
# interval leaves that much out at both ends.
CONFIDENCE = 1 - 2 * 0.05 / 3


@dataclass(frozen=True)
class Claim:
    """A sentence about the test accuracy of `variant` minus that of `minus`, in points.

    Kind "greater": the difference is above the margin. Kind "equivalence": it is within ± margin.
    """

    sentence: str
    kind: str
    variant: str
    minus: str
    margin: float

    @property
    def limits(self) -> tuple[float, float]:
        """The claim is true of differences between these two."""
        return (self.margin, np.inf) if self.kind == "greater" else (-self.margin, self.margin)

    @property
    def difference(self) -> str:
        return f"{self.variant} − {self.minus}"

    @property
    def condition(self) -> str:
        """When it is true, in words."""
        return f"above {self.margin:g}" if self.kind == "greater" else f"within ±{self.margin:g}"


@dataclass(frozen=True)
class Result:
    """What the runs say about a claim: its differences in points, one for each seed."""

    claim: Claim
    differences: list[float]

    @property
    def interval(self) -> tuple[float, float]:
        """Student's interval of the mean; (nan, nan) for fewer than two seeds."""
        count = len(self.differences)
        if count < 2:
            return np.nan, np.nan
        half = stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * stats.sem(self.differences)
        mean = np.mean(self.differences)
        return float(mean - half), float(mean + half)

    @property
    def verdict(self) -> str:
        """Whether the whole interval lies where the claim is true, or where it is false."""
        (low, high), (least, most) = self.interval, self.claim.limits
        if least < low and high < most:
            return "holds"
        return "does not hold" if high < least or low > most else "not decided"


def signed(points: float) -> str:
    """With two decimals, its sign and a true minus."""
    return f"{points:+.2f}".replace("-", "−")


def read_plan(path: Path) -> list[Claim]:
    """The three claims and the three controls of the plan that was written before the runs."""
    plan = json.loads(path.read_text(encoding="utf-8"))
    return [Claim(**claim) for claim in plan["claims"] + plan["controls"]]


def judge(claims: list[Claim], records: list[dict]) -> list[Result]:
    """A verdict on each claim, from the differences at equal seeds.

    A claim holds if its whole interval lies where the claim is true, and does not hold if all of
    it lies where the claim is false. Then at least one of three verdicts is false in at most 5 of
    100 studies.
    """
    results = []
    for claim in claims:
        ours, theirs = (accuracies(records, name) for name in (claim.variant, claim.minus))
        paired = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
        results.append(Result(claim, paired))
    return results
