"""The assignment's rules for a network, each a function from evidence to a `Rule`."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from .blocks import Block, convs_on_maps, final_map, pools, shrinks, unpadded_shape
from .trace import Operation

__all__ = ["NETWORK_RULES", "Evidence", "Rule", "first_line"]


@dataclass(frozen=True)
class Rule:
    """One line of the sheet: what the assignment asks for and what was measured."""

    number: str  # the assignment's
    rule: str
    required: str
    measured: str
    passed: bool | None  # None: nothing was given to measure it on


@dataclass(frozen=True)
class Evidence:
    """What was seen when a network ran on images (2, 3, H, W). No operations: it did not run."""

    network: nn.Module
    num_classes: int
    device: str
    logits: tuple[int, ...] | str  # their shape, or what came in their place
    operations: list[Operation]
    blocks: list[Block]
    reach: int | str  # the receptive field in pixels, or why it can't be measured


def runs(seen: Evidence) -> Rule:
    """It runs on the device it is given, and puts out logits."""
    wanted = (2, seen.num_classes)
    words = f"{seen.logits} on {seen.device}" if seen.operations else f"{seen.logits}"
    return Rule("1", "runs on GPU or CPU", f"logits {wanted}", words, seen.logits == wanted)


def four_blocks(seen: Evidence) -> Rule:
    """C1 to C4 with convolutions over maps, and O behind them."""
    names = [block.name for block in seen.blocks]
    words = ", ".join(
        block.name if block.name == "O" else f"{block.name} {_x(block.out_shape[2:])}"
        for block in seen.blocks
    )
    passed = len(names) == 5 and names[-1] == "O"
    return Rule("2", "blocks", "C1 C2 C3 C4 and O", words or "none", passed)


def downsampling(seen: Evidence) -> Rule:
    """Three strided 3×3 convolutions, or dilated kernels in their place for 200 points."""
    convs = convs_on_maps(seen.operations)
    strided = [op for op in convs if max(op.stride) > 1]
    shrinking = [op for op in convs if _is_dilated(op) and shrinks(op)]
    # Dilated kernels stand in the place of all three strides only where they make maps smaller.
    if len(shrinking) >= 3 and not strided and not any(map(pools, seen.operations)):
        sides = [unpadded_shape(op)[2] for op in shrinking] + [shrinking[-1].out_shape[2]]
        way = "→".join(map(str, dict.fromkeys(sides)))
        words, passed = f"dilation alone: {way} (+200 points)", True
    else:
        words = _counted(
            f"{_x(op.kernel)}{'' if op.stride == (2, 2) else f'/{op.stride[0]}'} "
            f"{unpadded_shape(op)[2]}→{op.out_shape[2]}"
            for op in strided
        )
        passed = [(op.kernel, op.stride) for op in strided] == 3 * [((3, 3), (2, 2))]
    return Rule("2", "downsampling", "three 3×3 of stride 2", words, passed)


def no_other_pooling(seen: Evidence) -> Rule:
    """Nothing but convolutions makes maps smaller, global average pooling aside."""
    found = [op for op in seen.operations if pools(op)]
    words = _counted(f"{_name(op)} {op.in_shape[2]}→{op.out_shape[2]}" for op in found)
    return Rule("2", "pooling besides GAP", "none", words, bool(seen.operations) and not found)


def wide_view(seen: Evidence) -> Rule:
    """The receptive field of the last map."""
    passed = isinstance(seen.reach, int) and seen.reach > 44
    return Rule("3", "receptive field", "more than 44", f"{seen.reach}", passed)


def depthwise_separable(seen: Evidence) -> Rule:
    """One kernel for each channel, then a 1×1 convolution that mixes the channels."""
    pairs = _separable_pairs(seen.operations)
    words = _counted(f"{first.groups}→{second.out_shape[1]}" for first, second in pairs)
    return Rule("4", "depthwise separable", "depthwise, then 1×1", words, bool(pairs))


def dilated(seen: Evidence) -> Rule:
    """A dilated convolution that really runs; a dilated 1×1 kernel is none."""
    found = [op for op in convs_on_maps(seen.operations) if _is_dilated(op)]
    words = _counted(f"{_x(op.kernel)} dilation {max(op.dilation)}" for op in found)
    return Rule("5", "dilated convolution", "at least one", words, bool(found))


def global_average_pooling(seen: Evidence) -> Rule:
    """The mean of the last map: numbers are compared, so every way to write it counts."""
    words, passed = "no map to average", False
    if last := final_map(seen.operations):
        later = seen.operations[seen.operations.index(last) + 1 :]
        features = last.output.float()
        words = f"none: {_x(last.out_shape[1:])} is flattened"
        for op in reversed(later):
            if "pool" in op.name or op.name in ("amax", "max", "mean", "sum"):
                words = f"{_name(op)} {_x(op.in_shape[2:])}→{_x(op.out_shape[2:]) or 1}"
        # The second order of axes is that of maps (N, H, W, C), as a norm of channels wants them.
        for axes in ((2, 3), (1, 2)):
            mean, spread = features.mean(axes), features.std()
            if any(_is_close(op.output, mean, spread) for op in later):
                sides = [last.out_shape[axis] for axis in axes]
                words, passed = f"mean of {_x(sides)}, {mean.shape[1]} channels", True
    return Rule("6", "global average pooling", "over the whole map", words, passed)


def parameters(seen: Evidence) -> Rule:
    """All of them, also those that never run."""
    count = sum(parameter.numel() for parameter in seen.network.parameters())
    return Rule("8", "parameters", "fewer than 200,000", f"{count:,}", count < 200_000)


NETWORK_RULES = (
    runs,
    four_blocks,
    downsampling,
    no_other_pooling,
    wide_view,
    depthwise_separable,
    dilated,
    global_average_pooling,
    parameters,
)


def _is_dilated(conv: Operation) -> bool:
    return max(conv.dilation) > 1 and max(conv.kernel) > 1


def _separable_pairs(operations: list[Operation]) -> list[tuple[Operation, Operation]]:
    """Depthwise convolutions, each with the 1×1 convolution that takes what it puts out.

    What keeps the number of values (norm, activation, gate) may lie between. Where two ways are
    added, neither goes on.
    """
    source, pairs = {}, []  # source: the convolution whose values an operation passes on
    for op in operations:
        ways = {source[i] for i in op.inputs if i.output.numel() == op.output.numel()}
        source[op] = op if op.is_conv else ways.pop() if len(ways) == 1 else None
        first = source[op.inputs[0]] if op.is_conv and op.inputs else None
        if first and op.kernel == (1, 1) and op.groups == 1:
            if max(first.kernel) > 1 and first.groups == first.in_shape[1] > 1:
                pairs.append((first, op))
    return pairs


def _is_close(values: torch.Tensor, mean: torch.Tensor, spread: torch.Tensor) -> bool:
    """Whether they differ by rounding only, which 1 % of the map's spread leaves room for."""
    if values.numel() != mean.numel() or not spread > 0:
        return False
    return bool(((values.reshape(mean.shape) - mean).abs() <= 0.01 * spread).all())


def _name(op: Operation) -> str:
    return op.name.removeprefix("_").removesuffix("_with_indices")


def _counted(words: Iterable[str]) -> str:
    counts = Counter(words).items()
    return ", ".join(f"{word} ×{n}" if n > 1 else word for word, n in counts) or "none"


def _x(sizes: Iterable[int]) -> str:
    return "×".join(map(str, sizes))


def first_line(error: Exception) -> str:
    """An error in a few words."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:60]}"
