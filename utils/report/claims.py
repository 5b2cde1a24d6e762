"""Claims that were written down before the runs, and what the runs say about them."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .records import accuracies
from .statistics import (
    MOST_SEEDS,
    bootstrap_interval,
    holm_levels,
    seeds_needed,
    smallest_p,
    student_interval,
)

__all__ = ["Claim", "Plan", "Result", "check_plan", "judge", "paired", "read_plan"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence about `variant` minus `minus`, with a margin in points of test accuracy.

    Kind "greater": the difference is above the margin. Kind "equivalence": it is within ± margin.
    Raises ValueError for another kind.
    """

    sentence: str
    kind: str
    variant: str
    minus: str
    margin: float

    def __post_init__(self) -> None:
        if self.kind not in ("equivalence", "greater"):
            raise ValueError(f"a claim's kind is equivalence or greater, not {self.kind!r}")

    @property
    def limits(self) -> tuple[float, float]:
        """The claim is true of differences between these two."""
        if self.kind == "equivalence":
            return -self.margin, self.margin
        return self.margin, np.inf

    @property
    def difference(self) -> str:
        return f"{self.variant} − {self.minus}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was fixed before the runs; claims and controls are corrected as two families."""

    study: str
    pilot_seeds: list[int]
    half_width: float  # points: how narrow the claims' intervals should be
    least_seeds: int
    confidence: float
    claims: list[Claim]
    controls: list[Claim]


@dataclass(frozen=True, kw_only=True)
class Result:
    """A claim with its differences in points by seed, their interval, and the verdict.

    `confidence` is the interval's, after Holm's correction. `interval` is (nan, nan) for fewer than
    two seeds, `bootstrap` for fewer than eight.
    """

    claim: Claim
    differences: dict[int, float]
    confidence: float
    interval: tuple[float, float]
    bootstrap: tuple[float, float]

    @property
    def verdict(self) -> str:
        """ "holds", "does not hold", or "not decided" and what would decide it."""
        verdict = _verdict(self.claim, self.interval)
        return f"{verdict}: {self._remedy()}" if verdict == "not decided" else verdict

    def _remedy(self) -> str:
        values = list(self.differences.values())
        if len(values) < 2:
            return "one seed has no interval" if values else "no runs yet"
        distance = min(abs(np.mean(values) - limit) for limit in self.claim.limits)
        count = seeds_needed(values, distance, self.confidence, least=len(values) + 1)
        return f"{count or f'more than {MOST_SEEDS:,}'} seeds would decide it"

    @property
    def why(self) -> str:
        """What was measured, in one line."""
        values, name, margin = (
            list(self.differences.values()),
            self.claim.difference,
            self.claim.margin,
        )
        if len(values) < 2:
            return f"{name}: " + (f"{signed(values[0])} points" if values else "no seed has both")
        place = f"within ±{margin:g}" if self.claim.kind == "equivalence" else f"above {margin:g}"
        check = _verdict(self.claim, self.bootstrap)
        agrees = "agrees" if self.verdict.startswith(check) else f"says “{check}”"
        low, high = map(signed, self.interval)
        return (
            f"{name}: {signed(np.mean(values))} points, {self.confidence:.1%} interval {low} to "
            f"{high}, {len(values)} seeds; true if {place}"
            + ("" if np.isnan(self.bootstrap[0]) else f"; the bootstrap {agrees}")
        )


def signed(points: float) -> str:
    """With two decimals, its sign and a true minus."""
    return f"{points:+.2f}".replace("-", "−")


def _verdict(claim: Claim, interval: tuple[float, float]) -> str:
    (low, high), (least, most) = interval, claim.limits
    if least < low and high < most:
        return "holds"
    return "does not hold" if high < least or low > most else "not decided"


def read_plan(path: Path) -> Plan:
    """Read a plan. Raises ValueError for a claim of an unknown kind."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields |= {name: [Claim(**claim) for claim in fields[name]] for name in ("claims", "controls")}
    return Plan(**{name: fields[name] for name in Plan.__annotations__})


def paired(records: list[dict], variant: str, minus: str) -> dict[int, float]:
    """`variant` minus `minus` in points, for each seed that both have."""
    ours, theirs = accuracies(records, variant), accuracies(records, minus)
    return {seed: ours[seed] - theirs[seed] for seed in ours if seed in theirs}


def judge(claims: list[Claim], records: list[dict], confidence: float = 0.95) -> list[Result]:
    """A verdict on each claim of a family, with Holm's correction over all of it.

    A claim holds if its whole interval of confidence 1 − 2·level lies where the claim is true, and
    does not hold if all of it lies where the claim is false: one-sided tests at Holm's level. A
    claim without runs counts in the family.
    """
    found = [paired(records, claim.variant, claim.minus) for claim in claims]
    rows = [list(gaps.values()) for gaps in found]
    p_values = [smallest_p(row, *claim.limits) for claim, row in zip(claims, rows, strict=True)]
    return [
        Result(
            claim=claim,
            differences=gaps,
            confidence=1 - 2 * level,
            interval=student_interval(row, 1 - 2 * level),
            bootstrap=bootstrap_interval(row, 1 - 2 * level),
        )
        for claim, gaps, row, level in zip(
            claims, found, rows, holm_levels(p_values, 1 - confidence), strict=True
        )
    ]


def check_plan(plan: Plan, records: list[dict]) -> tuple[bool, str]:
    """Whether the runs are those that the plan asks for, and a sentence that says so.

    The pilot's seeds come first. The spread of their differences in the claims says how many seeds
    are needed, and each claim needs as many. A control needs the pilot's.
    """
    found = [(claim, paired(records, claim.variant, claim.minus)) for claim in plan.claims]
    both = found + [(claim, paired(records, claim.variant, claim.minus)) for claim in plan.controls]
    command, pilot = f"python experiments.py {plan.study} --seeds", plan.pilot_seeds
    if not any(gaps for _, gaps in both):
        missing = "no claim has runs of both its variants" if records else "no runs"
        return False, f"{missing} yet: {command} {_words(pilot)}"
    for claim, gaps in both:
        if missing := [seed for seed in pilot if seed not in gaps]:
            return (
                False,
                f"{claim.difference} lacks a seed of the pilot: {command} {_words(missing)}",
            )
    pilots = [[gaps[seed] for seed in pilot] for _, gaps in found]
    asked = [seeds_needed(values, plan.half_width, plan.confidence) for values in pilots]
    if None in asked:
        return False, f"the pilot asks for more than {MOST_SEEDS:,} seeds: the plan cannot be kept"
    needed = max(*asked, plan.least_seeds)
    reason = f"the pilot asks for {max(asked)}, the plan for at least {plan.least_seeds}"
    claim, gaps = min(found, key=lambda pair: len(pair[1]))
    if len(gaps) < needed:
        return False, (
            f"{claim.difference} has {len(gaps)} seeds and needs {needed} ({reason}): "
            f"{command} {_words(range(needed))}"
        )
    return True, f"the plan was kept: {len(gaps)} seeds ({reason})"


def _words(numbers) -> str:
    return " ".join(map(str, numbers))
