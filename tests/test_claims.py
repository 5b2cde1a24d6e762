"""Intervals of differences, the verdicts that follow, and the plan."""

from math import isnan

import pytest
from scipy import stats
from study_records import record

from experiments import FOLDER, STUDIES
from utils.report import judge, read_plan
from utils.report.claims import Claim


def judged(kind: str, margin: float, *gaps: float):
    """What runs of `dense` so many points above `slim` say about a claim."""
    runs = [record("analysis", "slim", seed, 0.8) for seed in range(len(gaps))]
    runs += [record("analysis", "dense", seed, 0.8 + gap / 100) for seed, gap in enumerate(gaps)]
    # A seed that only one of the two has is no difference.
    runs += [record("analysis", "dense", 98, 0.9), record("analysis", "slim", 99, 0.9)]
    (result,) = judge([Claim("it is so", kind, "dense", "slim", margin)], runs)
    assert result.differences == pytest.approx(list(gaps))
    return result


def test_the_interval_is_students():
    # mean 2, standard error 1/√3, Student's quantile for two degrees of freedom 5.3401
    assert stats.t(2).cdf(5.3401) == pytest.approx(1 - 0.05 / 3, abs=1e-5)
    half = 5.3401 / 3**0.5
    assert judged("greater", 0, 1, 2, 3).interval == pytest.approx((2 - half, 2 + half), abs=1e-3)
    assert judged("greater", 0, 0.5, 0.5).interval == pytest.approx((0.5, 0.5))
    assert all(map(isnan, judged("greater", 0, 1).interval))


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
        ("greater", 0, (1.5,), "not decided"),
        ("greater", 0, (), "not decided"),
    ],
)
def test_verdicts(kind, margin, gaps, verdict):
    assert judged(kind, margin, *gaps).verdict == verdict


def test_the_plan_speaks_of_variants_of_the_study():
    plan = read_plan(FOLDER / "plan.json")
    assert all({claim.variant, claim.minus} <= set(STUDIES["analysis"]) for claim in plan)
    assert [claim.kind for claim in plan] == ["equivalence", *["greater"] * 5]
    assert [claim.margin for claim in plan] == [0.5, 0, 1, 0, 0, 0]
