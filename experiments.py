#!/usr/bin/env python3
"""Studies: every variant with every seed, one line of JSON for each finished run.

``python experiments.py analysis --seeds 0 1 2`` goes on where it was stopped, in the middle of a
run or between two. What is recorded is not run again. To repeat recorded runs, write elsewhere:
``--records again/analysis.jsonl --runs again``. On a GPU ``--jobs 8`` trains eight runs at once.
They take turns, unless NVIDIA's MPS is on (``nvidia-cuda-mps-control -d``): then they share it.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from functools import partial
from multiprocessing import active_children, get_context
from pathlib import Path

import torch

from models import create_model
from train import command_line, run_recipe, run_script
from utils.data import load_cifar10
from utils.report import add_record, read_records, stage_table
from utils.training import STUDIES, get_device, make_folder, print_row

__all__ = ["STUDIES", "main", "measure", "read_study", "run_variant"]


FOLDER = Path(__file__).parent / "Assignments" / "S7" / "records"


def read_study(study: str, path: Path | None = None) -> list[dict]:
    """The runs of a study's variants as they are today. Each line left out is named on stderr."""
    wanted = {}
    for name, variant in STUDIES[study].items():
        network = create_model(variant.recipe.model, **variant.flags)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        described = {"dataset": "CIFAR-10", "flags": variant.flags, "parameters": parameters}
        wanted[name] = asdict(variant.recipe) | described
    records, left_out = read_records(path or FOLDER / f"{study}.jsonl", wanted)
    for sentence in left_out:
        print(f"left out: {sentence}", file=sys.stderr)
    return records


def run_variant(
    study: str, name: str, seed: int, *, command: str, device: str, runs: Path, quiet: bool
) -> dict:
    """Train one variant from one seed; its record, plain values only."""
    variant = STUDIES[study][name]
    _, run = run_recipe(
        variant.recipe,
        seed,
        runs / run_name(study, name, seed),
        command=command,
        device=get_device(device),
        flags=variant.flags,
        teachers=[runs / teacher / "last.pt" for teacher in variant.teachers],
        on_epoch=(lambda row, epochs: None) if quiet else print_row,
    )
    return {
        "variant": name,
        "test_accuracy": run.history[-1]["test_acc"],
        "val_accuracy": run.history[-1].get("val_acc"),
        **measure(variant.recipe.model, variant.flags),
        "seconds": round(run.seconds, 1),
        **run.to_dict(),
    }


def run_name(study: str, name: str, seed: int) -> str:
    """The folder of a run's checkpoints, below that of all runs."""
    words = "".join(letter if letter.isalnum() else "_" for letter in name)
    return f"{study}/{words}-{seed}"


def check_teachers(study: str, todo: list[tuple], runs: Path) -> None:
    """Raise ValueError if a run's teacher is neither trained nor among the runs to do."""
    planned = {run_name(study, *pair) for pair in todo}
    for name, _ in todo:
        for teacher in STUDIES[study][name].teachers:
            if teacher not in planned and not (runs / teacher / "last.pt").exists():
                variant, seed = teacher.split("/")[1].rsplit("-", 1)
                raise ValueError(
                    f"{name!r} learns from {runs / teacher}, and there is no such run; first train "
                    f"--variants {variant} --seeds {seed}; where that is recorded already, name "
                    "another file with --records"
                )


def measure(model: str, flags: dict) -> dict[str, int]:
    """What a record says of its network: parameters, multiply-adds, receptive field in pixels."""
    rows = stage_table(create_model(model, **flags))
    return {
        "parameters": sum(row.parameters for row in rows),
        "multiply_adds": sum(row.multiply_adds for row in rows),
        "receptive_field": max(row.receptive_field or 0 for row in rows),
    }


def run_all(todo: list[tuple], start: Callable, finish: Callable, jobs: int) -> None:
    """Call ``start(name, seed)`` for each pair, then ``finish(name, seed, result)``.

    ``result()`` returns the run's record, or raises what the run raised. Several jobs are
    processes. Whatever stops this one ends them: each run goes on next time.
    """
    if jobs == 1:
        for name, seed in todo:
            print(f"\n{name}, seed {seed}", flush=True)
            finish(name, seed, partial(start, name, seed))
        return
    # Jobs that share cores slow each other down many times. torch reads this as a job begins.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, os.cpu_count() // jobs)))
    # `kill` would leave the jobs running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped. To go on, run the command again."))
    # Fork and CUDA do not mix. Ctrl-C reaches all processes of a terminal; this one answers it.
    ignore = {"initializer": signal.signal, "initargs": (signal.SIGINT, signal.SIG_IGN)}
    workers = min(jobs, len(todo))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), **ignore) as pool:
        try:
            futures = {pool.submit(start, *pair): pair for pair in todo}
            # The pool watches a new process from its next call on. Without one more, nobody would
            # hear of the last process being killed before another run ends.
            pool.submit(bool)
            for future in as_completed(futures):
                finish(*futures[future], future.result)
        except BaseException as stop:
            for child in active_children():
                child.terminate()  # or leaving the pool would wait for all runs
            if isinstance(stop, BrokenProcessPool):
                raise OSError(
                    "a run's process was killed, perhaps for want of memory; "
                    "to go on, run the command again with fewer --jobs"
                ) from stop
            raise


def record(path: Path, failed: list[str], name: str, seed: int, result: Callable) -> None:
    """Write a run's record. A run that fails joins the `failed`: the others do not depend on it."""
    try:
        entry = result()
    except (FloatingPointError, ValueError, torch.OutOfMemoryError) as error:
        failed.append(f"{name}, seed {seed}: {error}")
        print(failed[-1], file=sys.stderr, flush=True)
        return
    add_record(path, entry)
    figures = f"{entry['test_accuracy']:.2%} in {entry['seconds']:.0f} s"
    print(f"{name}, seed {seed}: {figures}", flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Train and record what the arguments ask for (those of the command line by default).

    Raises ValueError, when all others are done, with a sentence for each run that failed.
    """
    args = parse(arguments)
    get_device(args.device)  # an unknown one is refused before the first run
    if args.jobs < 1:
        raise ValueError(f"--jobs is 1 or more, not {args.jobs}")
    study = STUDIES[args.study]
    names = args.variants or study
    if unknown := [name for name in names if name not in study]:
        raise ValueError(
            f"unknown variant {unknown[0]!r}; choose from: {', '.join(map(repr, study))}"
        )
    path = args.records or FOLDER / f"{args.study}.jsonl"
    make_folder(path.parent)
    done = {(entry["variant"], entry["seed"]) for entry in read_study(args.study, path)}
    pairs = dict.fromkeys((name, seed) for seed in args.seeds for name in names)
    todo = [pair for pair in pairs if pair not in done]
    print(f"{len(todo)} runs to do; {len(done)} are in {path} already", flush=True)
    if not todo:
        print("To repeat them, name other places with --records and --runs.")
    runs = args.runs or Path("runs")
    check_teachers(args.study, todo, runs)
    if todo and args.jobs > 1:
        load_cifar10()  # downloaded once, and not by each job
    start = partial(
        run_variant,
        args.study,
        command=command_line("experiments.py", arguments),
        device=args.device,
        runs=runs,
        quiet=args.jobs > 1,
    )
    failed: list[str] = []
    for taught in (False, True):  # teachers have to be finished first
        wave = [pair for pair in todo if bool(study[pair[0]].teachers) is taught]
        if wave:
            run_all(wave, start, partial(record, path, failed), args.jobs)
    if failed:
        raise ValueError("; ".join(failed))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # tables read "--jobs" in a recorded command
    )
    add = parser.add_argument
    add("study", choices=STUDIES)
    add("--variants", nargs="+", metavar="NAME", help="such as: slim 'no dilation' (default: all)")
    add("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="(default: 0)")
    add("--jobs", type=int, default=1, help="runs at once, each a process (default: %(default)s)")
    add("--device", default="auto", help="auto, cuda, mps or cpu (default: %(default)s)")
    add("--runs", type=Path, help="folder of the checkpoints (default: runs)")
    add("--records", type=Path, help="(default: the study's, in Assignments/S7/records)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run_script(main)
