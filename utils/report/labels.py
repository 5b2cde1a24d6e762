"""Names beside the points of a picture, so that neither names nor points cover each other."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

__all__ = ["label_points"]

DISTANCES = (9, 20, 34, 50)  # typographic points from the data's point, the nearest that is free
ANGLES = (0, 180, 90, 270, 45, 135, 315, 225)  # degrees, in the order of preference
HALF_MARKER = 6  # pixels; what no name may cover
STEP = 4  # pixels between the boxes along a line, each of which costs 1 to cover
COVER, OUTSIDE = 50, 1000  # what it costs to cover a marker or a name, and to leave the axes


def label_points(
    ax: Axes, points: Sequence[tuple[float, float, str, str]], fontsize: float = 8
) -> None:
    """Write a name beside each (x, y, name, colour); the points stay where the data are.

    A name that had to step away is joined to its point by a thin line. Limits, scales and layout of
    the axes have to be final.
    """
    ax.figure.draw_without_rendering()  # places the axes: pixels are known from here on
    taken = [_around(*ax.transData.transform((x, y))) for x, y, *_ in points]
    lines = _lines(ax)
    if legend := ax.get_legend():
        taken.append(legend.get_window_extent())
    for point in points:
        best, least = None, np.inf
        for text in _places(ax, *point, fontsize):
            box = _box(text).padded(2)
            cost = box.count_overlaps(lines) + COVER * box.count_overlaps(taken)
            cost += OUTSIDE * (Bbox.union([box, ax.bbox]).size > ax.bbox.size + 1).any()
            worse = best if cost < least else text
            if cost < least:
                best, least = text, cost
            if worse:
                worse.remove()
            if least == 0:
                break
        taken.append(_box(best))


def _places(
    ax: Axes, x: float, y: float, name: str, colour: str, fontsize: float
) -> Iterator[Annotation]:
    """The name at each place around its point, the best place first."""
    for distance in DISTANCES:
        line = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.6}
        for angle in np.radians(ANGLES):
            right, up = distance * np.cos(angle), distance * np.sin(angle)
            text = ax.annotate(
                name,
                (x, y),
                (right, up),
                textcoords="offset points",
                ha="left" if right > 1 else "right" if right < -1 else "center",
                va="bottom" if up > 1 else "top" if up < -1 else "center",
                fontsize=fontsize,
                color=colour,
                arrowprops=line if distance > DISTANCES[0] else None,
            )
            text.set_in_layout(False)  # the axes stay where they are
            yield text


def _box(text: Annotation) -> Bbox:
    """The words' place in pixels, without the line to the point."""
    text.get_window_extent()  # brings the words to their place
    return Text.get_window_extent(text)


def _around(x: float, y: float, half: float = HALF_MARKER) -> Bbox:
    return Bbox.from_extents(x - half, y - half, x + half, y + half)


def _lines(ax: Axes) -> list[Bbox]:
    """Small boxes along lines and error bars, in pixels."""
    corners = [line.get_transform().transform(line.get_xydata()) for line in ax.lines]
    for bars in ax.collections:
        if isinstance(bars, LineCollection):
            corners += map(ax.transData.transform, bars.get_segments())
    boxes = []
    for start, end in (pair for line in corners for pair in zip(line, line[1:], strict=False)):
        steps = int(np.hypot(*(end - start)) / STEP) + 2
        boxes += [_around(*dot, half=1) for dot in np.linspace(start, end, steps)]
    return boxes
