#!/usr/bin/env python3
"""Studies: every variant with every seed through train.py, one line of JSON for each finished run.

``python experiments.py analysis --seeds 0 1 2`` goes on where it was stopped, in the middle of a run or between two. What is recorded
is not run again: to repeat the recorded runs, write elsewhere, with ``--records runs/analysis.jsonl``. Where the data lie already,
several may share a GPU: one such command for each seed, side by side.
"""
import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path

import train
from models import create_model
from utils.checkpoint import load_checkpoint
from utils.recipes import Recipe, get_recipe
from utils.records import add_record, read_records
from utils.summary import stage_table


@dataclass(frozen=True)
class Variant:
    """A network, flags of its class, and settings that differ from the study's recipe."""
    model: str = "s7"
    flags: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    recipe: str
    variants: dict[str, Variant]
    records: Path

    def recipes(self, **changes) -> dict[str, Recipe]:
        """The recipe of each variant; `changes` (epochs, say) are for all."""
        return {name: get_recipe(self.recipe, **variant.settings | changes) for name, variant in self.variants.items()}


FOLDER = Path(__file__).parent / "Assignments" / "S7"
ANALYSIS = Study("analysis", records=FOLDER / "analysis.jsonl", variants={
    "s7":            Variant(),
    "no dilation":   Variant(flags={"dilation": False}),
    "dense":         Variant(flags={"depthwise": False}),
    "dense, narrow": Variant(flags={"depthwise": False, "width": 0.7}),  # as many parameters as s7, within 1%
    "s7_dilated":    Variant("s7_dilated"),
})
MUCH = 1.0  # points of accuracy; fixed, like the claims, before the runs
CLAIMS = [
    # the solution's sentence, or a control of ours                variant          minus  more than so many points
    ("adding dilation doesn't mean an increase in accuracy",       "no dilation",   "s7",  0.0),
    ("depthwise convolution reduced the accuracy, at the cost of fewer parameters", "dense", "s7", 0.0),
    ("control: depthwise convolution reduced it at equal parameters", "dense, narrow", "s7", 0.0),
    ("without dilation the classifier would perform much better",  "no dilation",   "s7",  MUCH),
]
# What a short run gains from one idea at a time, by accuracy on held-out images.
TRIALS = Study("analysis", records=FOLDER / "trials.jsonl", variants={
    "s7":                        Variant(),
    "batches of 64":             Variant(settings={"batch_size": 64, "lr": 0.2}),
    "weight decay 5e-4":         Variant(settings={"weight_decay": 5e-4}),
    "label smoothing 0.1":       Variant(settings={"label_smoothing": 0.1}),
    "shift-scale-rotate on 1/4": Variant(settings={"ssr_prob": 0.25}),
    "hole in 1/4":               Variant(settings={"hole_prob": 0.25}),
    "rotation by 5° at most":    Variant(settings={"rotate": 5}),
    "s7_deep with ReLU":         Variant("s7_deep", flags={"silu": False}),
    "s7_deep":                   Variant("s7_deep"),
})
FAST = Study("fast", records=FOLDER / "fast.jsonl", variants={"s7_deep": Variant("s7_deep")})
# What came between `fast` and `best`: the milder policy for longer.
LONG = Study("fast", records=FOLDER / "long.jsonl", variants={"36 epochs": Variant("s7_deep", settings={"epochs": 36})})
STUDIES = {"analysis": ANALYSIS, "trials": TRIALS, "fast": FAST, "long": LONG}


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="such as: 's7' 'no dilation' (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="(default: 0)")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--device", default="auto", help="auto, cuda, mps or cpu (default: %(default)s)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="checkpoints, in a folder for each (default: %(default)s)")
    parser.add_argument("--records", type=Path, help="(default: the study's, in Assignments/S7)")
    args = parser.parse_args(arguments)
    study = STUDIES[args.study]
    path, names = args.records or study.records, args.variants or list(study.variants)
    if unknown := [name for name in names if name not in study.variants]:
        raise ValueError(f"unknown variant {unknown[0]!r}; choose from: {', '.join(map(repr, study.variants))}")
    recipes = study.recipes(**{} if args.epochs is None else {"epochs": args.epochs})
    records, left_out = read_records(path, recipes)
    for complaint in left_out:
        print(f"left out: {complaint}", file=sys.stderr)
    failed = []
    done = {(record["variant"], record["seed"]) for record in records}
    for seed in args.seeds:
        for name in names:
            if (name, seed) in done:
                print(f"{name}, seed {seed}: in {path} already; --records names another file")
                continue
            print(f"\n{name}, seed {seed}", flush=True)
            variant, epochs = study.variants[name], recipes[name].epochs
            words = "-".join("".join(letter if letter.isalnum() else " " for letter in name).split())
            run_dir = args.runs / args.study / f"{words}-{epochs}-{seed}"
            try:
                history = train.main([
                    "--model", variant.model, "--recipe", study.recipe, "--epochs", str(epochs), "--seed", str(seed),
                    *_pairs("--flags", variant.flags), *_pairs("--set", variant.settings), "--device", args.device,
                    "--out", str(run_dir), "--resume"])
            except FloatingPointError as error:  # the other runs do not depend on it
                failed.append(f"{name}, seed {seed}: {error}")
                print(failed[-1], file=sys.stderr)
                continue
            if len(history) < epochs:
                return  # stopped; train.py has said so
            add_record(path, {"variant": name} | _record(variant, run_dir))
            done.add((name, seed))
    if failed:
        raise FloatingPointError("; ".join(failed))


def _pairs(option: str, values: dict) -> list[str]:
    return [option, *(f"{name}={value!r}" for name, value in values.items())] if values else []


def _record(variant: Variant, run_dir: Path) -> dict:
    """What a study needs of a finished run, in plain values."""
    state = load_checkpoint(run_dir / "last.pt")
    about, last = state["about"], state["history"][-1]
    rows = stage_table(create_model(variant.model, **variant.flags))
    return {"seed": about["seed"], "epochs": last["epoch"], "test_accuracy": last["test_acc"],
            "val_accuracy": last.get("val_acc"), "train_accuracy": last["train_acc"],
            "parameters": sum(row.parameters for row in rows), "multiply_adds": sum(row.multiply_adds for row in rows),
            "receptive_field": max(row.receptive_field or 0 for row in rows),
            "seconds": round(sum(row["seconds"] for row in state["history"])),
            "dataset": about["dataset"], **{key: about[key] for key in ("recipe", "machine", "command", "calls") if key in about}}


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"experiments.py: {error}")
