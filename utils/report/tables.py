"""The tables of the pages and notebooks, made from records, rules and stages."""

import re
from collections.abc import Iterable

import numpy as np

from ..grading import Rule
from .claims import Result, signed
from .records import accuracies, describe, epochs_of
from .summary import Stage
from .table import Link, Table

__all__ = [
    "published_table",
    "results_table",
    "rules_table",
    "stages_table",
    "trials_table",
    "variants_table",
    "verdicts_table",
]

MARKS = {True: "pass", False: "FAIL", None: "–"}


def _runs(records: list[dict], names: Iterable[str]) -> dict[str, list[dict]]:
    """The records of each variant that has some, in the order of `names`."""
    runs = {name: [record for record in records if record["variant"] == name] for name in names}
    return {name: found for name, found in runs.items() if found}


def _sizes(run: dict) -> tuple[str, str, str]:
    work = f"{run['multiply_adds'] / 1e6:.1f} M"
    return f"{run['parameters']:,}", work, f"{run['receptive_field']}"


def _machine(run: dict) -> str:
    """Device, precision, torch and runs at once: of all calls that had a part in the run."""
    machines = [call["machine"] for call in run["calls"]]
    words = dict.fromkeys(
        f"{machine['device']}, {machine['precision']}, torch {machine['torch'].split('+')[0]}"
        for machine in machines
    )
    jobs = re.search(r"--jobs[ =](\d+)", run["command"])  # they share the device: each is slower
    at_once = f", {jobs[1]} at once" if jobs and jobs[1] != "1" else ""
    return "; ".join(words) + at_once


def results_table(records: list[dict], names: Iterable[str]) -> Table:
    """What each recipe reaches, over its seeds, and what a run costs."""
    head = ("recipe", "parameters:", "epochs:", "seeds:", "test accuracy (%):", "seconds a run:")
    rows = []
    for name, runs in _runs(records, names).items():
        rows.append(
            (
                name,
                f"{runs[0]['parameters']:,}",
                epochs_of(runs),
                f"{len(runs)}",
                describe(accuracies(runs, name).values()),
                f"{np.mean([run['seconds'] for run in runs]):,.0f}",
                "; ".join(dict.fromkeys(map(_machine, runs))),
            )
        )
    note = "Test accuracy after the last epoch, mean ± standard deviation over the seeds."
    none = "No runs yet: python experiments.py results --seeds 0 1 2"
    return Table((*head, "device and version"), rows, note if rows else none)


def trials_table(records: list[dict], names: Iterable[str]) -> Table:
    """Trials by validation accuracy, the best first; points are the gain over the first name."""
    names = list(names)
    means = {
        name: np.mean(list(found.values()))
        for name in names
        if (found := accuracies(records, name, "val_accuracy"))
    }
    rows = []
    for name in sorted(means, key=means.get, reverse=True):
        runs = _runs(records, [name])[name]
        gain = signed(means[name] - means[names[0]]) if names[0] in means else ""
        rows.append((name, *_sizes(runs[0])[:2], f"{means[name]:.2f}", gain, f"{len(runs)}"))
    head = (
        "trial",
        "parameters:",
        "multiply-adds:",
        "validation accuracy (%):",
        "points:",
        "seeds:",
    )
    return Table(head, rows, "" if rows else "No runs yet: python experiments.py trials")


def variants_table(records: list[dict], names: Iterable[str]) -> Table:
    """What each variant of the analysis costs and reaches."""
    rows = [
        (name, *_sizes(runs[0]), describe(accuracies(runs, name).values()), f"{len(runs)}")
        for name, runs in _runs(records, names).items()
    ]
    head = ("variant", "parameters:", "multiply-adds:", "receptive field:", "test accuracy (%):")
    none = "No runs yet: python experiments.py analysis --seeds 0 1 2"
    return Table((*head, "seeds:"), rows, "" if rows else none)


def verdicts_table(results: list[Result], note: str = "") -> Table:
    """Each claim, its verdict, and what was measured."""
    rows = [(result.claim.sentence, result.verdict, result.why) for result in results]
    return Table(("sentence", "verdict", "measured"), rows, note)


def published_table(points: list[dict]) -> Table:
    """What others published, by accuracy: name, parameters, test accuracy, note, `assignment`."""
    rows = [
        (
            Link(point["name"], point["source"]),
            f"{point['parameters']:,}",
            f"{point['test_accuracy']:.2f}",
            "yes" if point["assignment"] else "no",
            point["note"],
        )
        for point in sorted(points, key=lambda point: point["test_accuracy"])
    ]
    head = ("published by others", "parameters:", "test accuracy (%):", "this assignment", "how")
    return Table(head, rows)


def rules_table(sheet: list[Rule], unmeasured: str = "") -> Table:
    """The assignment's rules and what was measured; `unmeasured` says where the others are."""
    rows = [
        (
            f"{rule.number} {rule.rule}",
            rule.required,
            rule.measured or unmeasured,
            MARKS[rule.passed],
        )
        for rule in sheet
    ]
    return Table(("rule", "required", "measured", "verdict"), rows)


def stages_table(rows: list[Stage]) -> Table:
    """A network's blocks, with a row of totals."""
    cells = [
        (
            row.name,
            "×".join(map(str, row.shape)),
            f"{row.parameters:,}",
            f"{row.multiply_adds / 1e6:.2f} M",
            str(row.receptive_field or ("whole image" if row.shape else "")),
        )
        for row in rows
    ]
    parameters, work = (
        sum(getattr(row, name) for row in rows) for name in ("parameters", "multiply_adds")
    )
    cells.append(("total", "", f"{parameters:,}", f"{work / 1e6:.2f} M", ""))
    return Table(("stage", "output", "parameters:", "multiply-adds:", "receptive field:"), cells)
