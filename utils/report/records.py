"""The records of a study: one line of JSON for each finished run."""

import json
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..training import Recipe

__all__ = ["accuracies", "add_record", "describe", "device_name", "read_records"]


def add_record(path: Path, record: dict) -> None:
    """Append one line. A line that an interruption cut short stays as it is, on its own line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cut = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" * cut + json.dumps(record) + "\n")


def read_records(path: Path, wanted: dict[str, dict]) -> tuple[list[dict], list[str]]:
    """Read the runs of these variants; each other line gives a sentence on why it is left out.

    `wanted` holds what each variant's records must say: settings of their recipe, and fields of
    their own such as {"flags": {}, "parameters": 196938}. A missing file has no runs. A run that is
    recorded twice counts once: its first line.
    """
    wanted = json.loads(json.dumps(wanted))  # tuples as the lists of a file
    records, left_out = {}, []
    lines = path.read_bytes().splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            # A setting that is younger than the record had its default value.
            name, found = record["variant"], record | asdict(Recipe(**record["recipe"]))
            run = name, record["seed"]
            ours = wanted.get(name, {"variant": f"one of: {', '.join(wanted)}"})
            wrong = [f"{k} {found.get(k)}, not {v}" for k, v in ours.items() if found.get(k) != v]
            if run in records:
                wrong.append(f"{name}, seed {run[1]} once more")
            whole = len(record["history"]) == found.get("epochs")
            if not (whole and 0 <= record["test_accuracy"] <= 1):
                wrong.append("no finished run")
        except (ValueError, TypeError, KeyError) as error:
            wrong = [f"half-written or foreign ({type(error).__name__}: {error})"]
        if wrong:
            left_out.append(f"{path.name}, line {number}: {', '.join(wrong)}")
        else:
            records[run] = record
    return list(records.values()), left_out


def accuracies(records: list[dict], variant: str) -> dict[int, float]:
    """Test accuracy in percent by seed, seeds in order. Empty for a variant without runs."""
    runs = [record for record in records if record["variant"] == variant]
    return dict(sorted((run["seed"], 100 * run["test_accuracy"]) for run in runs))


def device_name(call: dict) -> str:
    """The device of one of a run's calls, without its threads."""
    return call["machine"]["device"].split(",")[0]


def describe(values: Collection[float]) -> str:
    """Mean ± sample standard deviation; one value is given alone."""
    values = list(values)
    spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{spread}"
