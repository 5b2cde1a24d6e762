"""Pictures of data, training and mistakes. Each function returns its figure and, given a `path`, saves it as well."""
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

__all__ = ["caption", "plot_bars", "plot_confusion", "plot_history", "plot_images", "plot_text"]

# Okabe and Ito's palette: told apart by colour-blind people (https://jfly.uni-koeln.de/color/)
BLUE, ORANGE = "#0072B2", "#D55E00"
DPI = 100  # at this resolution a notebook with all its pictures stays under 1 MB


def caption(about: dict, history: list[dict]) -> str:
    """What made a picture: data set, network, recipe, seed, epochs, device, wall time, versions and command."""
    machine = about["machine"]
    seconds = sum(row["seconds"] for row in history)
    return (f"{about['dataset']} · {about['model']} · {len(history)} epochs · seed {about['seed']} · {machine['device']}, "
            f"{machine['precision']} · {seconds / 60:.0f} min · torch {machine['torch']}\n{about['command']}")


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
