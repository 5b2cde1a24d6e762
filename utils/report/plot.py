"""Pictures of data, training and mistakes. Each function returns its figure and, given a `path`, saves it as well."""
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

__all__ = ["caption", "plot_bars", "plot_confusion", "plot_fields", "plot_history", "plot_images", "plot_intervals",
           "plot_sizes", "plot_text", "plot_tradeoffs"]

# Okabe and Ito's palette: told apart by colour-blind people (https://jfly.uni-koeln.de/color/)
BLUE, ORANGE = "#0072B2", "#D55E00"
PALETTE = (BLUE, ORANGE, "#009E73", "#CC79A7", "#000000")
DPI = 100  # at this resolution a notebook with all its pictures stays under 1 MB


def caption(about: dict, history: list[dict]) -> str:
    """What made a picture: data set, network, recipe, seed, epochs, device, wall time, versions and command."""
    machine = about["machine"]
    seconds = sum(row["seconds"] for row in history)
    return (f"{about['dataset']} · {about['model']} · {len(history)} epochs · seed {about['seed']} · {machine['device']}, "
            f"{machine['precision']} · {seconds / 60:.0f} min · torch {machine['torch']}\n{about['command']}"
            + (f" (the last of {len(about['calls'])} calls)" if "calls" in about else ""))


def _figure(width: float, height: float, title: str, note: str, rows=1, columns=1):
    fig, axes = plt.subplots(rows, columns, figsize=(width, height), dpi=DPI, layout="constrained", squeeze=False)
    fig.suptitle(title, fontsize=12)
    if note:
        fig.supxlabel(note, fontsize=8, color="0.35")
    return fig, axes


def _save(fig, path):
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        fig.savefig(path, dpi=DPI)
    return fig


def plot_images(images: np.ndarray, titles, title: str, *, columns=10, size=1.15, note="", path=None):
    """A grid of images, uint8 (N, H, W, 3), `size` inches wide, each under its own title ("" for none)."""
    rows = -(-len(images) // columns)
    lines = max(text.count("\n") + bool(text) for text in titles)
    fig, axes = _figure(size * columns, rows * (size + 0.16 * lines) + 0.7, title, note, rows, columns)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, text in zip(axes.flat, images, titles):
        ax.imshow(image)
        ax.set_title(text, fontsize=8)
    return _save(fig, path)


def plot_history(history: list[dict], key: str, title: str, *, note="", path=None):
    """One curve over the epochs, for a key such as "test_acc"; the last epoch carries its value."""
    percent = key.endswith("acc")
    epochs, values = [row["epoch"] for row in history], [row[key] * (100 if percent else 1) for row in history]
    fig, ((ax,),) = _figure(7, 4, title, note)
    ax.plot(epochs, values, color=BLUE if key.startswith("test") else ORANGE, marker="." if len(epochs) > 1 else "o")
    ax.annotate(f"{values[-1]:.2f}{'%' if percent else ''}", (epochs[-1], values[-1]), textcoords="offset points",
                xytext=(0, -24 if percent else 10), ha="right")
    ax.set(xlabel="epoch", ylabel="accuracy (%)" if percent else "cross-entropy (nats)")
    ax.set_xlim(0.5, max(epochs) + 0.5)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(alpha=0.3)
    return _save(fig, path)


def plot_bars(names, values, title: str, xlabel: str, *, format="{:,.0f}", note="", path=None):
    """Horizontal bars, one for each name, each with its value."""
    fig, ((ax,),) = _figure(7, 0.3 * len(names) + 1.3, title, note)
    ax.bar_label(ax.barh(list(names), values, color=BLUE), fmt=format, padding=3, fontsize=9)
    ax.invert_yaxis()
    ax.set(xlabel=xlabel, xlim=(0, 1.12 * max(values)))
    return _save(fig, path)


def plot_confusion(matrix: np.ndarray, classes, title: str, *, note="", path=None):
    """Counts (true class, predicted class); colour is the share of the true class."""
    fig, ((ax,),) = _figure(7.2, 6.6, title, note)
    share = matrix / matrix.sum(axis=1, keepdims=True).clip(1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        ax.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8,
                color="white" if share[row, column] > 0.5 else "black" if count else "0.7")
    ticks = range(len(classes))
    ax.set_xticks(ticks, classes, rotation=45, ha="right")
    ax.set_yticks(ticks, classes)
    ax.set(xlabel="predicted class", ylabel="true class")
    return _save(fig, path)


def plot_text(text: str, title: str, *, note="", path=None):
    """A table of text as a picture."""
    lines = text.split("\n")
    fig, ((ax,),) = _figure(0.088 * max(map(len, lines)) + 0.6, 0.2 * len(lines) + 0.9, title, note)
    ax.axis("off")
    ax.text(0.5, 0.5, text, family="monospace", fontsize=10, ha="center", va="center",
            multialignment="left", transform=ax.transAxes)
    return _save(fig, path)


def plot_tradeoffs(names, accuracies, spreads, axes: dict, title: str, *, note="", path=None):
    """Test accuracy (%) against each quantity of `axes`, {label: one value for each name}, with error bars.

    Points that (nearly) share a value are drawn side by side; a spread of None has no bar.
    """
    fig, (panels,) = _figure(10, 4.4, title, note, columns=len(axes))
    for ax, (label, values) in zip(panels, axes.items()):
        step = 0.02 * max(values)
        for i, (name, value, accuracy, spread) in enumerate(zip(names, values, accuracies, spreads)):
            near = [k for k, other in enumerate(values) if abs(other - value) < step]
            aside = (near.index(i) - (len(near) - 1) / 2) * step
            ax.errorbar([value + aside], [accuracy], spread, color=PALETTE[i % 5], marker="osD^v"[i % 5], markersize=8,
                        capsize=4, linestyle="none", label=name)
        ax.set(xlabel=label, ylabel="test accuracy (%)", xlim=(0, 1.15 * max(values)))
        ax.grid(alpha=0.3)
    fig.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize=9)
    return _save(fig, path)


def plot_sizes(groups: dict, title: str, *, most: int, least: float, note="", path=None):
    """Test accuracy (%) against parameters, {group: [(name, parameters, accuracy)]}; allowed are `most` parameters and `least` %."""
    fig, ((ax,),) = _figure(8, 5.2, title, note)
    for i, (group, points) in enumerate(groups.items()):
        _, sizes, accuracies = zip(*points)
        ax.plot(sizes, accuracies, "osD^v"[i % 5], color=PALETTE[i % 5], markersize=8, linestyle="none", label=group)
        # Each group has a place of its own for its names: neighbours are of different groups.
        place = ({"xytext": (-7, 0), "ha": "right", "va": "center"}, {"xytext": (7, 0), "ha": "left", "va": "center"},
                 {"xytext": (0, 8), "ha": "center", "va": "bottom"})[i % 3]
        for name, size, accuracy in points:
            ax.annotate(name, (size, accuracy), textcoords="offset points", fontsize=8, **place)
    ax.axvline(most, color="0.4", linestyle="--", linewidth=1)
    ax.axhline(least, color="0.4", linestyle="--", linewidth=1)
    ax.set(xlabel="parameters", ylabel="test accuracy (%)", xlim=(0, 1.15 * most))
    ax.margins(y=0.12)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.grid(alpha=0.3)
    ax.legend(loc="center left", fontsize=9)
    return _save(fig, path)


def plot_intervals(names, differences, title: str, *, much: float, note="", path=None):
    """Mean differences in points with their 95% intervals; what is called much begins at the dashed line."""
    fig, ((ax,),) = _figure(8, 0.5 * len(names) + 1.8, title, note)
    for row, measured in enumerate(differences):
        ax.plot([measured.low, measured.high], [row, row], color=BLUE, linewidth=2, marker="|", markersize=12)
        ax.plot(measured.mean, row, "o", color=BLUE, markersize=8)
        ax.annotate(f"{measured.mean:+.2f}".replace("-", "−"), (measured.mean, row), textcoords="offset points", xytext=(0, 8), ha="center")
    ax.axvline(0, color="black", linewidth=1)
    ax.axvline(much, color="0.4", linestyle="--", linewidth=1)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="difference of test accuracies (points)", ylim=(len(names) - 0.4, -0.7))
    return _save(fig, path)


def plot_fields(fields, titles, receptive_fields, title: str, *, halves=None, image_side=None, note="", path=None):
    """Effective fields (side, side) of range 0–1, two in a row, each with the square of its receptive field (solid).

    Dotted, the square that holds half of a field, if `halves` gives their sides; dashed, a square of `image_side`.
    """
    rows = -(-len(fields) // 2)
    fig, axes = _figure(7.2, 3.3 * rows + 0.9, title, note, rows, columns=2)
    for ax in axes.flat[len(fields):]:
        ax.axis("off")
    for ax, field, words, reach, half in zip(axes.flat, fields, titles, receptive_fields, halves or [None] * len(fields)):
        side = len(field)
        # A field's rim is faint: colours by the square root leave it to be seen.
        shown = ax.imshow(field, cmap="cividis", norm=PowerNorm(0.5, 0, 1), extent=(-side / 2, side / 2) * 2)
        for length, style, colour in ((reach, "-", "white"), (half, ":", ORANGE), (image_side, "--", "white")):
            if length:
                square = Rectangle((-length / 2, -length / 2), length, length, fill=False, color=colour, linestyle=style)
                square.set_path_effects([withStroke(linewidth=2.5, foreground="black")])  # seen on bright and on dark
                ax.add_patch(square)
        ax.set_title(words, fontsize=10)
        ax.set_xlabel("pixels from the middle", fontsize=8)
    fig.colorbar(shown, ax=axes, shrink=0.6, label="mean gradient, the largest as 1\n(colours by its square root)")
    return _save(fig, path)
