"""Records of runs, what they say about a claim, and tables and pictures of all that.

Pictures are imported when they are first asked for: a machine that only trains needs no matplotlib.
"""

from importlib import import_module

from .claims import Claim, Plan, Result, check_plan, judge, paired, read_plan
from .records import accuracies, add_record, describe, epochs_of, read_records
from .statistics import (
    bootstrap_interval,
    holm_levels,
    seeds_needed,
    smallest_p,
    student_interval,
)
from .summary import Stage, format_stages, layer_table, stage_table
from .table import Link, Table
from .tables import (
    published_table,
    results_table,
    rules_table,
    stages_table,
    trials_table,
    variants_table,
    verdicts_table,
)

PICTURES = {
    "caption": "plot",
    "draw_network": "diagram",
    "overlay": "plot",
    "plot_confusion": "plot",
    "plot_costs": "plot_study",
    "plot_curves": "plot",
    "plot_differences": "plot_study",
    "plot_fields": "fields",
    "plot_images": "plot",
    "plot_masks": "fields",
    "plot_sizes": "plot_study",
    "plot_time": "plot_study",
    "save_curves": "plot",
}

__all__ = [  # noqa: F822 (pictures come by __getattr__)
    "Claim",
    "Link",
    "Plan",
    "Result",
    "Stage",
    "Table",
    "accuracies",
    "add_record",
    "bootstrap_interval",
    "caption",
    "check_plan",
    "describe",
    "draw_network",
    "epochs_of",
    "format_stages",
    "holm_levels",
    "judge",
    "layer_table",
    "overlay",
    "paired",
    "plot_confusion",
    "plot_costs",
    "plot_curves",
    "plot_differences",
    "plot_fields",
    "plot_images",
    "plot_masks",
    "plot_sizes",
    "plot_time",
    "published_table",
    "read_plan",
    "read_records",
    "results_table",
    "rules_table",
    "save_curves",
    "seeds_needed",
    "smallest_p",
    "stage_table",
    "stages_table",
    "student_interval",
    "trials_table",
    "variants_table",
    "verdicts_table",
]


def __getattr__(name: str) -> object:
    if name in PICTURES:
        return getattr(import_module(f".{PICTURES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
