"""The records of an experiment, one line of JSON for each finished run, and what they say about a claim."""
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from ..training import Recipe

__all__ = ["Difference", "add_record", "difference", "read_records", "summarize", "verdict"]


def add_record(path: Path, record: dict) -> None:
    """Append one line. A line that an interruption cut short stays as it is, on a line of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cut = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size
    with path.open("a") as file:
        file.write("\n" * bool(cut) + json.dumps(record) + "\n")


def read_records(path: Path, recipes: dict[str, Recipe], dataset="CIFAR-10") -> tuple[list[dict], list[str]]:
    """(the records of these variants made with these recipes and this data set, one sentence for each line left out)."""
    records, left_out, seen = [], [], {}
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            complaint = _complaint(record, recipes, dataset)
            key = record["variant"], record["seed"]
        except (ValueError, TypeError, KeyError) as error:
            complaint = f"half-written or foreign ({type(error).__name__}: {error})"
        if not complaint and key in seen:
            complaint = f"{key[0]}, seed {key[1]} again, after line {seen[key]}"
        if complaint:
            left_out.append(f"{path.name}, line {number}: {complaint}")
        else:
            seen[key] = number
            records.append(record)
    return records, left_out


def _complaint(record: dict, recipes: dict[str, Recipe], dataset: str) -> str:
    if record["variant"] not in list(recipes):  # whatever the line holds, hashable or not
        return f"unknown variant {record['variant']!r}"
    recipe = asdict(recipes[record["variant"]])
    if record["dataset"] != dataset:
        return f"made with {record['dataset']}, not {dataset}"
    theirs = record["recipe"]
    if other := [name for name in recipe if theirs.get(name) != recipe[name]]:
        return "another recipe: " + ", ".join(f"{name} {theirs.get(name)}, not {recipe[name]}" for name in other)
    if type(record["seed"]) is not int:
        return f"a seed of {record['seed']!r}"
    if type(record["test_accuracy"]) is not float or not 0 <= record["test_accuracy"] <= 1:
        return f"a test accuracy of {record['test_accuracy']!r}"
    return ""


def _accuracies(records: list[dict], variant: str) -> dict[int, float]:
    """Test accuracy in percent by seed."""
    return {record["seed"]: 100 * record["test_accuracy"] for record in records if record["variant"] == variant}


def summarize(records: list[dict], variant: str) -> tuple[float, float | None, int]:
    """(mean, sample standard deviation or None, number of seeds) of a variant's test accuracy, in percent.

    Raises ValueError for a variant without records.
    """
    values = list(_accuracies(records, variant).values())
    if not values:
        raise ValueError(f"no run of {variant!r} is recorded; run: python experiments.py")
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None, len(values)


@dataclass(frozen=True)
class Difference:
    """A mean difference of test accuracies in points, and the ends of its 95% interval."""
    mean: float
    low: float
    high: float
    seeds: int

    def __str__(self) -> str:
        return f"{self.mean:+.2f} points, 95% interval {self.low:+.2f} to {self.high:+.2f} ({self.seeds} seeds)".replace("-", "−")


def difference(records: list[dict], variant: str, baseline: str) -> Difference:
    """`variant` minus `baseline`, paired by seed, with Student's 95% interval.

    Raises ValueError where fewer than two seeds have both: there is no interval then.
    """
    ours, theirs = _accuracies(records, variant), _accuracies(records, baseline)
    seeds = sorted(ours.keys() & theirs.keys())
    if len(seeds) < 2:
        raise ValueError(f"{variant!r} and {baseline!r} share {len(seeds)} seed(s), an interval needs two; run: "
                         "python experiments.py")
    gaps = [ours[seed] - theirs[seed] for seed in seeds]
    interval = stats.ttest_1samp(gaps, 0).confidence_interval(0.95)
    return Difference(float(np.mean(gaps)), float(interval.low), float(interval.high), len(seeds))


def verdict(measured: Difference, more_than: float) -> str:
    """Whether a difference of more than so many points is what the runs show: the whole interval has to be on one side."""
    if measured.low > more_than:
        return "holds"
    if measured.high < more_than:
        return "does not hold"
    return "not decided by these runs"
