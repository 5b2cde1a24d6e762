"""How far networks see, as pictures."""

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from .plot import new_figure, save_figure

__all__ = ["plot_fields", "plot_masks"]

TICKS = (-32, 0, 32)  # pixels


def plot_fields(
    fields: Sequence[torch.Tensor],
    titles: Sequence[str],
    receptive_fields: Sequence[int],
    halves: Sequence[int],
    title: str,
    *,
    image_side: int = 32,
    note: str = "",
    path: Path | None = None,
) -> Figure:
    """Effective fields (side, side) of range 0–1 in one row, with three squares around the middle.

    Solid: the receptive field. Dotted: the square that holds half of the gradient, of side
    `halves`. Dashed: an image of `image_side` pixels.
    """
    size = (2.75 * len(fields) + 1.1, 3.9)
    fig, (axes,) = new_figure(*size, title, note, columns=len(fields), sharey=True)
    for ax, field, words, reach, half in zip(
        axes, fields, titles, receptive_fields, halves, strict=True
    ):
        side = len(field)
        # A field's rim is faint: colours by the square root leave it to be seen.
        extent = (-side / 2, side / 2) * 2
        shown = ax.imshow(field.numpy(), cmap="cividis", norm=PowerNorm(0.5, 0, 1), extent=extent)
        _square(ax, reach, "-", "white")
        _square(ax, image_side, "--", "white")
        _square(ax, half, ":", "white")
        ax.set_title(words, fontsize=10)
        ax.set(xticks=TICKS, yticks=TICKS, xlim=(-side / 2, side / 2), ylim=(-side / 2, side / 2))
        ax.set_xlabel("pixels from the middle", fontsize=8)
    label = "mean gradient, largest = 1\n(colours by its square root)"
    fig.colorbar(shown, ax=axes, shrink=0.7, label=label)
    return save_figure(fig, path)


def _square(ax: Axes, side: float, style: str, colour: str) -> None:
    square = Rectangle((-side / 2, -side / 2), side, side, fill=False, color=colour)
    square.set(linestyle=style, linewidth=1.6)
    square.set_path_effects([withStroke(linewidth=3, foreground="black")])  # on bright and dark
    ax.add_patch(square)


def plot_masks(
    masks: Sequence[torch.Tensor],
    titles: Sequence[str],
    title: str,
    *,
    note: str = "",
    path: Path | None = None,
) -> Figure:
    """Which pixels reach the output, one bool mask (side, side) beside the other; seen is blue."""
    size = (3.4 * len(masks) + 0.4, 4.4)
    fig, (axes,) = new_figure(*size, title, note, columns=len(masks))
    for ax, mask, words in zip(axes, masks, titles, strict=True):
        ax.pcolormesh(mask.flip(0), cmap="Blues", vmin=0, vmax=1.3, edgecolors="0.8", linewidth=0.5)
        ax.set_aspect("equal")
        ax.set_title(words, fontsize=10)
        ax.set(xticks=[], yticks=[])
    return save_figure(fig, path)
