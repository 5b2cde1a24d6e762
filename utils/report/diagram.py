"""A network as a picture, drawn from what it does when it runs."""

from collections.abc import Iterable
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Patch, Rectangle
from torch import nn

from ..grading import Block, Operation
from .plot import ORANGE, new_figure
from .summary import Stage, run_blocks, stage_table

__all__ = ["Node", "draw_network", "lanes"]

# Light enough for black letters; told apart by colour-blind people, and the words say it as well.
FILLS = {
    "dense": "#BCD9EF",
    "dense, dilated": "#BFE5CB",
    "depthwise separable": "#E6CBEA",
    "pooling, linear": "#E4E4E4",
}
# Lengths are pixels of a picture 900 pixels wide.
LANE, TOP, BOTTOM, LEFT = 102, 34, 46, 64
OUTPUT, FIELD, MARGIN = 768, 84, 48  # the column of maps, the next one from there, the rest
BOX, HEIGHT, GAP, PLUS = 102, 52, 15, 9
MAP_SCALE = 1.7  # for one pixel of a feature map
INK, PALE = "#333333", "#777777"
CENTRED = {"ha": "center", "va": "center", "color": INK}
STRIDED, PLAIN = {"edgecolor": ORANGE, "linewidth": 2.2}, {"edgecolor": INK, "linewidth": 0.8}


@dataclass(eq=False)
class Node:
    """A box: a convolution with what follows it, a pooling or a linear layer; or the + of a sum."""

    kind: str  # a key of `FILLS`, or "+"
    words: list[str]  # its lines
    inputs: list["Node"]
    strided: bool = False
    x: float = 0  # its left end

    @property
    def width(self) -> int:
        return 2 * PLUS if self.kind == "+" else BOX


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
            before = sources[0] if sources else None
            if before and op.is_conv and op.kernel == (1, 1) and _awaits_1x1(before):
                before.words[-1] = f"1×1: {_channels(op)}"
                made[op] = before
            elif node := _node(op, sources):
                made[op] = node
                result[-1].append(node)
            elif before:
                made[op] = before
    return result


def _awaits_1x1(node: Node) -> bool:
    return node.kind == "depthwise separable" and not node.words[-1].startswith("1×1")


def _channels(op: Operation) -> str:
    return f"{op.in_shape[1]}→{op.out_shape[1]}"


def _node(op: Operation, sources: list[Node]) -> Node | None:
    """A box of its own, or None for an operation that belongs to the box before it."""
    if op.is_conv:
        size, stride, dilation = "×".join(map(str, op.kernel)), max(op.stride), max(op.dilation)
        depthwise = 1 < op.groups == op.in_shape[1]
        extra = [f"stride {stride}"] * (stride > 1) + [f"dilation {dilation}"] * (dilation > 1)
        kind = "dense, dilated" if dilation > 1 else "dense"
        words = [size + " depthwise" * depthwise, *extra, _channels(op)]
        return Node("depthwise separable" if depthwise else kind, words, sources, stride > 1)
    if op.name in ("add", "add_") and len(sources) == 2:
        return Node("+", ["+"], sources)
    if op.multiply_adds:
        return Node("pooling, linear", ["linear", _channels(op)], sources)
    if "pool" in op.name or op.name == "mean":
        whole = op.name == "mean" or op.out_shape[2:] in ((), (1, 1))
        size = "×".join(map(str, op.in_shape[2:]))
        words = ["global average" if whole else "pooling", f"of {size}"]
        return Node("pooling, linear", words, sources)
    return None


def draw_network(network: nn.Module) -> Figure:
    """The blocks of a network as rows of boxes, with shapes, shortcuts and receptive fields.

    It is drawn from the operations that the live network runs on an image (3, 32, 32). The
    squares on the right are its feature maps, to scale. The picture is 900 pixels wide, or wider
    where a block has more than five boxes and two shortcuts.
    """
    rows, stages = lanes(run_blocks(network)), stage_table(network)
    height = TOP + LANE * len(rows) + BOTTOM
    longest = max(sum(node.width + GAP for node in nodes) for nodes in rows)
    output = max(OUTPUT, LEFT + longest + 50)
    width = output + FIELD + MARGIN
    fig, ((ax,),) = new_figure(width / 100, height / 100)
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    ax.axis("off")
    heads = ("image 3×32×32", "output", "receptive\nfield")
    for x, words in zip((LEFT + BOX / 2, output, output + FIELD), heads, strict=True):
        ax.text(x, TOP / 2, words, fontsize=9, **CENTRED | {"color": PALE})
    for row, nodes in enumerate(rows):
        y = TOP + LANE * (row + 0.5)
        ax.axhline(y - LANE / 2, color="0.9", linewidth=1)
        _draw_lane(ax, nodes, _draw_stage(ax, stages[row], output, y), y)
    nodes = [node for row in rows for node in row]
    kinds = {node.kind for node in nodes}
    legend = [Patch(facecolor=FILLS[kind], label=kind, **PLAIN) for kind in FILLS if kind in kinds]
    if any(node.strided for node in nodes):
        legend.append(Patch(facecolor="white", label="halves the map (stride 2)", **STRIDED))
    style = {"frameon": False, "handlelength": 1.2, "handleheight": 1.2, "columnspacing": 1}
    ax.legend(handles=legend, loc="lower center", ncols=len(legend), fontsize=9, **style)
    return fig


def _draw_stage(ax: Axes, stage: Stage, x: float, y: float) -> float:
    """Name on the left, map and receptive field on the right; where the arrow to the map ends."""
    ax.text(8, y, stage.name, va="center", fontsize=14, weight="bold", color=INK)
    is_map = len(stage.shape) == 3
    edge = MAP_SCALE * stage.shape[1] if is_map else 10
    for shift in (3, 0, -3) if is_map else ():  # from the back to the front
        corner = (x - edge / 2 + shift, y - 9 - edge / 2 - shift)
        ax.add_patch(Rectangle(corner, edge, edge, facecolor="white", **PLAIN))
    ax.text(x, y + 33 * is_map, "×".join(map(str, stage.shape)), fontsize=9, **CENTRED)
    reach = stage.receptive_field
    words = f"{reach}×{reach}" if reach else "whole\nimage"
    ax.text(x + FIELD, y, words, fontsize=10, **CENTRED)
    return x - edge / 2 - 8


def _draw_lane(ax: Axes, nodes: list[Node], output: float, y: float) -> None:
    """Boxes from left to right up to the output, and the way around them into a sum."""
    x = LEFT
    for place, node in enumerate(nodes):
        _draw_arrow(ax, (x - GAP, y), (x, y))
        node.x = x
        if node.kind == "+":
            ax.add_patch(Circle((x + PLUS, y), PLUS, facecolor="white", **PLAIN))
            ax.plot(x + PLUS, y, "+", color=INK, markersize=8)
            for source in node.inputs:
                if source in nodes and source is not nodes[place - 1]:
                    start, above = source.x + source.width + GAP / 2 - 2, y - HEIGHT / 2 - 11
                    ax.plot([start, start, x + PLUS], [y, above, above], color=INK, linewidth=1)
                    _draw_arrow(ax, (x + PLUS, above), (x + PLUS, y - PLUS))
        else:
            edge = {"facecolor": FILLS[node.kind], **(STRIDED if node.strided else PLAIN)}
            shape = {"boxstyle": "round,pad=0,rounding_size=6", **edge}
            ax.add_patch(FancyBboxPatch((x, y - HEIGHT / 2), BOX, HEIGHT, **shape))
            words = "\n".join(node.words)
            ax.text(x + BOX / 2, y, words, fontsize=8, linespacing=1.25, **CENTRED)
        x += node.width + GAP
    _draw_arrow(ax, (x - GAP, y), (output, y))


def _draw_arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    shape = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops={"color": INK, "linewidth": 1, **shape})
