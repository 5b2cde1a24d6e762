"""What a network, an augmentation and a run really do, and the assignment's rules measured on them."""
from .augmentation import measure_policy
from .receptive_field import effective_field, receptive_fields, side_that_holds
from .sheet import SpecSheet, spec_sheet
from .trace import stages, trace

__all__ = ["SpecSheet", "effective_field", "measure_policy", "receptive_fields", "side_that_holds", "spec_sheet", "stages", "trace"]
