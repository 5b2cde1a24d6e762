"""Pictures of data, training and mistakes; `frame` gives each its title and saves it."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..training import Run

__all__ = [
    "BLUE",
    "GREEN",
    "ORANGE",
    "caption",
    "frame",
    "new_figure",
    "overlay",
    "plot_confusion",
    "plot_curves",
    "plot_images",
    "save_curves",
]

# Okabe and Ito's palette: colour-blind people can tell it apart (https://jfly.uni-koeln.de/color/).
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
SETS = {"train": ("training", ORANGE), "val": ("validation", GREEN), "test": ("test", BLUE)}
DPI = 100  # at this resolution a notebook with all its pictures stays under 1 MB


def caption(run: Run) -> str:
    """What made a picture: data, network, epochs, seed, machines, minutes, version and command."""
    machines = [call["machine"] for call in run.calls]
    devices = dict.fromkeys(f"{machine['device']}, {machine['precision']}" for machine in machines)
    epochs = f"{len(run.history)}" + ("" if run.finished else f" of {run.recipe.epochs}")
    flags = "".join(f", {name}={value}" for name, value in run.flags.items())
    return (
        f"{run.dataset} · {run.recipe.model}{flags} · {epochs} epochs · seed {run.seed} · "
        f"{', then '.join(devices)} · {run.seconds / 60:.1f} min · "
        f"torch {machines[-1]['torch']}\n{run.calls[-1]['command']}"
    )


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **more
) -> tuple[Figure, np.ndarray]:
    """A figure in inches and its axes (rows, columns)."""
    more |= {"figsize": (width, height), "dpi": DPI, "layout": "constrained", "squeeze": False}
    return plt.subplots(rows, columns, **more)


def frame(fig: Figure, title: str, note: str = "", path: Path | None = None) -> Figure:
    """Write a title above a picture and a small note below, and save it where a path is given."""
    lines = note.count("\n") + bool(note)
    fig.set_figheight(fig.get_figheight() + 0.3 + 0.16 * lines)  # inches
    fig.suptitle(title, fontsize=12)
    fig.supxlabel(note, fontsize=8, color="0.35")
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        fig.savefig(path, dpi=DPI)
    return fig


def plot_images(
    images: np.ndarray, titles: Sequence[str], *, columns: int = 8, size: float = 1.1
) -> Figure:
    """A grid of images, uint8 (N, H, W, 3), `size` inches wide, each under its title ("": none)."""
    rows = max(1, -(-len(images) // columns))
    lines = max((text.count("\n") + bool(text) for text in titles), default=0)
    fig, axes = new_figure(size * columns, rows * (size + 0.17 * lines) + 0.15, rows, columns)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, text in zip(axes.flat, images, titles, strict=False):  # the last row: fewer
        ax.imshow(image, interpolation="nearest")  # blocks of one colour: a third of the bytes
        ax.set_title(text, fontsize=8.5, pad=3)
    return fig


def overlay(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Images uint8 (N, H, W, 3) in grey under maps (N, H, W) of range 0–1 in colour; uint8."""
    grey = images.mean(axis=3, keepdims=True).repeat(3, axis=3)
    heat = 255 * plt.get_cmap("inferno")(maps)[..., :3]
    return (0.45 * grey + 0.55 * heat).round().astype(np.uint8)


def _draw(ax: Axes, history: list[dict], key: str, colour: str, label: str = "") -> None:
    percent = key.endswith("acc")
    values = [row[key] * (100 if percent else 1) for row in history]
    epochs = [row["epoch"] for row in history]
    ax.plot(epochs, values, ".-", color=colour, label=label, linewidth=1.5)
    ax.set_ylabel("accuracy (%)" if percent else "loss")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.grid(alpha=0.3)


def plot_curves(history: list[dict]) -> Figure:
    """Accuracies, losses and the learning rate of a history, one below the other."""
    heights = {"height_ratios": (3, 3, 1.3)}
    fig, axes = new_figure(7.2, 6, rows=3, sharex=True, gridspec_kw=heights)
    accuracy, loss, rate = axes[:, 0]
    last = history[-1]
    for name, (words, colour) in SETS.items():
        if f"{name}_acc" in last:
            _draw(accuracy, history, f"{name}_acc", colour, f"{words} {last[f'{name}_acc']:.2%}")
            _draw(loss, history, f"{name}_loss", colour, f"{words} {last[f'{name}_loss']:.3f}")
    _draw(rate, history, "lr", "0.3")
    accuracy.legend(loc="lower right", title="last epoch")
    loss.legend(loc="upper right", title="last epoch")
    rate.set(xlabel="epoch", ylabel="learning rate", ylim=(0, None))
    return fig


def save_curves(history: list[dict], folder: Path, title: str, note: str = "") -> None:
    """trainacc.png, trainloss.png, testacc.png and testloss.png; the axes of each kind are equal.

    They are the four curves that the assignment asks for.
    """
    for kind, what in (("acc", "accuracy"), ("loss", "loss")):
        values = [row[f"{name}_{kind}"] for row in history for name in ("train", "test")]
        limits = (100 * min(values) - 2, 102) if kind == "acc" else (0, 1.05 * max(values))
        for name in ("train", "test"):
            words, colour = SETS[name]
            fig, ((ax,),) = new_figure(6, 3.6)
            _draw(ax, history, f"{name}_{kind}", colour)
            ax.set(xlabel="epoch", ylim=limits)
            frame(fig, f"{title}: {words} {what}", note, folder / f"{name}{kind}.png")
            plt.close(fig)


def plot_confusion(matrix: np.ndarray, classes: Sequence[str]) -> Figure:
    """Counts (true class, predicted class). Colour shows the mistakes; right answers are grey."""
    fig, ((ax,),) = new_figure(7.2, 5.9)
    mistakes = np.ma.masked_array(matrix, mask=np.eye(len(matrix), dtype=bool))
    most = max(1, mistakes.max())
    colours = plt.get_cmap("Oranges").with_extremes(bad="0.9")
    shown = ax.imshow(mistakes, cmap=colours, vmin=0, vmax=most)
    for (row, column), count in np.ndenumerate(matrix):
        dark = row != column and count > 0.6 * most
        colour = "white" if dark else "black" if count else "0.75"
        ax.text(column, row, f"{count:,}", ha="center", va="center", color=colour)
    ax.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    ax.set_yticks(range(len(classes)), classes)
    ax.set(xlabel="predicted class", ylabel="true class")
    fig.colorbar(shown, shrink=0.7, label="test images that were confused")
    return fig
