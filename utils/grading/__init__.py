"""What a network, an augmentation and a run really do, and the assignment's rules on them."""

from .augmentation_rules import measure_augmentation
from .blocks import Block, blocks
from .receptive_field import effective_field, receptive_field, receptive_fields, side_that_holds
from .rules import Rule, find_weights, first_line
from .sheet import SpecSheet, spec_sheet
from .trace import Operation, copy_network, trace

__all__ = [
    "Block",
    "Operation",
    "Rule",
    "SpecSheet",
    "blocks",
    "copy_network",
    "effective_field",
    "find_weights",
    "first_line",
    "measure_augmentation",
    "receptive_field",
    "receptive_fields",
    "side_that_holds",
    "spec_sheet",
    "trace",
]
