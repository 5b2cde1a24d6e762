"""Claims that were written down before the runs, and what the runs say about them."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .records import accuracies
from .statistics import MOST_SEEDS, holm_levels, seeds_needed, smallest_p, student_interval

__all__ = [
    "Claim",
    "Plan",
    "Result",
    "check_plan",
    "judge",
    "judge_plan",
    "paired",
    "read_plan",
    "signed",
]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence about `variant` minus `minus`, with a margin in points of test accuracy.

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
        kinds = {"greater": (self.margin, np.inf), "equivalence": (-self.margin, self.margin)}
        return kinds[self.kind]

    @property
    def difference(self) -> str:
        return f"{self.variant} − {self.minus}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was fixed before the runs; claims and controls are corrected as two families."""

    pilot_seeds: list[int]
    half_width: float  # points: how narrow the claims' intervals should be
    least_seeds: int
    confidence: float
    claims: list[Claim]
    controls: list[Claim]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What the runs say about a claim."""

    claim: Claim
    differences: list[float]  # points, one for each seed
    confidence: float  # of their interval, after Holm's correction

    @property
    def interval(self) -> tuple[float, float]:
        return student_interval(self.differences, self.confidence)

    @property
    def verdict(self) -> str:
        """ "holds", "does not hold", or "not decided" and what would decide it."""
        values, (least, most) = self.differences, self.claim.limits
        if len(values) < 2:
            return f"not decided: {'one seed has no interval' if values else 'no runs yet'}"
        low, high = self.interval
        if least < low and high < most:
            return "holds"
        if high < least or low > most:
            return "does not hold"
        distance = min(abs(np.mean(values) - limit) for limit in (least, most))
        count = seeds_needed(values, distance, self.confidence, least=len(values) + 1)
        seeds = f"about {count}" if count else f"more than {MOST_SEEDS:,}"
        return f"not decided: {seeds} seeds would decide it"

    @property
    def why(self) -> str:
        """What was measured, in one line."""
        name, values, margin = self.claim.difference, self.differences, self.claim.margin
        if len(values) < 2:
            return f"{name}: " + (f"{signed(values[0])} points" if values else "no seed has both")
        low, high = map(signed, self.interval)
        place = f"within ±{margin:g}" if self.claim.kind == "equivalence" else f"above {margin:g}"
        return (
            f"{name}: {signed(np.mean(values))} points, {self.confidence:.1%} interval {low} to "
            f"{high}, {len(values)} seeds; true if {place}"
        )


def signed(points: float) -> str:
    """With two decimals, its sign and a true minus."""
    return f"{points:+.2f}".replace("-", "−")


def read_plan(path: Path) -> Plan:
    """The plan that was written before the runs."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields |= {name: [Claim(**claim) for claim in fields[name]] for name in ("claims", "controls")}
    return Plan(**{name: fields[name] for name in Plan.__annotations__})


def paired(records: list[dict], claim: Claim) -> dict[int, float]:
    """`variant` minus `minus` in points, for each seed that both have."""
    ours, theirs = accuracies(records, claim.variant), accuracies(records, claim.minus)
    return {seed: ours[seed] - theirs[seed] for seed in ours if seed in theirs}


def judge(claims: list[Claim], records: list[dict], confidence: float = 0.95) -> list[Result]:
    """A verdict on each claim of a family, with Holm's correction over all of it.

    A claim holds if its whole interval of confidence 1 − 2·level lies where the claim is true, and
    does not hold if all of it lies where the claim is false: one-sided tests at Holm's level. A
    claim without runs counts in the family.
    """
    found = [(claim, list(paired(records, claim).values())) for claim in claims]
    p_values = [smallest_p(differences, *claim.limits) for claim, differences in found]
    levels = holm_levels(p_values, 1 - confidence)
    return [
        Result(claim=claim, differences=differences, confidence=1 - 2 * level)
        for (claim, differences), level in zip(found, levels, strict=True)
    ]


def judge_plan(plan: Plan, records: list[dict]) -> list[Result]:
    """A verdict on each claim and each control of the plan, in its order."""
    families = plan.claims, plan.controls
    return [one for family in families for one in judge(family, records, plan.confidence)]


def check_plan(plan: Plan, records: list[dict]) -> tuple[bool, str]:
    """Whether the runs are those that the plan asks for, and a sentence that says so.

    The pilot's seeds come first. The spread of their differences in the claims says how many seeds
    are needed, and each claim needs as many. A control needs the pilot's.
    """
    found = {claim: paired(records, claim) for claim in plan.claims + plan.controls}
    for claim, differences in found.items():
        if missing := [seed for seed in plan.pilot_seeds if seed not in differences]:
            return False, f"{claim.difference} lacks the pilot's seeds {missing}"
    pilots = [[found[claim][seed] for seed in plan.pilot_seeds] for claim in plan.claims]
    asked = [seeds_needed(values, plan.half_width, plan.confidence) for values in pilots]
    if None in asked:
        return False, f"the pilot asks for more than {MOST_SEEDS:,} seeds: the plan cannot be kept"
    needed = max(*asked, plan.least_seeds)
    seeds = min(len(found[claim]) for claim in plan.claims)
    first, least = len(plan.pilot_seeds), plan.least_seeds
    reason = f"the spread of the first {first} asks for {max(asked)}, the plan for at least {least}"
    if seeds < needed:
        return False, f"{seeds} seeds, and {needed} are needed ({reason})"
    return True, f"the plan's number of seeds was kept: {seeds} ({reason})"
