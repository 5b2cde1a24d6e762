"""A network at a glance: torchsummary's table, and a small one by block."""

import contextlib
import copy
import io
from dataclasses import dataclass

import torch
from torch import nn

from ..grading import blocks, receptive_fields, trace

__all__ = ["Stage", "format_stages", "layer_table", "stage_table"]


@dataclass(frozen=True)
class Stage:
    """One block of a network, or what of it belongs to none ("never run")."""

    name: str
    shape: tuple[int, ...]  # output, without the batch
    parameters: int
    multiply_adds: int  # of its convolutions and matrix products, for one image
    receptive_field: int | None  # pixels; None where the output is no map


def layer_table(network: nn.Module, side: int = 32) -> str:
    """torchsummary's table, one row for each layer, for images (3, side, side).

    It runs on a float32 copy in eval mode and on the CPU, and gives the random generator back: by
    itself torchsummary would move the running statistics. Raises ValueError if it can't read the
    network, or if its total is not the network's (it counts a layer twice that is used twice).
    """
    import torchsummary  # train.py has to run on machines without it

    text = io.StringIO()
    try:
        with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(text):
            torchsummary.summary(_copy(network), (3, side, side), device="cpu")
    except (AttributeError, TypeError) as error:
        raise ValueError(
            "torchsummary cannot read this network, stage_table can: "
            "print(format_stages(stage_table(network)))"
        ) from error
    total = sum(parameter.numel() for parameter in network.parameters())
    if f"Total params: {total:,}\n" not in text.getvalue():
        raise ValueError(
            f"torchsummary miscounts this network, which has {total:,} parameters: does it use a "
            "layer twice, or never, or hold parameters outside of its layers?"
        )
    return text.getvalue()


def stage_table(network: nn.Module, side: int = 32) -> list[Stage]:
    """One `Stage` for each block of the network, for images (3, side, side).

    A parameter counts in the first block that uses it; a last row holds those that none uses. So
    the rows add up to the network.
    """
    network = _copy(network)
    fields = receptive_fields(network, side)
    unused = {name: parameter.numel() for name, parameter in network.named_parameters()}
    rows = []
    for block in blocks(trace(network, torch.zeros(1, 3, side, side))):
        used = {name for op in block.operations for name in op.parameters}
        rows.append(
            Stage(
                block.name,
                block.out_shape[1:],
                sum(unused.pop(name) for name in used & unused.keys()),
                sum(op.multiply_adds for op in block.operations),
                max(fields[block.name].shape) if block.name in fields else None,
            )
        )
    return rows + ([Stage("never run", (), sum(unused.values()), 0, None)] if unused else [])


def format_stages(rows: list[Stage]) -> str:
    """The stages as an aligned table with a line of totals."""
    lines = [("stage", "output", "parameters", "multiply-adds", "receptive field")]
    for row in rows:
        shape = "×".join(map(str, row.shape))
        field = row.receptive_field or ("whole image" if shape else "")
        work = f"{row.multiply_adds / 1e6:.2f} M"
        lines.append((row.name, shape, f"{row.parameters:,}", work, str(field)))
    parameters = sum(row.parameters for row in rows)
    work = sum(row.multiply_adds for row in rows) / 1e6
    lines.append(("total", "", f"{parameters:,}", f"{work:.2f} M", ""))
    first = max(len(name) for name, *_ in lines)
    return "\n".join(
        f"{name:{first}}{shape:>12}{count:>14}{madds:>16}{field:>18}".rstrip()
        for name, shape, count, madds, field in lines
    )


def _copy(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).cpu().float().eval()
