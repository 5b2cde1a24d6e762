"""The blocks of a network, C1 C2 … and O, found in the operations that it ran."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from .trace import STATISTICS, Operation

__all__ = ["Block", "blocks", "convs_on_maps", "final_map", "pools", "shrinks", "unpadded_shape"]

GIVEN_NAME = re.compile(r"\bC\d+\b")  # "C3" in "net.C3.0.conv.weight"
# ATen's names. They may make a map smaller, but leave out no pixel between two that stay.
NO_POOLING = {"constant_pad_nd", "permute", "transpose", "split", "split_with_sizes", "glu"}
# Circular padding writes into a new_empty.
PADS = {"constant_pad_nd", "replication_pad2d", "reflection_pad2d", "new_empty"}


@dataclass(frozen=True, eq=False)
class Block:
    """Operations that belong together: C1, C2, … hold the convolutions, O is what follows them."""

    name: str
    operations: tuple[Operation, ...]

    @property
    def map(self) -> Operation | None:
        """The operation that puts out its last feature map."""
        return final_map(self.operations)

    @property
    def out_shape(self) -> tuple[int, ...]:
        return (self.map or self.operations[-1]).out_shape


def blocks(operations: list[Operation]) -> list[Block]:
    """C1, C2, … and O of the network that did these operations.

    Where modules are called C1 to C4, they are the blocks. Otherwise a block is what lies between
    two changes of resolution, whatever the modules are called: between strides and poolings or,
    where there are none, between unpadded dilated kernels. The layer that changes the resolution
    opens the next block; it ends its own where the network begins with it. O is all that comes
    after the last convolution over a map and after the map itself.
    """
    convs = convs_on_maps(operations)
    ends = {*convs[-1:], final_map(operations)}
    end = max((place for place, op in enumerate(operations, 1) if op in ends), default=0)
    body = operations[:end]
    names = _given_names(body, convs) or _names_by_resolution(body, convs)
    found = {}
    for op, name in zip(operations, names + ["O"] * (len(operations) - end), strict=True):
        found.setdefault(name, []).append(op)
    return [Block(name, tuple(its_operations)) for name, its_operations in found.items()]


def convs_on_maps(operations: list[Operation]) -> list[Operation]:
    """The convolutions over more than one position: not those of a gate, nor those of an output."""
    return [op for op in operations if op.is_conv and prod(op.in_shape[2:]) > 1]


def final_map(operations: Iterable[Operation]) -> Operation | None:
    """The operation that puts out the last feature map, the one that pooling or flattening ends.

    A padded map is none of its own: the padding belongs to the convolution that follows.
    """
    operations = list(operations)
    padded = {
        op.call for op in operations if op.name in PADS and prod(op.out_shape) > prod(op.in_shape)
    }
    results = {op.call: op for op in operations}  # of what a torch function does, the last one
    maps = (op for op in reversed(results.values()) if op.is_map and op.call not in padded)
    return next(maps, None)


def _given_names(body: list[Operation], convs: list[Operation]) -> list[str]:
    """The name C1, C2, … of each operation's module; nothing unless C1 and C4 convolve."""
    matches = [GIVEN_NAME.search(" ".join((op.module, *op.parameters))) for op in body]
    names = {op: match[0] for op, match in zip(body, matches, strict=True) if match}
    if not {"C1", "C4"} <= {names.get(op) for op in convs}:
        return []
    current = next(iter(names.values()))
    # What stands outside of all of them, as a transition layer does, belongs to the one before it.
    return [current := names.get(op, current) for op in body]


def _names_by_resolution(body: list[Operation], convs: list[Operation]) -> list[str]:
    """A block lies between two changes of resolution: it opens with one, or else it ends with one.

    It opens with one where the first convolution keeps the resolution (conv, down, conv, down), and
    ends with one where the first convolution changes it itself (down, conv, down).
    """
    strides = {op for op in body if op.is_conv and max(op.stride) > 1 and not op.transposed}
    poolings = {op for op in body if pools(op) and op.is_map and op.out_shape != op.in_shape}
    dilations = {op for op in body if op.is_conv and max(op.dilation) > 1 and shrinks(op)}
    changes = strides | poolings or dilations
    before, after = {}, {}  # changes of resolution on the way to an operation, and with its own
    for op in body:
        before[op] = max((after[maker] for maker in op.inputs), default=0)
        after[op] = before[op] + (op in changes)
    level = after if any(after[op] == 0 for op in convs) else before
    with_convs = sorted({level[op] for op in convs})
    # A level without convolutions, as a last pooling makes it, belongs to the one before it.
    return [f"C{max(1, sum(start <= level[op] for start in with_convs))}" for op in body]


def unpadded_shape(conv: Operation) -> tuple[int, ...]:
    """The shape of a convolution's input before a padding of its own, as padding_mode makes it."""
    maker = conv.inputs[0] if conv.inputs else None
    return maker.in_shape if maker and maker.name in PADS else conv.in_shape


def shrinks(conv: Operation) -> bool:
    """Whether a convolution puts out fewer positions than it is given."""
    return prod(conv.out_shape[2:]) < prod(unpadded_shape(conv)[2:])


def pools(op: Operation) -> bool:
    """Whether it is pooling of any size, or else makes maps smaller without a convolution.

    One number for a whole map is not meant, nor is a crop, which takes off the rim only.
    """
    if op.is_conv or len(op.in_shape) != 4 or op.name in STATISTICS:
        return False
    if "pool" in op.name and prod(op.out_shape[2:]) == 1:
        return "adaptive" not in op.name and tuple(op.args[1]) != op.in_shape[2:]
    crops = op.name in NO_POOLING or (
        op.name == "slice" and (len(op.args) < 5 or op.args[4] == 1)  # its step
    )
    smaller = len(op.out_shape) == 4 and prod(op.out_shape[2:]) < prod(op.in_shape[2:])
    return "pool" in op.name or (smaller and not crops)
