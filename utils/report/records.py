"""The records of a study: one line of JSON for each finished run."""

import json
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..training import Recipe

__all__ = ["accuracies", "add_record", "describe", "read_records"]

# What tables and pictures read. `experiments.py` writes more.
FIELDS = (
    "variant seed recipe dataset test_accuracy val_accuracy parameters multiply_adds "
    "receptive_field seconds command flags calls history"
).split()


def add_record(path: Path, record: dict) -> None:
    """Append one line. A line that an interruption cut short stays as it is, on its own line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cut = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" * cut + json.dumps(record) + "\n")


def read_records(
    path: Path, recipes: dict[str, Recipe], networks: dict[str, dict]
) -> tuple[list[dict], list[str]]:
    """Read the runs of these variants; each other line gives a sentence on why it is left out.

    `recipes` holds the recipe of each variant, `networks` more fields that its records must have,
    such as {"s7": {"flags": {}, "parameters": 196938}}. A missing file has no runs. A run that is
    recorded twice counts once: its first line.
    """
    records, left_out = {}, []
    lines = path.read_bytes().splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line.decode())
            complaint = _complaint(record, recipes, networks)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            complaint = f"half-written or foreign ({type(error).__name__}: {error})"
        if not complaint:
            first, _ = records.setdefault((record["variant"], record["seed"]), (number, record))
            if first == number:
                continue
            complaint = f"{record['variant']}, seed {record['seed']} is in line {first} too"
        left_out.append(f"{path.name}, line {number}: {complaint}")
    return [record for _, record in records.values()], left_out


def _complaint(record: dict, recipes: dict, networks: dict) -> str:
    """Why this record does not count, or "" if it does. Raises KeyError for a missing field."""
    for name in FIELDS:
        record[name]
    variant, seed, accuracy = record["variant"], record["seed"], record["test_accuracy"]
    if variant not in list(recipes):  # a list: whatever the line holds may be unhashable
        return f"unknown variant {variant!r}"
    if record["dataset"] != "CIFAR-10":
        return f"made with {record['dataset']}, not CIFAR-10"
    if other := _difference(record["recipe"], asdict(recipes[variant])):
        return f"another recipe: {other}"
    if other := _difference(record, networks[variant]):
        return f"another network: {other}"
    if type(seed) is not int:
        return f"a seed of {seed!r}"
    if type(accuracy) is not float or not 0 <= accuracy <= 1:
        return f"a test accuracy of {accuracy!r}"
    done, planned = len(record["history"]), recipes[variant].epochs
    if done != planned:
        return f"a history of {done} epochs, not {planned}"
    return ""


def _difference(theirs: dict, ours: dict) -> str:
    """The fields of `ours` that `theirs` holds another value for, in words."""
    ours = json.loads(json.dumps(ours))  # tuples as the lists of a file
    return ", ".join(
        f"{name} {theirs.get(name)}, not {value}"
        for name, value in ours.items()
        if theirs.get(name) != value
    )


def accuracies(records: list[dict], variant: str) -> dict[int, float]:
    """Test accuracy in percent by seed, seeds in order. Empty for a variant without runs."""
    runs = [record for record in records if record["variant"] == variant]
    return dict(sorted((run["seed"], 100 * run["test_accuracy"]) for run in runs))


def describe(values: Collection[float]) -> str:
    """Mean ± sample standard deviation; one value is given alone."""
    values = list(values)
    spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{spread}"
