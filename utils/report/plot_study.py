"""Pictures of the analysis: what runs say, and how far networks see."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullLocator
from scipy.optimize import isotonic_regression

from .claims import Result, signed
from .plot import BLUE, GREEN, ORANGE, new_figure
from .records import accuracies, device_name

__all__ = ["plot_costs", "plot_differences", "plot_fields", "plot_masks", "plot_sizes", "plot_time"]

PALETTE = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9")
MARKERS = "osD^"
DASHED = {"color": "0.4", "linestyle": "--", "linewidth": 1}
NAME = {"color": "0.4", "fontsize": 9, "va": "bottom"}  # of a dashed line
STEP = 0.048  # between names, of the axes' height: they are 3.6 inches high or more, a name 0.15


def plot_differences(results: list[Result]) -> Figure:
    """Every claim's differences in points: a grey dot for each seed, mean and interval in blue.

    Where the claim is true is shaded. A claim without runs has an empty row.
    """
    fig, ((ax,),) = new_figure(9.5, 0.62 * len(results) + 1.2)
    shown = [x for one in results for x in (*one.differences, *one.interval, *one.claim.limits)]
    ends = [0, *filter(np.isfinite, shown)]
    room = 0.08 * (max(ends) - min(ends)) or 1
    low, high = min(ends) - room, max(ends) + room
    for row, result in enumerate(results):
        least, most = np.clip(result.claim.limits, low, high)
        ax.barh(row, most - least, 0.72, least, color=GREEN, alpha=0.16, linewidth=0)
        values, words = result.differences, result.verdict
        ax.plot(values, [row + 0.2] * len(values), "o", color="0.35", markersize=4, alpha=0.7)
        if values:
            mean = np.mean(values)
            style = {"linewidth": 2.5, "solid_capstyle": "butt"}  # or the ends would stand out
            ax.plot(result.interval, [row - 0.1] * 2, color=BLUE, **style)
            ax.plot(mean, row - 0.1, "D", color=BLUE, markersize=7)
            words = f"{signed(mean)}, {words}"
        ax.annotate(words, (1.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=9)
    ax.axvline(0, color="black", linewidth=1)
    names = [result.claim.difference.replace(" − ", "\n− ") for result in results]
    ax.set_yticks(range(len(results)), names, fontsize=9)
    ax.set(xlabel="difference of test accuracies (points)", xlim=(low, high))
    ax.set_ylim(len(results) - 0.5, -0.5)
    ax.grid(axis="x", alpha=0.3)
    return fig


def _write_names(ax: Axes, points: list[tuple[float, float, str, str]]) -> None:
    """The name of each (x, y, name, colour) right of the axes, joined to its point by a line.

    The names stand in a column, as near to their points' height as `STEP` allows. The limits of
    the axes have to be final.
    """
    points = sorted(points, key=lambda point: point[1])
    low, high = ax.get_ylim()
    ranks = STEP * np.arange(len(points))
    # Less its rank's step, each height has to be at least the one before.
    heights = (np.array([y for _, y, *_ in points]) - low) / (high - low) - ranks
    heights = isotonic_regression(heights.clip(0, 1 - STEP * len(points))).x + ranks
    for (x, y, name, colour), height in zip(points, heights, strict=True):
        line = {"arrowstyle": "-", "linestyle": ":", "linewidth": 0.7}  # dotted: no data
        line |= {"color": colour, "relpos": (0, 0.5)}
        style = {"textcoords": "axes fraction", "va": "center", "fontsize": 8, "arrowprops": line}
        ax.annotate(name, (x, y), (1.03, height), color=colour, zorder=1, **style)


def plot_costs(records: list[dict], curves: dict[str, Sequence[str]]) -> Figure:
    """Test accuracy (%) against parameters and multiply-adds, a curve for each list of variants.

    A bar is the standard deviation over the seeds; one seed has none. Without runs it is empty.
    """
    fig, (axes,) = new_figure(11, 4.3, columns=2, sharey=True)
    runs = {record["variant"]: record for record in records}
    axes[0].set(xlabel="parameters (thousands)", ylabel="test accuracy (%)")
    axes[1].set(xlabel="multiply-adds for one image (millions)")
    points = {ax: [] for ax in axes}
    for ax, key, unit in zip(axes, ("parameters", "multiply_adds"), (1e3, 1e6), strict=True):
        for place, (curve, names) in enumerate(curves.items()):
            found = sorted((runs[name][key] / unit, name) for name in names if name in runs)
            values = [list(accuracies(records, name).values()) for _, name in found]
            costs, means = [cost for cost, _ in found], [np.mean(seeds) for seeds in values]
            spreads = [np.std(seeds, ddof=1) if len(seeds) > 1 else 0 for seeds in values]
            label = curve if len(found) > 1 else None  # one point has its name beside it
            style = {"marker": MARKERS[place], "capsize": 3, "linewidth": 1.3, "label": label}
            ax.errorbar(costs, means, spreads, color=PALETTE[place], **style)
            for (cost, name), mean in zip(found, means, strict=True):
                points[ax].append((cost, mean, name, PALETTE[place]))
        ax.margins(0.08, 0.12)
        ax.grid(alpha=0.3)
    if axes[0].get_legend_handles_labels()[0]:
        style = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 2, "frameon": False}
        axes[0].legend(fontsize=9, borderpad=0, **style)
    for ax in axes:  # once both have their final limits
        _write_names(ax, points[ax])
    return fig


def plot_sizes(groups: dict[str, list[tuple[str, int, float]]], most: int, least: float) -> Figure:
    """Test accuracy (%) against parameters, {group: [(name, parameters, accuracy), …]}.

    Allowed are fewer than `most` parameters and at least `least` %: dashed lines.
    """
    fig, ((ax,),) = new_figure(8.5, 4.8)
    points = []
    for place, (group, found) in enumerate(groups.items()):
        points += [(size, accuracy, name, PALETTE[place]) for name, size, accuracy in found]
        sizes, values = [size for _, size, _ in found], [accuracy for *_, accuracy in found]
        ax.plot(sizes, values, MARKERS[place], color=PALETTE[place], markersize=8, label=group)
    ax.margins(y=0.12)  # room above the highest points, for lines that lead up to names
    ax.axvline(most, **DASHED)
    _draw_least(ax, least, 0.01)
    ax.text(1, 1, f"fewer than {most:,}", ha="right", transform=ax.transAxes, **NAME)
    ax.set(xlabel="parameters", ylabel="test accuracy (%)", xlim=(0, 1.08 * most))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.grid(alpha=0.3)
    ax.legend(loc="center left", fontsize=9)
    _write_names(ax, points)
    return fig


def plot_time(records: list[dict], names: Sequence[str], least: float) -> Figure:
    """Test accuracy (%) against wall time in seconds, a line for each seed with a dot at its end.

    A colour is a recipe, a line style a device, or several in turn. A grey line is the accuracy
    that is asked for, `least`.
    """
    fig, ((ax,),) = new_figure(8.5, 4.5)
    styles, legend = {}, {}
    for place, name in enumerate(names):
        colour, runs = PALETTE[place], [run for run in records if run["variant"] == name]
        for run in runs:
            device = ", then ".join(dict.fromkeys(map(device_name, run["calls"])))
            style = styles.setdefault(device, ("-", "--", ":", "-.")[len(styles) % 4])
            seconds = list(accumulate(row["seconds"] for row in run["history"]))
            values = [100 * row["test_acc"] for row in run["history"]]
            (line,) = ax.plot(seconds, values, style, color=colour, linewidth=1.2, alpha=0.8)
            ax.plot(seconds[-1], values[-1], "o", color=colour, markersize=6)
            legend[f"{name}: {len(values)} epochs, {device}"] = line
    ax.set(xlabel="wall time (seconds)", ylabel="test accuracy (%)", xscale="log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:,g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.grid(alpha=0.3)
    ax.legend(legend.values(), legend.keys(), loc="lower right", fontsize=9)
    _draw_least(ax, least, 0.5)
    return fig


def _draw_least(ax: Axes, least: float, x: float) -> None:
    """A line for the accuracy (%) that is asked for, and its name from `x` (0–1) on."""
    ax.axhline(least, **DASHED)
    name = f"the assignment: at least {least:g} %"
    ax.text(x, least, name, transform=ax.get_yaxis_transform(), **NAME)


def plot_fields(
    fields: dict[str, torch.Tensor], reach: dict[str, int], halves: dict[str, int]
) -> Figure:
    """Effective fields (side, side) of range 0–1 in one row, with three squares around the middle.

    White: the receptive field, of side `reach`. Orange: the square that holds half of the gradient,
    of side `halves`. Dashed: an image of 32 pixels.
    """
    fig, (axes,) = new_figure(2.3 * len(fields) + 1.1, 2.9, columns=len(fields), sharey=True)
    for ax, (name, field) in zip(axes, fields.items(), strict=True):
        edge = len(field) / 2
        # A field's rim is faint: colours by the square root leave it to be seen.
        style = {"cmap": "cividis", "norm": PowerNorm(0.5, 0, 1)}
        shown = ax.imshow(field.numpy(), extent=(-edge, edge, -edge, edge), **style)
        half = halves[name]
        squares = ((reach[name], "-", "white"), (32, "--", "white"), (half, "-", ORANGE))
        for side, line, colour in squares:
            style = {"edgecolor": colour, "linestyle": line, "linewidth": 1.6}
            outline = [withStroke(linewidth=3, foreground="black")]  # seen on bright and dark
            corner = (-side / 2, -side / 2)
            ax.add_patch(Rectangle(corner, side, side, fill=False, path_effects=outline, **style))
        ax.set_title(name, fontsize=10)
        ax.set(xticks=(-32, 0, 32), yticks=(-32, 0, 32), xlim=(-edge, edge), ylim=(-edge, edge))
        ax.set_xlabel(f"half within {half}×{half} pixels", fontsize=9)
    label = "mean gradient, largest = 1\n(colours by its square root)"
    fig.colorbar(shown, ax=axes, shrink=0.7, label=label)
    return fig


def plot_masks(masks: dict[str, torch.Tensor]) -> Figure:
    """Which pixels reach the output, one bool mask (side, side) beside the other; seen is blue."""
    fig, (axes,) = new_figure(3.4 * len(masks) + 0.4, 4.1, columns=len(masks))
    for ax, (name, mask) in zip(axes, masks.items(), strict=True):
        ax.pcolormesh(mask.flip(0), cmap="Blues", vmin=0, vmax=1.3, edgecolors="0.8", linewidth=0.5)
        ax.set_title(name, fontsize=10)
        ax.set(xticks=[], yticks=[], aspect="equal")
    return fig
