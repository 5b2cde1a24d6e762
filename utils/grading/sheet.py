"""The assignment's rules, measured on a live network, policy and run: ``print(spec_sheet(network, policy))``."""
import copy
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..training.checkpoint import load_checkpoint
from ..training.device import get_device
from .augmentation import HOLE, Rule, measure_policy
from .receptive_field import receptive_fields
from .trace import Operation, trace

__all__ = ["SpecSheet", "spec_sheet"]


class SpecSheet(list):
    """A list of `Rule`; prints as a table."""

    @property
    def passed(self) -> bool:
        """Whether no rule that could be measured failed."""
        return all(rule.passed is not False for rule in self)

    def __str__(self) -> str:
        verdict = {True: "pass", False: "FAIL", None: "-"}
        rows = [("", "rule", "required", "measured", "verdict"),
                *((rule.number, rule.rule, rule.required, rule.measured, verdict[rule.passed]) for rule in self)]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        return "\n".join("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[4]]).rstrip()
                         for row in rows)


def spec_sheet(network: nn.Module, policy=None, *, accuracy=None, run_dir=None, side=32, num_classes=10) -> SpecSheet:
    """Measure every rule of the assignment on anybody's network, by running it on images (2, 3, side, side).

    `policy` is an albumentations Compose, `accuracy` the test accuracy as a fraction 0–1, `run_dir` the folder with
    best.pt and last.pt; a rule whose subject is not given is shown as not measured. The network is left as it is.
    """
    sheet = SpecSheet()

    def add(number, rule, required, measured, passed):
        sheet.append(Rule(number, rule, required, measured, passed))

    device = get_device()
    try:
        probe, images = copy.deepcopy(network).to(device).eval(), torch.zeros(2, 3, side, side, device=device)
        with torch.no_grad():
            logits = probe(images)
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else f"a {type(logits).__name__}, not a tensor"
        operations, ran = trace(probe, images), True
    except Exception as error:  # whatever somebody's network raises is the measurement
        operations, ran = [], False
        shape = _first_line(error)
    convs = [operation for operation in operations if operation.is_conv]
    add("1", "runs on cuda, else mps, else cpu", f"logits (2, {num_classes})", f"{shape}", shape == (2, num_classes))

    with_convs = list(dict.fromkeys(op.stage for op in convs if op.stage and max(op.in_shape[2:]) > 1))
    after = list(dict.fromkeys(op.stage for op in operations if op.stage and op.stage not in with_convs))
    add("2", "blocks", "C1 C2 C3 C4 and O", f"{len(with_convs)}: {_join(with_convs)}, then {_join(after)}",
        len(with_convs) == 4 and len(after) == 1)
    strided = [op for op in convs if max(op.stride) > 1]
    dilated = [op for op in convs if max(op.dilation) > 1 and max(op.kernel) > 1]
    if strided or not dilated:
        way = ", ".join(f"{_x(op.kernel)}/{op.stride[0]} {op.in_shape[2]}→{op.out_shape[2]}" for op in strided) or "none"
        down = len(strided) == 3 and all(op.kernel == (3, 3) and op.stride == (2, 2) for op in strided)
    else:
        sides = [op.in_shape[2] for op in dilated] + [dilated[-1].out_shape[2]]
        way, down = f"dilation alone: {'→'.join(map(str, dict.fromkeys(sides)))} (+200 points)", True
    add("2", "downsampling", "three 3×3 convolutions of stride 2", way, down)
    gap, ending = _global_pooling(operations)
    pools = [op for op in operations if _subsamples(op)]
    add("2", "pooling besides global average", "none", _join(dict.fromkeys(f"{_name(op)} {op.in_shape[2]}→{op.out_shape[2]}"
                                                               for op in pools)), ran and not pools)

    try:
        fields = receptive_fields(network, side)
        reach = max(fields[""].shape) if "" in fields else 0
        add("3", "receptive field", "more than 44", f"{reach}", reach > 44)
    except Exception as error:  # a network that takes one size only
        add("3", "receptive field", "more than 44", f"not to be had: {_first_line(error)}", False)

    pairs = [(first, second) for first, second in ((op.source, op) for op in convs)
             if first and first.groups == first.in_shape[1] > 1 and max(first.kernel) > 1
             and second.kernel == (1, 1) and second.groups == 1]
    add("4", "depthwise separable convolution", "groups = channels, then 1×1",
        _join(f"{first.groups}→{second.out_shape[1]}" for first, second in pairs), bool(pairs))
    add("5", "dilated convolution", "at least one",
        f"{len(dilated)} of {_x(dilated[0].kernel)}, dilation {_join(map(str, sorted({max(op.dilation) for op in dilated})))}"
        if dilated else "none", bool(dilated))
    add("6", "global average pooling", "over the whole map", ending, gap)

    sheet += measure_policy(policy) if policy is not None else [Rule("7", "albumentations' policy", HOLE, "", None)]

    parameters = sum(parameter.numel() for parameter in network.parameters())
    add("8", "parameters", "fewer than 200,000", f"{parameters:,}", parameters < 200_000)
    add("8", "test accuracy", "at least 85%", "" if accuracy is None else f"{accuracy:.2%}",
        None if accuracy is None else accuracy >= 0.85)
    if run_dir is None:
        add("9", "checkpoints", "the best and the last", "", None)
    else:
        add("9", "checkpoints", "the best and the last", *_checkpoints(Path(run_dir), network))
    return sheet


def _subsamples(op: Operation) -> bool:
    """Whether an operation other than a convolution makes maps smaller, or is pooling of any size; GAP is not meant."""
    if op.is_conv or len(op.in_shape) != 4 or _averages_all(op, op.in_shape):
        return False
    if "pool" in op.name:
        return True
    skips_none = (op.name in ("constant_pad_nd", "permute", "transpose")  # a crop, or axes in another order
                  or op.name == "slice" and (len(op.args) < 5 or op.args[4] == 1))
    return (len(op.out_shape) == 4 and op.in_shape[0] == op.out_shape[0] and not skips_none
            and op.out_shape[2] * op.out_shape[3] < op.in_shape[2] * op.in_shape[3])


def _averages_all(op: Operation, shape) -> bool:
    """Whether an operation averages each channel of a map of this shape (N, C, H, W) over all of it."""
    count = shape[0] * shape[1]
    if int(np.prod(op.in_shape)) != int(np.prod(shape)) or int(np.prod(op.out_shape)) != count:
        return False
    return op.name in ("mean", "_adaptive_avg_pool2d") or op.name == "avg_pool2d" and tuple(op.args[1]) == tuple(shape[2:])


def _global_pooling(operations) -> tuple[bool, str]:
    last = next((i for i in reversed(range(len(operations))) if len(operations[i].out_shape) == 4
                 and np.prod(operations[i].out_shape[2:]) > 1), None)
    if last is None:
        return False, "no map to average"
    shape = operations[last].out_shape
    for op in operations[last + 1:]:
        if _averages_all(op, shape):
            return True, f"mean of {_x(shape[2:])}, {shape[1]} channels"
        if "pool" in op.name or op.name in ("amax", "max", "mean", "sum"):
            return False, f"{_name(op)} to {_x(op.out_shape[2:]) or 'one value'} on a {_x(shape[2:])} map"
    return False, f"none: {_x(shape[1:])} is flattened"


def _checkpoints(run_dir: Path, network: nn.Module) -> tuple[str, bool]:
    words = []
    for name in ("best", "last"):
        try:
            state = load_checkpoint(run_dir / f"{name}.pt")
        except (OSError, ValueError) as error:
            return f"no {name}.pt" if isinstance(error, FileNotFoundError) else _first_line(error), False
        shapes = [{key: value.shape for key, value in weights.items()} for weights in (state["network"], network.state_dict())]
        if shapes[0] != shapes[1]:
            return f"{name}.pt is another network's", False
        words.append(f"{name}: epoch {len(state['history'])}")
    return ", ".join(words), True


def _name(op: Operation) -> str:
    return op.name.removeprefix("_").removesuffix("_with_indices")


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:60]}"


def _x(sizes) -> str:
    return "×".join(str(size) for size in sizes)


def _join(words) -> str:
    return " ".join(words) or "none"
