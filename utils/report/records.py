"""The records of a study: one line of JSON for each finished run."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..training import Recipe

__all__ = ["accuracies", "add_record", "describe", "epochs_of", "read_records"]

# What tables and pictures read. `experiments.py` writes more.
FIELDS = ("variant", "seed", "recipe", "dataset", "test_accuracy", "parameters", "multiply_adds",
          "receptive_field", "seconds", "command", "flags", "calls", "history")  # fmt: skip


def add_record(path: Path, record: dict) -> None:
    """Append one line. A line that an interruption cut short stays as it is, on its own line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cut = path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" * bool(cut) + json.dumps(record) + "\n")


def read_records(
    path: Path,
    recipes: dict[str, Recipe],
    dataset: str = "CIFAR-10",
    networks: dict[str, dict] | None = None,
    stopped: bool = False,
) -> tuple[list[dict], list[str]]:
    """Read the runs of these variants; each other line gives a sentence on why it is left out.

    `recipes` holds the recipe of each variant. `networks` may hold more fields that a variant's
    records must have, such as {"s7": {"flags": {}, "parameters": 196938}}. With `stopped`, runs
    that ended before their last epoch count too. A missing file has no runs. A run that is
    recorded twice counts once, the first time.
    """
    records, left_out, seen = [], [], {}
    lines = path.read_bytes().splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line.decode())
            complaint = _complaint(record, recipes, dataset, networks or {})
            if not complaint and not stopped:
                complaint = _unfinished(record)
        except (ValueError, TypeError, KeyError) as error:
            complaint = f"half-written or foreign ({type(error).__name__}: {error})"
        if not complaint:
            key = record["variant"], record["seed"]
            if key in seen:
                complaint = f"{key[0]}, seed {key[1]} again, after line {seen[key]}"
            seen.setdefault(key, number)
        if complaint:
            left_out.append(f"{path.name}, line {number}: {complaint}")
        else:
            records.append(record)
    return records, left_out


def _complaint(record: dict, recipes: dict, dataset: str, networks: dict[str, dict]) -> str:
    """Why this record does not count, or "" if it does. Raises KeyError for a missing field."""
    for name in FIELDS:
        record[name]
    variant, theirs = record["variant"], record["recipe"]
    if variant not in list(recipes):  # a list: whatever the line holds may be unhashable
        return f"unknown variant {variant!r}"
    if record["dataset"] != dataset:
        return f"made with {record['dataset']}, not {dataset}"
    recipe = asdict(recipes[variant])
    if other := [name for name in recipe if theirs.get(name) != recipe[name]]:
        return "another recipe: " + _others(other, theirs, recipe)
    network = json.loads(json.dumps(networks.get(variant, {})))  # tuples as the lists of a file
    if other := [name for name in network if record.get(name) != network[name]]:
        return "another network: " + _others(other, record, network)
    if type(record["seed"]) is not int:
        return f"a seed of {record['seed']!r}"
    accuracy = record["test_accuracy"]
    if type(accuracy) is not float or not 0 <= accuracy <= 1:
        return f"a test accuracy of {accuracy!r}"
    if not 0 < len(record["history"]) <= recipe["epochs"]:
        return f"a history of {len(record['history'])} epochs, not {recipe['epochs']}"
    return ""


def _unfinished(record: dict) -> str:
    done, planned = len(record["history"]), record["recipe"]["epochs"]
    return f"a history of {done} epochs, not {planned}" if done < planned else ""


def _others(names: list[str], theirs: dict, ours: dict) -> str:
    return ", ".join(f"{name} {theirs.get(name)}, not {ours[name]}" for name in names)


def accuracies(records: list[dict], variant: str, key: str = "test_accuracy") -> dict[int, float]:
    """A variant's accuracy in percent by seed, seeds in order. Empty for a variant without runs."""
    runs = sorted((record for record in records if record["variant"] == variant), key=_seed)
    return {record["seed"]: 100 * record[key] for record in runs if record.get(key) is not None}


def _seed(record: dict) -> int:
    return record["seed"]


def describe(values: Iterable[float]) -> str:
    """Mean ± sample standard deviation; one value is given alone. Raises ValueError for none."""
    values = list(values)
    if not values:
        raise ValueError("there is no mean of no runs")
    spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{spread}"


def epochs_of(runs: list[dict]) -> str:
    """The epochs of a recipe's runs: 30, or 62–63 of 80 where they were stopped before the last."""
    planned, done = runs[0]["recipe"]["epochs"], sorted({len(run["history"]) for run in runs})
    if done == [planned]:
        return f"{planned}"
    return f"{'–'.join(map(str, done))} of {planned}"
