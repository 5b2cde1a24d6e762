"""A network at a glance: torchsummary's table, and a small one by stage."""
import contextlib
import copy
import io
from dataclasses import dataclass

import torch
from torch import nn

from ..grading.receptive_field import receptive_fields
from ..grading.trace import stages, trace

__all__ = ["Stage", "format_stages", "layer_table", "stage_table"]


@dataclass(frozen=True)
class Stage:
    name: str
    shape: tuple[int, ...]       # output, without the batch
    parameters: int
    multiply_adds: int           # of its convolutions and linear layers, for one image
    receptive_field: int | None  # pixels; None where the output is no map: it has seen the whole image


def layer_table(network: nn.Module, side=32) -> str:
    """torchsummary's table, one row for each layer, for images (3, side, side).

    It runs on a copy in eval mode and on the CPU, and gives the random generator back: by itself torchsummary would move
    the running statistics. Raises ValueError if it can't read the network, or if its total is
    not the network's (it counts a layer twice that is used twice).
    """
    import torchsummary  # train.py has to run on machines without it

    text = io.StringIO()
    try:
        with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(text):
            torchsummary.summary(copy.deepcopy(network).cpu().eval(), (3, side, side), device="cpu")
    except (AttributeError, TypeError) as error:
        raise ValueError("torchsummary cannot read this network, stage_table can: print(format_stages(stage_table(network)))") \
            from error
    total = sum(parameter.numel() for parameter in network.parameters())
    if f"Total params: {total:,}\n" not in text.getvalue():
        raise ValueError(f"torchsummary miscounts this network, which has {total:,} parameters: does it use a "
                         "layer twice, or never, or hold parameters outside of its layers?")
    return text.getvalue()


def stage_table(network: nn.Module, side=32) -> list[Stage]:
    """One `Stage` for each block of the network, for images (3, side, side)."""
    images = torch.zeros(1, 3, side, side)
    operations = trace(copy.deepcopy(network).cpu().eval(), images)
    fields = receptive_fields(network, side)
    rows = []
    for name, block in stages(network).items():
        own = [op for op in operations if op.stage == name]
        if own:
            shape = own[-1].out_shape[1:]
            rows.append(Stage(name, shape, sum(p.numel() for p in block.parameters()), sum(map(_multiply_adds, own)),
                              max(fields[name].shape) if name in fields and len(shape) == 3 else None))
    return rows


def _multiply_adds(op) -> int:
    if op.is_conv:
        _, channels, rows, columns = op.out_shape
        return channels * rows * columns * (op.in_shape[1] // op.groups) * op.kernel[0] * op.kernel[1]
    if op.name == "addmm":  # aten::addmm(bias, input, weight)
        return op.args[1][1] * op.args[2][1]
    if op.name == "mm":  # a linear layer without bias: aten::mm(input, weight)
        return op.args[0][1] * op.args[1][1]
    return 0


def format_stages(rows: list[Stage]) -> str:
    """The stages as an aligned table with a line of totals."""
    lines = [("stage", "output", "parameters", "multiply-adds", "receptive field")]
    lines += [(row.name, "×".join(map(str, row.shape)), f"{row.parameters:,}", f"{row.multiply_adds / 1e6:.2f} M",
               str(row.receptive_field or "whole image")) for row in rows]
    lines.append(("total", "", f"{sum(row.parameters for row in rows):,}",
                  f"{sum(row.multiply_adds for row in rows) / 1e6:.2f} M", ""))
    return "\n".join(f"{name:8}{shape:>12}{parameters:>14}{madds:>16}{field:>18}".rstrip()
                     for name, shape, parameters, madds, field in lines)
