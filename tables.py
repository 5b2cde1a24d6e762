#!/usr/bin/env python3
"""Write the tables of the pages from records, cards and networks; --check only compares them.

A table stands between the lines ``<!-- table NAME -->`` and ``<!-- end NAME -->``.
"""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from experiments import FOLDER, read_study
from models import create_model
from train import run_script
from utils.data import make_augmentation
from utils.grading import spec_sheet
from utils.report import (
    CONFIDENCE,
    judge,
    markdown_table,
    read_plan,
    signed,
    stages_table,
    study_table,
)
from utils.training import Recipe

__all__ = ["TABLES", "fill", "main", "rules", "study_table", "verdicts"]

ROOT = Path(__file__).parent
PAGES = (ROOT / "README.md", ROOT / "Assignments" / "S7" / "README.md")
MARKS = {True: "pass", False: "FAIL", None: "–"}


def verdicts(records: list[dict], claims: int = 6) -> str:
    """What the runs say about the plan's first claims: three sentences, then three controls.

    Intervals are corrected for three claims, also where fewer are shown.
    """
    rows = []
    for result in judge(read_plan(FOLDER / "plan.json")[:claims], records):
        claim, values = result.claim, result.differences
        mean = signed(np.mean(values)) if values else ""
        interval = " to ".join(map(signed, result.interval)) if len(values) > 1 else ""
        measured = mean, interval, str(len(values)), claim.condition, result.verdict
        rows.append((claim.sentence, claim.difference, *measured))
    interval = f"{CONFIDENCE:.1%} interval"
    head = ("sentence", "difference", "points:", interval, "seeds:", "true if", "verdict")
    return markdown_table(head, rows)


def rules() -> str:
    """The nine rules for s7's shipped weights and their card."""
    network = create_model("s7", pretrained=True)
    augmentation = make_augmentation(**Recipe(**network.card["recipe"]).augmentation)
    rows = []
    for rule in spec_sheet(network, augmentation, accuracy=network.card["test_accuracy"]):
        name, verdict = f"{rule.number} {rule.name}", MARKS[rule.passed]
        rows.append((name, rule.required, rule.measured or "in the notebook", verdict))
    return markdown_table(("rule", "required", "measured", "verdict"), rows)


def published() -> str:
    """What others published, by accuracy, each name with a link to its source."""
    points = json.loads((FOLDER / "published.json").read_text(encoding="utf-8"))
    rows = []
    for point in sorted(points, key=lambda point: point["test_accuracy"]):
        sizes = f"{point['parameters']:,}", f"{point['test_accuracy']:.2f}"
        solves = "yes" if point["assignment"] else "no"
        rows.append((f"[{point['name']}]({point['source']})", *sizes, solves, point["note"]))
    head = ("published by others", "parameters:", "test accuracy (%):", "this assignment", "how")
    return markdown_table(head, rows)


def speed() -> str:
    """The seconds of an epoch as bench.py measured them: two columns for each of its records."""
    lines = (FOLDER / "speed.jsonl").read_text(encoding="utf-8").splitlines()
    head, runs = ["one epoch of 50,000 images"], [json.loads(line) for line in lines]
    for run in runs:
        head += [f"{run['network']}, {run['machine']['device']}: seconds:", "times as fast:"]
    rows = []
    for name in runs[0]["seconds"]:
        rows.append([name])
        for seconds in (run["seconds"] for run in runs):
            usual, own = seconds["the usual way"], seconds[name]
            rows[-1] += [f"{own:.1f}", f"{usual / own:.1f}"]
    return markdown_table(head, rows)


TABLES: dict[str, Callable[[], str]] = {
    "results": lambda: study_table("results", read_study("results")),
    # Two trials have a second seed; means over two beside single runs would mislead.
    "trials": lambda: study_table(
        "trials", [run for run in read_study("trials") if run["seed"] == 0]
    ),
    "settings": lambda: study_table("settings", read_study("settings")),
    "distillation": lambda: study_table("distillation", read_study("distillation")),
    "verdicts": lambda: verdicts(read_study("analysis")),
    "published": published,
    "rules": rules,
    "speed": speed,
    "stages": lambda: stages_table(create_model("s7")),
}


def fill(page: str, tables: dict[str, Callable[[], str]]) -> tuple[str, list[str]]:
    """The page with its tables made anew, and the names of those that were out of date.

    Raises ValueError for a name without a table and for a marker without its partner.
    """
    # The text between two markers holds no third one.
    places = re.compile(r"(<!-- table (\w+) -->)((?:(?!<!-- ).)*)(<!-- end \2 -->)", re.DOTALL)
    stale = []

    def make_anew(place: re.Match) -> str:
        start, name, old, end = place.groups()
        if name not in tables:
            raise ValueError(f"there is no table {name!r}; choose one of: {', '.join(tables)}")
        table = f"\n\n{tables[name]()}\n\n"
        if old != table:
            stale.append(name)
        return start + table + end

    if lonely := re.search("<!-- (table|end) .*? -->", places.sub("", page)):
        raise ValueError(f"the marker {lonely[0]} has no partner")
    return places.sub(make_anew, page), stale


def main(arguments: list[str] | None = None) -> None:
    """Write or check all pages. Raises ValueError for a wrong marker, and for stale tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if out of date")
    check, wrong = parser.parse_args(arguments).check, []
    for path in PAGES:
        name = path.relative_to(ROOT)
        page, stale = fill(path.read_text(encoding="utf-8"), TABLES)
        if stale and not check:
            path.write_text(page, encoding="utf-8", newline="\n")
        words = f"{name}: {', '.join(stale)} {'out of date' if check else 'written'}"
        print(words if stale else f"{name}: up to date")
        wrong += [words] if stale and check else []
    if wrong:
        raise ValueError(f"{'; '.join(wrong)}; run: python tables.py")


if __name__ == "__main__":
    run_script(main)
