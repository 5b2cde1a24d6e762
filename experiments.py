#!/usr/bin/env python3
"""Studies: every variant with every seed, one line of JSON for each finished run.

``python experiments.py analysis --seeds 0 1 2`` goes on where it was stopped, in the middle of a
run or between two. What is recorded is not run again: to repeat recorded runs, write elsewhere,
with ``--records runs/analysis.jsonl``. On a GPU ``--jobs 8`` trains eight runs at once, since
networks this small leave most of it idle.
"""
import argparse
import shlex
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from models import create_model
from train import run_recipe
from utils.report.records import add_record, read_records
from utils.report.summary import stage_table
from utils.training import Recipe, get_device, get_recipe, print_row


@dataclass(frozen=True)
class Variant:
    """A recipe, settings that differ from it, flags of its network, and the runs that teach it."""

    recipe: str = "analysis"
    settings: dict = field(default_factory=dict)
    flags: dict = field(default_factory=dict)
    teachers: tuple[str, ...] = ()

    def get_recipe(self, **changes) -> Recipe:
        return get_recipe(self.recipe, **self.settings | changes)


FOLDER = Path(__file__).parent / "Assignments" / "S7" / "records"

def flags(**values) -> Variant:
    """The recipe of the analysis with flags of `s7`."""
    return Variant(flags=values)


def trial(**changes) -> Variant:
    """Twelve epochs, judged on the validation images. Changes are settings of the recipe or flags of the network."""
    shape = {name: changes.pop(name) for name in ("pairs", "widths", "dilation") if name in changes}
    shape = {"pairs": (1, 2, 2, 1), "widths": (16, 48, 80, 96)} | shape  # from where the search set out
    settings = {"epochs": 12, "batch_size": 256, "affine_prob": 0.5, "cutout_prob": 0.5}
    return Variant("s7", settings | changes, shape)


TEACHERS = ("results/teacher-0", "results/teacher-1")
STUDIES: dict[str, dict[str, Variant]] = {
    # The figures of README's first table.
    "results": {
        "teacher": Variant("teacher"),
        "fast": Variant("fast"),
        "s7": Variant("s7"),
        "best": Variant("best", teachers=TEACHERS),
        "s7_dilated": Variant("s7_dilated"),
    },
    # Where parameters go, and what a recipe gains from one idea at a time.
    "trials": {
        "start": trial(),
        "one wide pair in C1": trial(widths=(32, 44, 80, 96)),
        "two wide pairs in C1": trial(pairs=(2, 2, 2, 1), widths=(32, 40, 80, 96)),
        "three pairs in C1": trial(pairs=(3, 3, 2, 1), widths=(24, 36, 72, 96)),
        "deep and narrow": trial(pairs=(4, 4, 3, 1), widths=(16, 32, 64, 96)),
        "lr 0.05": trial(lr=0.05),
        "affine and cutout on 1/4": trial(affine_prob=0.25, cutout_prob=0.25),
    },
    "distillation": {
        f"temperature {temperature:g}": Variant(
            "best", {"epochs": 12, "val_images": 5000, "temperature": temperature}, teachers=TEACHERS
        )
        for temperature in (2.0, 4.0)
    },
    # The three sentences about dilation and depthwise convolution.
    "analysis": {
        "s7": flags(),
        "no dilation": flags(dilation=False),
        "dense": flags(depthwise=False),
        "dense, same parameters": flags(depthwise=False, width=0.57),
        "dense, same multiply-adds": flags(depthwise=False, width=0.8),
        "s7, width 0.7": flags(width=0.7),
        "s7, width 1.4": flags(width=1.4),
        "s7_dilated": Variant(settings={"model": "s7_dilated"}),
    },
    # Do five epochs tell what fifty do?
    "longer": {
        "s7": Variant("s7"),
        "no dilation": Variant("s7", flags={"dilation": False}),
    },
}


def run_variant(study: str, name: str, seed: int, *, command: str, device: str, runs: Path, changes: dict, quiet: bool) -> dict:
    """Train one variant from one seed and return its record, plain values only."""
    variant = STUDIES[study][name]
    recipe, words = variant.get_recipe(**changes), "".join(letter if letter.isalnum() else "_" for letter in name)
    network, run = run_recipe(
        recipe,
        seed,
        runs / study / f"{words}-{seed}",
        command=command,
        device=get_device(device),
        flags=variant.flags,
        teachers=[runs / teacher / "last.pt" for teacher in variant.teachers],
        on_epoch=(lambda row, epochs: None) if quiet else print_row,
    )
    if not run.finished:
        return {}
    rows = stage_table(create_model(recipe.model, **variant.flags))
    return {
        "variant": name,
        "test_accuracy": run.history[-1]["test_acc"],
        "val_accuracy": run.history[-1].get("val_acc"),
        "parameters": sum(row.parameters for row in rows),
        "multiply_adds": sum(row.multiply_adds for row in rows),
        "receptive_field": max(row.receptive_field or 0 for row in rows),
        "seconds": round(run.seconds, 1),
        **run.to_dict(),
    }


def main(arguments: list[str] | None = None) -> None:
    args = parse(arguments)
    study = STUDIES[args.study]
    path, names = args.records or FOLDER / f"{args.study}.jsonl", args.variants or list(study)
    if unknown := [name for name in names if name not in study]:
        raise ValueError(f"unknown variant {unknown[0]!r}; choose from: {', '.join(map(repr, study))}")
    changes = {} if args.epochs is None else {"epochs": args.epochs}
    recipes = {name: variant.get_recipe(**changes) for name, variant in study.items()}
    records, left_out = read_records(path, recipes)
    for complaint in left_out:
        print(f"left out: {complaint}", file=sys.stderr)
    done = {(record["variant"], record["seed"]) for record in records}
    todo = [(name, seed) for seed in dict.fromkeys(args.seeds) for name in names if (name, seed) not in done]
    print(f"{len(todo)} runs to do; {len(done)} are in {path} already", flush=True)
    options = {
        "command": shlex.join(["python", "experiments.py", *(sys.argv[1:] if arguments is None else arguments)]),
        "device": args.device,
        "runs": args.runs,
        "changes": changes,
        "quiet": args.jobs > 1,
    }
    failed = []

    def finish(name: str, seed: int, result) -> bool:
        """Write a run's record; False where it was stopped."""
        try:
            record = result()
        except FloatingPointError as error:  # the other runs do not depend on it
            failed.append(f"{name}, seed {seed}: {error}")
            print(failed[-1], file=sys.stderr)
            return True
        if record:
            add_record(path, record)
            print(f"{name}, seed {seed}: {record['test_accuracy']:.2%} in {record['seconds']:.0f} s", flush=True)
        return bool(record)

    if args.jobs > 1:
        with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:  # fork and CUDA do not mix
            futures = {pool.submit(run_variant, args.study, *pair, **options): pair for pair in todo}
            for future in as_completed(futures):
                finish(*futures[future], future.result)
    else:
        for name, seed in todo:
            print(f"\n{name}, seed {seed}", flush=True)
            if not finish(name, seed, lambda pair=(name, seed): run_variant(args.study, *pair, **options)):
                return
    if failed:
        raise FloatingPointError("; ".join(failed))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="such as: 's7' 'no dilation' (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="(default: 0)")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, each a process (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cuda, mps or cpu (default: %(default)s)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="checkpoints, in a folder for each (default: %(default)s)")
    parser.add_argument("--records", type=Path, help="(default: the study's, in Assignments/S7/records)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"experiments.py: {error}")
