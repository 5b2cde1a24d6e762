"""Records of runs, what they say about a claim, and tables and pictures of all that."""

from .claims import CONFIDENCE, judge, read_plan, signed
from .diagram import draw_network
from .plot import caption, frame, overlay, plot_confusion, plot_curves, plot_images, save_curves
from .plot_study import (
    plot_costs,
    plot_differences,
    plot_fields,
    plot_masks,
    plot_sizes,
    plot_time,
)
from .records import accuracies, add_record, read_records
from .summary import stage_table
from .tables import made_on, markdown_table, stages_table, study_table

__all__ = [
    "CONFIDENCE",
    "accuracies",
    "add_record",
    "caption",
    "draw_network",
    "frame",
    "judge",
    "made_on",
    "markdown_table",
    "overlay",
    "plot_confusion",
    "plot_costs",
    "plot_curves",
    "plot_differences",
    "plot_fields",
    "plot_images",
    "plot_masks",
    "plot_sizes",
    "plot_time",
    "read_plan",
    "read_records",
    "save_curves",
    "signed",
    "stage_table",
    "stages_table",
    "study_table",
]
