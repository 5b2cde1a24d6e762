"""A network as a picture, drawn from what it does when it runs."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle
from torch import nn

from ..grading import Block, Operation, blocks, trace
from .plot import ORANGE, new_figure, save_figure
from .summary import Stage, stage_table

__all__ = ["Node", "draw_network", "lanes"]

# Light enough for black letters; told apart by colour-blind people, and the words say it as well.
FILLS = {
    "dense convolution": "#BCD9EF",
    "dilated convolution": "#BFE5CB",
    "depthwise separable": "#E6CBEA",
    "pooling, linear": "#E4E4E4",
}
# Lengths are pixels of a picture 900 pixels wide.
LANE, TOP, BOTTOM, LEFT = 102, 34, 46, 64
OUTPUT, FIELD, MARGIN = 768, 84, 48  # the column of maps, the next one from there, the rest
BOX, HEIGHT, GAP, PLUS = 102, 52, 15, 9
MAP_SCALE = 1.7  # for one pixel of a feature map
INK, PALE = "#333333", "#777777"


@dataclass(eq=False)
class Node:
    """A box: a convolution with what follows it, a pooling or a linear layer; or the + of a sum."""

    kind: str  # a key of `FILLS`, or "+"
    words: list[str]  # its lines
    inputs: list["Node"] = field(default_factory=list)
    strided: bool = False
    x: float = 0  # its middle


def lanes(found: Iterable[Block]) -> list[list[Node]]:
    """The boxes of each block in the order in which they run.

    A depthwise convolution and the 1×1 convolution behind it are one box. Norms, activations and
    whatever only reshapes belong to the box before them.
    """
    made: dict[Operation, Node] = {}  # the box that each operation's result comes out of
    result = []
    for block in found:
        result.append([])
        for op in block.operations:
            sources = [made[source] for source in op.inputs if source in made]
            if op.is_conv and op.kernel == (1, 1) and sources and _is_open(sources[0]):
                made[op] = sources[0]
                made[op].words[-1] = f"1×1: {_channels(op)}"
            elif node := _node(op, sources):
                made[op] = node
                result[-1].append(node)
            elif sources:
                made[op] = sources[0]
    return result


def _is_open(node: Node) -> bool:
    """Whether it is a depthwise convolution that still waits for its 1×1."""
    return node.kind.startswith("depthwise") and not node.words[-1].startswith("1×1")


def _channels(op: Operation) -> str:
    return f"{op.in_shape[1]}→{op.out_shape[1]}"


def _node(op: Operation, sources: list[Node]) -> Node | None:
    """A box of its own, or None for an operation that belongs to the box before it."""
    if op.is_conv:
        size, stride, dilation = "×".join(map(str, op.kernel)), max(op.stride), max(op.dilation)
        depthwise = 1 < op.groups == op.in_shape[1]
        extra = [f"stride {stride}"] * (stride > 1) + [f"dilation {dilation}"] * (dilation > 1)
        kind = "dilated convolution" if dilation > 1 else "dense convolution"
        words = [size + " depthwise" * depthwise, *extra, _channels(op)]
        return Node("depthwise separable" if depthwise else kind, words, sources, stride > 1)
    if op.name in ("add", "add_") and len(sources) == 2:
        return Node("+", ["+"], sources)
    if op.multiply_adds:
        return Node("pooling, linear", ["linear", _channels(op)], sources)
    if "pool" in op.name or op.name == "mean":
        whole = op.name == "mean" or op.out_shape[2:] in ((), (1, 1))
        before = "×".join(map(str, op.in_shape[2:]))
        words = ["global average", f"of {before}"] if whole else ["pooling", f"of {before}"]
        return Node("pooling, linear", words, sources)
    return None


def draw_network(
    network: nn.Module,
    title: str,
    *,
    note: str = "",
    path: Path | str | None = None,
) -> Figure:
    """The blocks of a network as rows of boxes, with shapes, shortcuts and receptive fields.

    It is drawn from the operations that the live network runs on an image (3, 32, 32). The
    squares on the right are its feature maps, to scale. The picture is 900 pixels wide, or wider
    where a block has more than five boxes and two shortcuts.
    """
    network = copy.deepcopy(network).cpu().float().eval()
    found = blocks(trace(network, torch.zeros(1, 3, 32, 32)))
    rows = lanes(found)
    height = TOP + LANE * len(rows) + BOTTOM
    around = 0.35 + (0.17 * (note.count("\n") + 1) if note else 0)  # inches for title and note
    output = max(OUTPUT, *(LEFT + 50 + sum(_width(node) + GAP for node in nodes) for nodes in rows))
    field_at, width = output + FIELD, output + FIELD + MARGIN
    fig, ((ax,),) = new_figure(width / 100, height / 100 + around, title, note)
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    ax.axis("off")
    heads = {LEFT + BOX / 2: "image 3×32×32", output: "output", field_at: "receptive\nfield"}
    for x, words in heads.items():
        ax.text(x, TOP / 2, words, ha="center", va="center", fontsize=9, color=PALE)
    stages = {stage.name: stage for stage in stage_table(network)}
    for row, (block, nodes) in enumerate(zip(found, rows, strict=True)):
        y = TOP + LANE * (row + 0.5)
        ax.axhline(y - LANE / 2, color="0.9", linewidth=1)
        _draw_lane(ax, nodes, _draw_stage(ax, stages[block.name], output, y), y)
    _draw_legend(ax, [node for nodes in rows for node in nodes], height - BOTTOM / 2)
    return save_figure(fig, path)


def _width(node: Node) -> int:
    return 2 * PLUS if node.kind == "+" else BOX


def _draw_stage(ax: Axes, stage: Stage, x: float, y: float) -> float:
    """Name on the left, map and receptive field on the right; where the arrow to the map ends."""
    ax.text(8, y, stage.name, va="center", fontsize=14, weight="bold", color=INK)
    is_map = len(stage.shape) == 3
    edge = MAP_SCALE * stage.shape[1] if is_map else 10
    for shift in (3, 0, -3) if is_map else ():  # from the back to the front
        corner = (x - edge / 2 + shift, y - 9 - edge / 2 - shift)
        ax.add_patch(Rectangle(corner, edge, edge, facecolor="white", edgecolor=INK, lw=0.8))
    style = {"ha": "center", "va": "center", "color": INK}
    ax.text(x, y + 33 * is_map, "×".join(map(str, stage.shape)), fontsize=9, **style)
    reach = stage.receptive_field
    ax.text(x + FIELD, y, f"{reach}×{reach}" if reach else "whole\nimage", fontsize=10, **style)
    return x - edge / 2 - 8


def _draw_lane(ax: Axes, nodes: list[Node], output: float, y: float) -> None:
    """Boxes from left to right up to the output, and the way around them into a sum."""
    x = LEFT
    for place, node in enumerate(nodes):
        _draw_arrow(ax, (x - GAP, y), (x, y))
        node.x = x + _width(node) / 2
        _draw_node(ax, node, y)
        for source in node.inputs if node.kind == "+" else ():
            if source in nodes and source is not nodes[place - 1]:
                start = source.x + _width(source) / 2 + GAP / 2 - 2
                _draw_shortcut(ax, start, node.x, y)
        x += _width(node) + GAP
    _draw_arrow(ax, (x - GAP, y), (output, y))


def _draw_arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    shape = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0}
    ax.add_patch(FancyArrowPatch(start, end, color=INK, lw=1, **shape))


def _draw_node(ax: Axes, node: Node, y: float) -> None:
    if node.kind == "+":
        ax.add_patch(Circle((node.x, y), PLUS, facecolor="white", edgecolor=INK, lw=1))
        ax.plot(node.x, y, "+", color=INK, markersize=8)
        return
    corner = (node.x - BOX / 2, y - HEIGHT / 2)
    edge = {"edgecolor": ORANGE, "lw": 2.2} if node.strided else {"edgecolor": INK, "lw": 0.8}
    style = "round,pad=0,rounding_size=6"
    ax.add_patch(FancyBboxPatch(corner, BOX, HEIGHT, style, facecolor=FILLS[node.kind], **edge))
    lines = "\n".join(node.words)
    ax.text(node.x, y, lines, ha="center", va="center", fontsize=8.5, linespacing=1.25)


def _draw_shortcut(ax: Axes, start: float, end: float, y: float) -> None:
    above = y - HEIGHT / 2 - 11
    ax.plot([start, start, end], [y, above, above], color=INK, lw=1)
    _draw_arrow(ax, (end, above), (end, y - PLUS))


def _draw_legend(ax: Axes, nodes: list[Node], y: float) -> None:
    kinds, strided = {node.kind for node in nodes}, any(node.strided for node in nodes)
    entries = [(words, fill, INK, 0.8) for words, fill in FILLS.items() if words in kinds]
    entries += [("halves the map (stride 2)", "white", ORANGE, 2.2)] * strided
    x = LEFT
    for words, fill, edge, width in entries:
        ax.add_patch(Rectangle((x, y - 7), 14, 14, facecolor=fill, edgecolor=edge, lw=width))
        ax.text(x + 20, y, words, va="center", fontsize=9, color=INK)
        x += 46 + 6.5 * len(words)
