"""A network at a glance: torchsummary's table, and a small one by block."""

import contextlib
import copy
import io
from dataclasses import dataclass

import torch
from torch import nn

from ..grading import Block, blocks, receptive_fields, trace

__all__ = ["Stage", "layer_table", "run_blocks", "stage_table"]


@dataclass(frozen=True)
class Stage:
    """One block of a network, or what of it belongs to none ("never run")."""

    name: str
    shape: tuple[int, ...]  # output, without the batch
    parameters: int
    multiply_adds: int  # of its convolutions and matrix products, for one image
    receptive_field: int | None  # pixels; None where the output is no map


def _copy(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).cpu().float().eval()


def run_blocks(network: nn.Module) -> list[Block]:
    """The blocks of a copy of the network that runs on an image (1, 3, 32, 32)."""
    return blocks(trace(_copy(network), torch.zeros(1, 3, 32, 32)))


def layer_table(network: nn.Module) -> str:
    """torchsummary's table, one row for each layer, for images (3, 32, 32).

    It runs on a float32 copy in eval mode and on the CPU, and gives the random generator back: by
    itself torchsummary would move the running statistics. Raises ValueError if it can't read the
    network, or if its total is not the network's (it counts a layer twice that is used twice).
    """
    import torchsummary  # experiments.py runs on machines without it

    text = io.StringIO()
    try:
        with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(text):
            torchsummary.summary(_copy(network), (3, 32, 32), device="cpu")
    except (AttributeError, TypeError) as error:
        raise ValueError(
            "torchsummary cannot read this network, stages_table(network) can"
        ) from error
    total = sum(parameter.numel() for parameter in network.parameters())
    if f"Total params: {total:,}\n" not in text.getvalue():
        raise ValueError(
            f"torchsummary miscounts this network, which has {total:,} parameters: does it use a "
            "layer twice, or never, or hold parameters outside of its layers?"
        )
    return text.getvalue()


def stage_table(network: nn.Module) -> list[Stage]:
    """One `Stage` for each block of the network, for images (3, 32, 32).

    A parameter counts in the first block that uses it; a last row holds those that none uses. So
    the rows add up to the network.
    """
    fields = receptive_fields(network)
    unused = {name: parameter.numel() for name, parameter in network.named_parameters()}
    rows = []
    for block in run_blocks(network):
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
