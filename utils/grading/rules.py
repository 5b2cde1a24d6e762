"""The assignment's rules for a network and for a run: what is measured, and if it is right."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import nn

from .blocks import blocks, convs_on_maps, final_map, pools, shrinks, unpadded_shape
from .receptive_field import receptive_field
from .trace import Operation

__all__ = ["Rule", "find_weights", "first_line", "network_rules", "run_rules"]

WRAPPED = re.compile(r"^(module\.|_orig_mod\.)+")


@dataclass(frozen=True)
class Rule:
    """One line of the sheet: what the assignment asks for and what was measured."""

    number: str  # the assignment's
    name: str
    required: str
    measured: str
    passed: bool | None  # None: nothing was given to measure it on


def network_rules(network: nn.Module, operations: list[Operation]) -> list[Rule]:
    """The rules for a network and what it did on images; no operations: it did not run."""
    found = blocks(operations)
    sizes = _counted(f"{block.name} {_x(block.out_shape[2:])}".strip() for block in found)
    four = len(found) == 5 and found[-1].name == "O"
    # A global maximum may be a gate's; in the output block it is max-pooling.
    ending = found[-1].operations if found and found[-1].name == "O" else ()
    poolings = [op for op in operations if pools(op) or (op in ending and "max_pool" in op.name)]
    pooled = _counted(f"{_name(op)} {op.in_shape[2]}→{op.out_shape[2]}" for op in poolings)
    pairs = _separable_pairs(operations)
    dilated = [op for op in convs_on_maps(operations) if _is_dilated(op)]
    dilations = _counted(f"{_x(op.kernel)} dilation {max(op.dilation)}" for op in dilated)
    weights = nn.Module.parameters(network)  # also those that never run
    count = sum(weight.numel() for weight in weights)
    return [
        Rule("2", "blocks", "C1 C2 C3 C4 and O", sizes, four),
        Rule("2", "downsampling", "three 3×3 of stride 2", *_downsampling(operations, poolings)),
        Rule("2", "pooling besides GAP", "none", pooled, bool(operations) and not poolings),
        Rule("3", "receptive field", "more than 44", *_reach(network)),
        Rule("4", "depthwise separable", "depthwise, then 1×1", _counted(pairs), bool(pairs)),
        Rule("5", "dilated convolution", "at least one", dilations, bool(dilated)),
        Rule("6", "global average pooling", "over the whole map", *_global_average(operations)),
        Rule("8", "parameters", "fewer than 200,000", f"{count:,}", count < 200_000),
    ]


def run_rules(network: nn.Module, accuracy: float | None, run_dir: Path | str | None) -> list[Rule]:
    """The rules for a run: its test accuracy, a fraction 0–1, and the folder of its checkpoints.

    Raises ValueError for an accuracy that is no such fraction.
    """
    reached = "", None
    if accuracy is not None:
        accuracy = float(accuracy)  # from NumPy or torch, whose False is not Python's
        if not 0 <= accuracy <= 1:
            raise ValueError(f"an accuracy is a fraction, 0.85 for 85 %, not {accuracy:g}")
        reached = f"{accuracy:.2%}", accuracy >= 0.85
    kept = ("", None) if run_dir is None else _checkpoints(network, Path(run_dir))
    return [
        Rule("8", "test accuracy", "at least 85%", *reached),
        Rule("9", "checkpoints", "the best and the last", *kept),
    ]


def _downsampling(operations: list[Operation], poolings: list[Operation]) -> tuple[str, bool]:
    """Three strided 3×3 convolutions, or dilated kernels in their place for 200 points."""
    convs = convs_on_maps(operations)
    strided = [op for op in convs if max(op.stride) > 1 and not op.transposed]
    shrinking = [op for op in convs if _is_dilated(op) and shrinks(op)]
    # Dilated kernels stand in the place of all three strides only where they make maps smaller.
    if len(shrinking) >= 3 and not strided and not poolings:
        sides = [unpadded_shape(op)[2] for op in shrinking] + [shrinking[-1].out_shape[2]]
        way = "→".join(map(str, dict.fromkeys(sides)))
        return f"dilation alone: {way} (+200 points)", True
    kinds = {(2, 2): "", (1, 1): " dilated"}  # another stride stands behind the kernel, as 3×3/3
    words = _counted(
        f"{_x(op.kernel)}{kinds.get(op.stride, f'/{op.stride[0]}')} "
        f"{unpadded_shape(op)[2]}→{op.out_shape[2]}"
        for op in convs
        if op in strided or op in shrinking
    )
    return words, [(op.kernel, op.stride) for op in strided] == 3 * [((3, 3), (2, 2))]


def _reach(network: nn.Module) -> tuple[str, bool]:
    try:
        reach = max(receptive_field(network).shape)
    except Exception as error:  # for example a network that takes one size only
        return f"not to be had: {first_line(error)}", False
    return f"{reach}", reach > 44


def _separable_pairs(operations: list[Operation]) -> list[str]:
    """Depthwise convolutions, each with the 1×1 convolution that takes what it puts out.

    What keeps the number of values (norm, activation, gate) may lie between. Where two ways are
    added, neither goes on.
    """
    source, pairs = {}, []  # source: the convolution whose values an operation passes on
    for op in operations:
        same = [i for i in op.inputs if i.output.numel() == op.output.numel()]
        ways = {source[i] for i in same if i.name != "expand"}  # a gate that is spread over the map
        source[op] = op if op.is_conv else ways.pop() if len(ways) == 1 else None
        first = source[op.inputs[0]] if op.is_conv and op.inputs else None
        if first and op.kernel == (1, 1) and op.groups == 1:
            if max(first.kernel) > 1 and first.groups == first.in_shape[1] > 1:
                pairs.append(f"{first.groups}→{op.out_shape[1]}")
    return pairs


def _global_average(operations: list[Operation]) -> tuple[str, bool]:
    """The mean of the last map: numbers are compared, so every way to write it counts."""
    last = final_map(operations)
    if not last:
        return "no map to average", False
    later, features = operations[operations.index(last) + 1 :], last.output.float()
    # The second order of axes is that of maps (N, H, W, C), as a norm of channels wants them.
    for axes in ((2, 3), (1, 2)):
        mean, spread = features.mean(axes), features.std(axes) + 1e-4 * features.abs().max()
        if any(_is_close(op.output, mean, spread) for op in later):
            sides = [last.out_shape[axis] for axis in axes]
            return f"mean of {_x(sides)}, {mean.shape[1]} channels", True
    for op in later:
        if "pool" in op.name or op.name in ("amax", "max", "mean", "sum"):
            window = f" of {_x(op.args[1])}" if op.name.startswith(("avg_pool", "max_pool")) else ""
            sides = f"{_x(op.in_shape[2:])}→{_x(op.out_shape[2:]) or 1}"
            return f"{_name(op)}{window}: {sides}", False
    return f"none: {_x(last.out_shape[1:])} is flattened", False


def _checkpoints(network: nn.Module, run_dir: Path) -> tuple[str, bool]:
    """Whether best.pt and last.pt hold weights that fit the network, alone or within a dict."""
    words = []
    for name in ("best", "last"):
        try:
            state = torch.load(run_dir / f"{name}.pt", map_location="cpu", weights_only=True)
            weights = find_weights(state, network)
        except FileNotFoundError:
            return f"no {name}.pt", False
        except UnpicklingError:
            return f"{name}.pt holds more than weights: save network.state_dict() alone", False
        except Exception as error:  # a damaged file fails in many ways
            return f"{name}.pt can't be read: {first_line(error)}", False
        if weights is None:
            return f"{name}.pt is another network's", False
        run = state.get("run")
        ours = isinstance(run, dict) and "history" in run
        words.append(f"{name}: " + (f"epoch {len(run['history'])}" if ours else "weights"))
    return ", ".join(words), True


def find_weights(state: dict, network: nn.Module) -> dict[str, torch.Tensor] | None:
    """The weights that fit a network in what was saved, alone or within a dict; None without."""
    names = {WRAPPED.sub("", name): name for name in network.state_dict()}
    wanted = [value.shape for value in network.state_dict().values()]
    for inside in (state, *state.values()):
        # torch.compile and DataParallel put words of their own in front of names.
        tensors = inside.items() if isinstance(inside, dict) else ()
        found = {WRAPPED.sub("", name): x for name, x in tensors if torch.is_tensor(x)}
        if found.keys() == names.keys() and [found[name].shape for name in names] == wanted:
            return {own: found[name] for name, own in names.items()}
    return None


def _is_dilated(conv: Operation) -> bool:
    return max(conv.dilation) > 1 and max(conv.kernel) > 1


def _is_close(values: torch.Tensor, mean: torch.Tensor, spread: torch.Tensor) -> bool:
    """Whether they differ by rounding only, which 1 % of each map's spread leaves room for."""
    same_size = values.numel() == mean.numel()
    return same_size and bool(((values.reshape(mean.shape) - mean).abs() <= 0.01 * spread).all())


def _name(op: Operation) -> str:
    return op.name.removeprefix("_").removesuffix("_with_indices")


def _counted(words: Iterable[str]) -> str:
    counts = Counter(words).items()
    return ", ".join(f"{word} ×{n}" if n > 1 else word for word, n in counts) or "none"


def _x(sizes: Iterable[int]) -> str:
    return "×".join(map(str, sizes))


def first_line(error: Exception) -> str:
    """An error in a few words."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
