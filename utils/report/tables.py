"""The tables of the pages and notebooks as Markdown, made from records and stages."""

import re
from collections.abc import Iterable

import numpy as np
from torch import nn

from ..training import STUDIES
from .claims import signed
from .records import accuracies, describe, device_name
from .summary import Stage, stage_table

__all__ = ["made_on", "markdown_table", "stages_table", "study_table"]


def markdown_table(head: Iterable[str], rows: Iterable[Iterable[str]], note: str = "") -> str:
    """A table with a note below it. A head that ends in ":" aligns its column to the right."""
    names = [name.removesuffix(":") for name in head]
    sides = ["---:" if name.endswith(":") else "---" for name in head]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (names, sides, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([*lines, "", note] if note else lines)


def made_on(runs: list[dict]) -> str:
    """Device, precision, torch and runs at once; "then" where a run changed its device."""
    return "; ".join(dict.fromkeys(map(_way, runs)))


def _way(run: dict) -> str:
    words = {}  # of the last call on each device
    for call in run["calls"]:
        jobs = re.search(r"--jobs[ =](\d+)", call["command"])  # they share the device
        at_once = f", {jobs[1]} at once" if jobs and jobs[1] != "1" else ""
        machine, torch = call["machine"], call["machine"]["torch"].split("+")[0]
        about = f"{machine['device']}, {machine['precision']}, torch {torch}{at_once}"
        words[device_name(call)] = about
    return ", then ".join(words.values())


def _seconds(runs: list[dict]) -> str:
    """The mean wall time of a run, for each device on which runs ended."""
    seconds = {}
    for run in runs:
        seconds.setdefault(device_name(run["calls"][-1]), []).append(run["seconds"])
    return "; ".join(f"{np.mean(some):,.0f}" for some in seconds.values())


def _validation(runs: list[dict]) -> dict[int, float]:
    """Validation accuracy in percent by seed."""
    return {run["seed"]: 100 * run["val_accuracy"] for run in runs}


def _gained(runs: list[dict], first: list[dict]) -> float | None:
    """Points of validation accuracy more than the first variant, at equal seeds; None without."""
    ours, theirs = _validation(runs), _validation(first)
    gains = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
    return np.mean(gains) if gains else None


# What a column says of a variant's runs.
COLUMNS = {
    "parameters:": lambda runs: f"{runs[0]['parameters']:,}",
    "multiply-adds:": lambda runs: f"{runs[0]['multiply_adds'] / 1e6:.1f} M",
    "pairs": lambda runs: ", ".join(map(str, runs[0]["flags"]["pairs"])),
    "channels": lambda runs: ", ".join(map(str, runs[0]["flags"]["widths"])),
    "receptive field:": lambda runs: f"{runs[0]['receptive_field']}",
    "epochs:": lambda runs: f"{runs[0]['recipe']['epochs']}",
    "seeds:": lambda runs: f"{len(runs)}",
    "test accuracy (%):": lambda runs: describe(accuracies(runs, runs[0]["variant"]).values()),
    "validation accuracy (%):": lambda runs: f"{np.mean([*_validation(runs).values()]):.2f}",
    "seconds a run:": _seconds,
    "device and version": made_on,
}


# What the variants of a study are called, and the columns of its table.
# fmt: off
HEADS = {
    "results": ("recipe", "parameters:", "epochs:", "seeds:", "test accuracy (%):",
                "seconds a run:", "device and version"),
    "trials": ("trial", "pairs", "channels", "parameters:", "multiply-adds:",
               "validation accuracy (%):", "gained:", "seeds:"),
    "settings": ("trial", "validation accuracy (%):", "gained:", "test accuracy (%):", "seeds:"),
    "distillation": ("trial", "validation accuracy (%):", "gained:", "seeds:"),
    "analysis": ("variant", "parameters:", "multiply-adds:", "receptive field:",
                 "test accuracy (%):", "seeds:"),
    "longer": ("variant", "epochs:", "test accuracy (%):", "seeds:"),
}
# fmt: on


def study_table(study: str, records: list[dict]) -> str:
    """A row for each variant that has runs, or a sentence that says how to make them.

    "gained:" is points of validation accuracy more than the first variant, at equal seeds; where
    most was gained then stands first.
    """
    if not records:
        return f"No runs yet: python experiments.py {study} --seeds 0 1 2"
    head = HEADS[study]
    runs = {name: [run for run in records if run["variant"] == name] for name in STUDIES[study]}
    first, *_ = runs.values()
    found, columns = [name for name in runs if runs[name]], COLUMNS
    if "gained:" in head:
        gained = {name: _gained(runs[name], first) for name in found}
        found.sort(key=lambda name: gained[name] or 0, reverse=True)
        words = {name: "" if gain is None else signed(gain) for name, gain in gained.items()}
        columns = COLUMNS | {"gained:": lambda own: words[own[0]["variant"]]}
    rows = [(name, *(columns[column](runs[name]) for column in head[1:])) for name in found]
    note = "Test accuracy after the last epoch, mean ± standard deviation over the seeds."
    if study != "results":  # which has columns for both
        ways = {}
        for run in records:
            ways.setdefault(_way(run), []).append(run["seconds"])
        means = (f"{np.mean(some):,.0f} seconds on {way}" for way, some in ways.items())
        note = f"A run took, on average: {'; '.join(means)}."
    return markdown_table(head, rows, note)


def stages_table(network: nn.Module) -> str:
    """A network's blocks, as `stage_table` finds them, with a row of totals."""
    stages = stage_table(network)
    parameters = sum(stage.parameters for stage in stages)
    multiply_adds = sum(stage.multiply_adds for stage in stages)
    rows = [
        (
            stage.name,
            "×".join(map(str, stage.shape)),
            f"{stage.parameters:,}",
            f"{stage.multiply_adds / 1e6:.2f} M",
            str(stage.receptive_field or ("whole image" if stage.shape else "")),
        )
        for stage in (*stages, Stage("total", (), parameters, multiply_adds, None))
    ]
    head = ("stage", "output", "parameters:", "multiply-adds:", "receptive field:")
    return markdown_table(head, rows)
