"""Records of runs, what they say about a claim, and tables and pictures of all that.

Pictures are imported when they are first asked for: a machine that only trains needs no matplotlib.
"""

from importlib import import_module

from .claims import Claim, Plan, Result, check_plan, judge, paired, read_plan
from .records import accuracies, add_record, describe, read_records
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
    "plot_costs": "plot_study",
    "plot_differences": "plot_study",
    "plot_fields": "fields",
    "plot_masks": "fields",
    "plot_sizes": "plot_study",
    "plot_time": "plot_study",
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
    "check_plan",
    "describe",
    "format_stages",
    "holm_levels",
    "judge",
    "layer_table",
    "paired",
    "plot_costs",
    "plot_differences",
    "plot_fields",
    "plot_masks",
    "plot_sizes",
    "plot_time",
    "published_table",
    "read_plan",
    "read_records",
    "results_table",
    "rules_table",
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
