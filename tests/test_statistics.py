"""Intervals, Holm's levels and numbers of seeds; the verdicts that follow, and the plan."""

import json
from math import isnan

import numpy as np
import pytest
from study_records import analysis, record

from experiments import FOLDER, STUDIES
from utils.report.claims import Claim, check_plan, judge, paired, read_plan
from utils.report.statistics import (
    holm_levels,
    seeds_needed,
    smallest_p,
    student_interval,
)

INF = float("inf")
TWELVE = list(np.random.default_rng(1).normal(0.3, 0.5, 12))


def claim(kind: str = "greater", margin: float = 0.0, variant: str = "dense") -> Claim:
    return Claim(sentence="it is so", kind=kind, variant=variant, minus="slim", margin=margin)


def runs(*gaps: float, variant: str = "dense") -> list[dict]:
    """Runs of slim at 80 % and of a variant so many points above it."""
    pairs = [
        (record("analysis", "slim", seed, 0.8), record("analysis", variant, seed, 0.8 + gap / 100))
        for seed, gap in enumerate(gaps)
    ]
    return [run for pair in pairs for run in pair]


def test_students_interval():
    # mean 2, standard error 1/√3, Student's quantile for two degrees of freedom 4.3027
    low, high = student_interval([1, 2, 3], 0.95)
    assert (low, high) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-3)
    assert student_interval([0.5, 0.5], 0.95) == (0.5, 0.5)
    assert all(map(isnan, student_interval([1], 0.95)))


def test_holms_levels():
    # the smallest at 0.05/3, the next at 0.05/2, the last at 0.05
    assert holm_levels([0.02, 0.001, 0.03]) == pytest.approx([0.025, 0.05 / 3, 0.05])
    # 0.03 fails at 0.025, so the last one is not tested at 0.05, which it would pass
    assert holm_levels([0.03, 0.001, 0.04]) == pytest.approx([0.025, 0.05 / 3, 0.025])
    assert holm_levels([0.02, 1, 1]) == pytest.approx([0.05 / 3] * 3)
    assert holm_levels([]) == []


def test_the_p_value_is_that_of_the_interval():
    p = smallest_p(TWELVE, 0, INF)
    low, _ = student_interval(TWELVE, 1 - 2 * p)
    assert 0 < p < 0.5 and low == pytest.approx(0, abs=1e-9)
    # two one-sided tests: the worse of them counts, here the one against +0.6
    within = smallest_p(TWELVE, -0.6, 0.6)
    _, high = student_interval(TWELVE, 1 - 2 * within)
    assert high == pytest.approx(0.6, abs=1e-9)
    assert smallest_p([1.0], 0, INF) == 1 and smallest_p([0, 0], 0, INF) == 1


@pytest.mark.parametrize("spread, half_width", [(0.2, 0.4), (0.5, 0.4), (0.9, 0.4), (1.2, 0.2)])
def test_seeds_needed_is_the_smallest_number(spread, half_width):
    pilot = [-spread, 0, spread]  # whose standard deviation is the spread
    count = seeds_needed(pilot, half_width)

    def half(seeds: int) -> float:
        values = np.random.default_rng(0).normal(size=seeds)
        values = spread * (values - values.mean()) / values.std(ddof=1)
        return student_interval(values, 0.95)[1]

    assert half(count) <= half_width < half(count - 1)


def test_seeds_needed_has_limits():
    assert seeds_needed([1, 1, 1], 0.1) == 2
    assert seeds_needed([-50, 50], 0.1) is None


def test_differences_are_paired_by_seed():
    lonely = [record("analysis", "dense", 7, 0.9), record("analysis", "slim", 8, 0.9)]
    assert paired(runs(1, 2, 3) + lonely, claim()) == pytest.approx({0: 1, 1: 2, 2: 3})


@pytest.mark.parametrize(
    "kind, margin, gaps, verdict",
    [
        ("greater", 0, (1, 1.1, 0.9), "holds"),
        ("greater", 0, (-1, -1.1, -0.9), "does not hold"),
        ("greater", 1, (0.2, 0.3, 0.1), "does not hold"),
        ("greater", 1, (0.2, 1.3, 0.9), "not decided"),
        ("equivalence", 0.5, (0.1, 0, -0.1), "holds"),
        ("equivalence", 0.5, (2, 2.1, 1.9), "does not hold"),
        ("equivalence", 0.5, (-2, -2.1, -1.9), "does not hold"),
        ("equivalence", 0.5, (1, -1, 0), "not decided"),
    ],
)
def test_verdicts(kind, margin, gaps, verdict):
    (result,) = judge([claim(kind, margin)], runs(*gaps))
    assert result.verdict.split(":")[0] == verdict
    assert result.confidence == pytest.approx(0.9)  # a family of one: 1 − 2·0.05


def test_a_verdict_says_how_many_seeds_would_decide_it():
    gaps = (0.6, -0.2, 0.3, -0.1)
    (result,) = judge([claim()], runs(*gaps))
    count = int(result.verdict.removeprefix("not decided: about ").split()[0])
    assert result.verdict == f"not decided: about {count} seeds would decide it"
    # with the same mean and spread, so many decide it and one fewer does not
    assert count == seeds_needed(gaps, np.mean(gaps), 0.9)
    (far,) = judge([claim()], runs(1, -1))
    assert far.verdict == "not decided: more than 1,000 seeds would decide it"


def test_holm_makes_a_family_stricter():
    gaps = (0.4, 1.2, 0.9)  # decided alone, not among three
    alone, family = judge([claim()], runs(*gaps)), judge([claim()] * 3, runs(*gaps))
    assert alone[0].verdict == "holds" and family[0].verdict.startswith("not decided")
    assert family[0].confidence == pytest.approx(1 - 2 * 0.05 / 3)
    unseen = [claim(), claim(variant="no dilation"), claim(variant="dilation alone")]
    assert judge(unseen, runs(*gaps))[0].interval == family[0].interval  # counted without runs


def test_few_seeds_are_said_in_words():
    (none,), (one,) = judge([claim()], []), judge([claim()], runs(1.5))
    assert none.verdict == "not decided: no runs yet"
    assert one.verdict == "not decided: one seed has no interval"
    assert one.why == "dense − slim: +1.50 points"


def test_why_gives_the_figures():
    (few,) = judge([claim()], runs(1, 2, 3))
    low, high = student_interval([1, 2, 3], 0.9)
    interval = f"90.0% interval +{low:.2f} to +{high:.2f}"
    assert few.why == f"dense − slim: +2.00 points, {interval}, 3 seeds; true if above 0"
    (many,) = judge([claim("equivalence", 5)], runs(*TWELVE))
    assert many.why.endswith("12 seeds; true if within ±5")


# --- the plan ---------------------------------------------------------------------------------


@pytest.fixture
def plan():
    return read_plan(FOLDER / "plan.json")


def test_the_plan_speaks_of_variants_of_the_study(plan):
    study = STUDIES["analysis"]
    for one in plan.claims + plan.controls:
        assert one.variant in study and one.minus in study
    kinds = [one.kind for one in plan.claims]
    assert kinds == ["equivalence", "greater", "greater"] and len(plan.controls) == 3
    text = json.loads((FOLDER / "plan.json").read_text(encoding="utf-8"))
    assert plan.half_width == text["half_width"] and plan.claims[0].margin == 0.5


def test_a_plan_without_its_pilot(plan):
    kept, words = check_plan(plan, [run for run in analysis(12) if run["seed"] != 1])
    assert not kept and words == "slim − no dilation lacks the pilot's seeds [1]"
    kept, words = check_plan(plan, [record("analysis", "slim", 0)])
    assert not kept and words.endswith("lacks the pilot's seeds [0, 1, 2]")


def test_a_plan_with_too_few_seeds(plan):
    kept, words = check_plan(plan, analysis(9))
    assert not kept and words.startswith("9 seeds, and 10 are needed")
    dense = [run for run in analysis(12) if run["variant"] != "dense" or run["seed"] < 11]
    assert check_plan(plan, dense)[0]
    for seeds, enough in ((3, True), (2, False)):  # a control needs the pilot's
        fewer = [run for run in dense if run["variant"] != "dilation alone" or run["seed"] < seeds]
        assert check_plan(plan, fewer)[0] is enough


def test_a_pilot_that_varies_asks_for_more(plan):
    runs = analysis(12)
    for run in runs:
        if run["variant"] == "dense" and run["seed"] < 3:
            run["test_accuracy"] += (run["seed"] - 1) / 50
    pilot = list(paired(runs, plan.claims[1]).values())[:3]
    kept, words = check_plan(plan, runs)
    assert not kept and f"and {seeds_needed(pilot, 0.4)} are needed" in words
