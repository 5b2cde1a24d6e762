"""A network at a glance: a row for each block."""

from dataclasses import dataclass

import torch
from torch import nn

from ..grading import Block, blocks, copy_network, receptive_fields, trace

__all__ = ["Stage", "run_blocks", "stage_table"]


@dataclass(frozen=True)
class Stage:
    """One block of a network, or what of it belongs to none ("never run")."""

    name: str
    shape: tuple[int, ...]  # output, without the batch
    parameters: int
    multiply_adds: int  # of its convolutions and matrix products, for one image
    receptive_field: int | None  # pixels; None where the output is no map


def run_blocks(network: nn.Module) -> list[Block]:
    """The blocks of a copy of the network that runs on an image (1, 3, 32, 32)."""
    probe = copy_network(network).cpu().float().eval()
    return blocks(trace(probe, torch.zeros(1, 3, 32, 32)))


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
