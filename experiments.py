#!/usr/bin/env python3
"""The analysis' runs: every variant with every seed through train.py, one line of JSON for each finished run.

``python experiments.py --seeds 0 1 2`` goes on where it was stopped, in the middle of a run or between two. On a GPU
several share it: one such command for each seed, side by side.
"""
import argparse
import sys
from dataclasses import replace
from pathlib import Path

import train
from models import create_model
from utils.checkpoint import load_checkpoint
from utils.recipes import get_recipe
from utils.records import add_record, read_records
from utils.summary import stage_table

RECIPE = "analysis"
RECORDS = Path(__file__).parent / "Assignments" / "S7" / "analysis.jsonl"
VARIANTS = {
    # name            model         flags
    "s7":            ("s7",         {}),
    "no dilation":   ("s7",         {"dilation": False}),
    "dense":         ("s7",         {"depthwise": False}),
    "dense, narrow": ("s7",         {"depthwise": False, "width": 0.7}),  # the same number of parameters, within 1%
    "s7_dilated":    ("s7_dilated", {}),
}
MUCH = 1.0  # points of accuracy; fixed, like the claims, before the runs
CLAIMS = [
    # the assignment's sentence, or a control of ours              variant          minus  more than so many points
    ("adding dilation doesn't mean an increase in accuracy",       "no dilation",   "s7",  0.0),
    ("depthwise convolution reduced the accuracy, at the cost of fewer parameters", "dense", "s7", 0.0),
    ("control: it reduced the accuracy at the same number of parameters", "dense, narrow", "s7", 0.0),
    ("without dilation the classifier would perform much better",  "no dilation",   "s7",  MUCH),
]


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), metavar="NAME",
                        help=f"of: {', '.join(map(repr, VARIANTS))} (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED")
    parser.add_argument("--epochs", type=int, default=get_recipe(RECIPE).epochs, help="(default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cuda, mps or cpu (default: %(default)s)")
    parser.add_argument("--runs", type=Path, default=Path("runs/analysis"), help="checkpoints (default: %(default)s)")
    parser.add_argument("--records", type=Path, default=RECORDS, help="(default: %(default)s)")
    args = parser.parse_args(arguments)
    if unknown := [name for name in args.variants if name not in VARIANTS]:
        raise ValueError(f"unknown variant {unknown[0]!r}; choose from: {', '.join(map(repr, VARIANTS))}")
    recipe = replace(get_recipe(RECIPE), epochs=args.epochs)
    records, left_out = read_records(args.records, VARIANTS, recipe)
    for complaint in left_out:
        print(f"left out: {complaint}", file=sys.stderr)
    failed = []
    done = {(record["variant"], record["seed"]) for record in records}
    for seed in args.seeds:
        for variant in args.variants:
            if (variant, seed) in done:
                continue
            print(f"\n{variant}, seed {seed}", flush=True)
            run_dir = args.runs / f"{variant.replace(', ', '-').replace(' ', '-')}-{args.epochs}-{seed}"
            try:
                history = train.main(_arguments(variant, seed, run_dir, args))
            except FloatingPointError as error:  # the other runs do not depend on it
                failed.append(f"{variant}, seed {seed}: {error}")
                continue
            if len(history) < args.epochs:
                return  # stopped; train.py has said so
            add_record(args.records, _record(variant, run_dir))
    if failed:
        raise FloatingPointError("; ".join(failed))


def _arguments(variant: str, seed: int, run_dir: Path, args) -> list[str]:
    model, flags = VARIANTS[variant]
    words = ["--model", model, "--recipe", RECIPE, "--epochs", str(args.epochs), "--seed", str(seed)]
    if flags:
        words += ["--flags", *(f"{name}={value}" for name, value in flags.items())]
    return [*words, "--device", args.device, "--out", str(run_dir), "--resume"]


def _record(variant: str, run_dir: Path) -> dict:
    """What the analysis needs of a finished run, in plain values."""
    state = load_checkpoint(run_dir / "last.pt")
    model, flags = VARIANTS[variant]
    rows = stage_table(create_model(model, **flags))
    last = state["history"][-1]
    about = state["about"]
    return {"variant": variant, "seed": about["seed"], "epochs": last["epoch"], "test_accuracy": last["test_acc"],
            "val_accuracy": last["val_acc"], "train_accuracy": last["train_acc"],
            "parameters": sum(row.parameters for row in rows), "multiply_adds": sum(row.multiply_adds for row in rows),
            "receptive_field": max(row.receptive_field or 0 for row in rows),
            "seconds": round(sum(row["seconds"] for row in state["history"])),
            "dataset": about["dataset"], "recipe": about["recipe"], "machine": about["machine"], "command": about["command"]}


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"experiments.py: {error}")
