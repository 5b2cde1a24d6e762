"""Pictures of studies. Each function returns its figure and, given a `path`, saves it as well."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from .claims import Result, signed
from .labels import label_points
from .plot import BLUE, GREEN, ORANGE, new_figure, save_figure
from .records import accuracies, epochs_of

__all__ = ["plot_costs", "plot_differences", "plot_sizes", "plot_time"]

PALETTE = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#000000")
MARKERS = "osD^vP"


def plot_differences(
    results: list[Result], title: str, *, note: str = "", path: Path | None = None
) -> Figure:
    """Every claim's differences in points: a dot for each seed, mean and interval.

    Where the claim is true is shaded. A claim without runs has an empty row.
    """
    about = "shaded: where the sentence is true · grey: one seed · blue: mean and its interval"
    words = f"{about}\n{note}".strip()
    fig, ((ax,),) = new_figure(9.5, 0.62 * len(results) + 1.8, title, words)
    seeds = [gap for result in results for gap in result.differences.values()]
    ends = [end for result in results for end in result.interval if np.isfinite(end)]
    margins = [limit for result in results for limit in result.claim.limits if np.isfinite(limit)]
    low, high = min(0, *seeds, *ends, *margins), max(0, *seeds, *ends, *margins)
    room = 0.08 * (high - low) or 1
    for row, result in enumerate(results):
        least, most = np.clip(result.claim.limits, low - room, high + room)
        ax.barh(row, most - least, 0.72, least, color=PALETTE[2], alpha=0.16, linewidth=0)
        values = list(result.differences.values())
        ax.plot(values, [row + 0.2] * len(values), "o", color="0.35", markersize=4, alpha=0.7)
        if values:
            mean = np.mean(values)
            ax.plot(result.interval, [row - 0.1] * 2, color=PALETTE[0], linewidth=2.5)
            ax.plot(mean, row - 0.1, "D", color=PALETTE[0], markersize=7)
        words = f"{signed(mean)}, " if values else ""
        words += result.verdict.replace(": ", ":\n")
        ax.annotate(words, (1.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=9)
    ax.axvline(0, color="black", linewidth=1)
    names = [result.claim.difference.replace(" − ", "\n− ") for result in results]
    ax.set_yticks(range(len(results)), names, fontsize=9)
    ax.set(xlabel="difference of test accuracies (points)", xlim=(low - room, high + room))
    ax.set_ylim(len(results) - 0.5, -0.5)
    ax.grid(axis="x", alpha=0.3)
    return save_figure(fig, path)


def plot_costs(
    records: list[dict],
    curves: dict[str, Sequence[str]],
    title: str,
    *,
    note: str = "",
    path: Path | None = None,
) -> Figure:
    """Test accuracy (%) against parameters and multiply-adds, a curve for each list of variants.

    A bar is the standard deviation over the seeds; one seed has none. Without runs it is empty.
    """
    fig, (axes,) = new_figure(11, 4.8, title, note, columns=2, sharey=True)
    costs = (
        ("parameters", 1e3, "parameters (thousands)"),
        ("multiply_adds", 1e6, "multiply-adds for one image (millions)"),
    )
    labels = {ax: [] for ax in axes}
    for ax, (key, unit, label) in zip(axes, costs, strict=True):
        for place, (curve, names) in enumerate(curves.items()):
            found = []
            for name in names:
                values = list(accuracies(records, name).values())
                if values:
                    run = next(record for record in records if record["variant"] == name)
                    spread = np.std(values, ddof=1) if len(values) > 1 else 0
                    found.append((run[key] / unit, np.mean(values), spread, name))
            if not found:
                continue
            x, y, spreads, names = zip(*sorted(found), strict=True)
            style = {"color": PALETTE[place], "marker": MARKERS[place]}
            style["label"] = curve if len(names) > 1 else None  # one point has its name beside it
            ax.errorbar(x, y, spreads, capsize=3, linewidth=1.3, **style)
            labels[ax] += [(*point, PALETTE[place]) for point in zip(x, y, names, strict=True)]
        ax.set(xlabel=label, ylabel="test accuracy (%)" if ax is axes[0] else None)
        ax.margins(0.2, 0.16)
        ax.grid(alpha=0.3)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(loc="lower right", fontsize=9)
    for ax in axes:  # once both have their final place
        label_points(ax, labels[ax])
    return save_figure(fig, path)


def plot_sizes(
    groups: dict[str, list[tuple[str, int, float]]],
    title: str,
    *,
    most: int,
    least: float,
    note: str = "",
    path: Path | None = None,
) -> Figure:
    """Test accuracy (%) against parameters, {group: [(name, parameters, accuracy), …]}.

    Allowed are fewer than `most` parameters and at least `least` %: dashed lines, light between.
    """
    fig, ((ax,),) = new_figure(8.5, 5.4, title, note)
    points = []
    for place, (group, found) in enumerate(groups.items()):
        if found:
            names, sizes, values = zip(*found, strict=True)
            style = {"color": PALETTE[place], "markersize": 8, "linestyle": "none", "label": group}
            ax.plot(sizes, values, MARKERS[place], **style)
            points += [(*point, PALETTE[place]) for point in zip(sizes, values, names, strict=True)]
    ax.axvline(most, color="0.4", linestyle="--", linewidth=1)
    ax.axhline(least, color="0.4", linestyle="--", linewidth=1)
    low = min([least, *(y for _, y, *_ in points)])
    high = max([least, *(y for _, y, *_ in points)])
    ax.set(xlabel="parameters", ylabel="test accuracy (%)", xlim=(0, 1.08 * most))
    ax.set_ylim(low - 0.8, high + 0.12 * (high - low) + 0.5)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.grid(alpha=0.3)
    if points:
        ax.legend(loc="center left", fontsize=9)
        label_points(ax, points)
    return save_figure(fig, path)


def plot_time(
    records: list[dict],
    names: Iterable[str],
    title: str,
    *,
    least: float | None = None,
    note: str = "",
    path: Path | None = None,
) -> Figure:
    """Test accuracy (%) against wall time in seconds, a line for each seed with a dot at its end.

    A colour is a recipe, a line style a device; dashed is the accuracy that is asked for, `least`.
    """
    fig, ((ax,),) = new_figure(8.5, 5, title, note)
    devices = {}
    for place, name in enumerate(names):
        runs = [record for record in records if record["variant"] == name]
        for record in runs:
            device = record["calls"][-1]["machine"]["device"] if record["calls"] else "unknown"
            style = devices.setdefault(device, ("-", "--", ":", "-.")[len(devices) % 4])
            seconds = list(accumulate(row["seconds"] for row in record["history"]))
            values = [100 * row["test_acc"] for row in record["history"]]
            words = f"{name}: {epochs_of(runs)} epochs, {device}"
            old = {line.get_label() for line in ax.lines}
            ax.plot(seconds, values, style, color=PALETTE[place], linewidth=1.2, alpha=0.8,
                    label="_" + words if words in old else words)  # fmt: skip
            ax.plot(seconds[-1], values[-1], "o", color=PALETTE[place], markersize=6)
    ax.set(xlabel="wall time (seconds)", ylabel="test accuracy (%)", xscale="log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:,g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.grid(alpha=0.3)
    if ax.lines:
        ax.legend(loc="lower right", fontsize=9)
    if least is not None:
        ax.axhline(least, color="0.4", linestyle="--", linewidth=1)
    return save_figure(fig, path)
