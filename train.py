#!/usr/bin/env python3
"""The notebook's training without the notebook: ``python train.py --recipe s7 --seed 0``."""

import argparse
import ast
import hashlib
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from models import WEIGHTS, create_model
from utils.data import CIFAR10_MEAN, CIFAR10_STD, load_cifar10
from utils.training import (
    RECIPES,
    Recipe,
    Run,
    get_device,
    get_recipe,
    load_checkpoint,
    machine,
    make_folder,
    print_row,
    train,
)

__all__ = ["command_line", "load_teacher", "main", "run_recipe", "run_script", "ship"]

# What `python train.py --recipe teacher` writes with --seed 0 and 1.
TEACHERS = tuple(Path(f"runs/teacher-{seed}/last.pt") for seed in (0, 1))


def run_recipe(
    recipe: Recipe,
    seed: int,
    run_dir: Path,
    *,
    command: str,
    device: torch.device,
    flags: dict,
    teachers: Sequence[Path],
    on_epoch: Callable[[dict, int], None] = print_row,
    progress: bool = False,
) -> tuple[torch.nn.Module, Run]:
    """Train the recipe's network from a seed on CIFAR-10, or go on with the run in `run_dir`.

    `teachers` are the last.pt of finished runs. Returns the trained network and the run.
    """
    taught_by = [load_teacher(path) for path in teachers]
    descriptions = [description for _, description in taught_by]
    run = Run(recipe, seed, "CIFAR-10", command, flags=flags, teachers=descriptions)
    torch.manual_seed(seed)
    network = create_model(recipe.model, **flags)
    train(
        network,
        *load_cifar10(),
        run,
        run_dir,
        device=device,
        teachers=[teacher for teacher, _ in taught_by],
        on_epoch=on_epoch,
        progress=progress,
    )
    return network, run


def load_teacher(path: Path) -> tuple[torch.nn.Module, dict]:
    """A finished run's network, and what the student's card says of it.

    Raises ValueError for an unfinished run.
    """
    try:
        state = load_checkpoint(path)
    except FileNotFoundError as error:
        raise ValueError(
            f"there is no {path}; train a teacher first, each with a seed of its own: "
            f"python train.py --recipe teacher --seed SEED --out {path.parent}"
        ) from error
    run = Run(**state["run"])
    if not run.finished:
        raise ValueError(
            f"{path} holds {len(run.history)} of {run.recipe.epochs} epochs; "
            f"finish it with: {run.command}"
        )
    network = create_model(run.recipe.model, **run.flags)
    try:
        network.load_state_dict(state["network"])
    except RuntimeError as error:  # torch lists every tensor
        raise ValueError(f"{path} holds an older {run.recipe.model}; train it anew") from error
    description = {
        "model": run.recipe.model,
        "seed": run.seed,
        "command": run.command,
        "test_accuracy": run.history[-1]["test_acc"],
    }
    return network, description


def setting(text: str) -> tuple:
    """NAME=VALUE as (name, value); a value that is no Python literal is a word."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form dilation=False or lr=0.02")
    try:  # false is a word in Python, and a word counts as true
        return name, ast.literal_eval(value.title() if value in ("true", "false") else value)
    except (SyntaxError, TypeError, ValueError):
        return name, value


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    settings = {"action": "extend", "nargs": "+", "type": setting, "metavar": "NAME=VALUE"}
    add = parser.add_argument
    add("--recipe", default="s7", help=f"one of: {', '.join(RECIPES)} (default: %(default)s)")
    add("--set", default=[], help="other settings of the recipe: epochs=30 lr=0.02", **settings)
    add("--flags", default=[], help="of the network's class: dilation=False width=0.7", **settings)
    add("--seed", type=int, default=0)
    add("--out", type=Path, help="folder of the checkpoints (default: runs/RECIPE-SEED)")
    teachers = " ".join(map(str, TEACHERS))
    add("--teacher", nargs="+", type=Path, help=f"last.pt of finished runs (default: {teachers})")
    add("--device", default="auto", help="auto, cuda, mps or cpu (default: %(default)s)")
    add("--ship", action="store_true", help="then write weights and card to models/weights")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> Run:
    """Train as the arguments say (those of the command line by default) and return the run."""
    args = parse(arguments)
    flags, device = dict(args.flags), get_device(args.device)
    recipe = get_recipe(args.recipe, **dict(args.set))
    if args.ship and (flags or recipe.images < 50_000):
        raise ValueError("--ship takes no --flags and needs a recipe with all 50,000 images")
    if args.ship:
        make_folder(WEIGHTS)  # before an epoch is spent on them
    changes = [f"{name}={value}" for name, value in args.set + args.flags]
    run_dir = args.out or Path("runs") / "-".join([args.recipe, *changes, str(args.seed)])
    print("   ".join(f"{key} {value}" for key, value in machine(device).items()), flush=True)
    network, run = run_recipe(
        recipe,
        args.seed,
        run_dir,
        command=command_line("train.py", arguments),
        device=device,
        flags=flags,
        teachers=args.teacher or (TEACHERS if recipe.temperature else []),
        progress=sys.stderr.isatty(),
    )
    if args.ship:
        ship(network, run, run_dir)
    return run


def ship(network: torch.nn.Module, run: Run, run_dir: Path) -> None:
    """Write a finished run's weights to models/weights/MODEL.pt and their card to MODEL.json.

    The card has what a user needs (the images' mean and deviation as fractions 0–1, the names of
    the classes) and the run's description, without its history.
    """
    _, test_set = load_cifar10()
    path = WEIGHTS / f"{run.recipe.model}.pt"
    torch.save(load_checkpoint(run_dir / "last.pt")["network"], path)
    card = {
        "name": run.recipe.model,
        "test_accuracy": run.history[-1]["test_acc"],
        "test_images": len(test_set),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "classes": test_set.classes,
        "mean": CIFAR10_MEAN,
        "std": CIFAR10_STD,
        "epochs": len(run.history),
        "wall_time_s": round(run.seconds),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        **{key: value for key, value in run.to_dict().items() if key != "history"},
    }
    path.with_suffix(".json").write_text(
        json.dumps(card, indent=1) + "\n", encoding="utf-8", newline="\n"
    )
    print(f"models/weights/{path.name}: {card['test_accuracy']:.2%} of the test images")


def command_line(script: str, arguments: list[str] | None) -> str:
    """The command that the user typed; `arguments` as for `main`."""
    return shlex.join(["python", script, *(sys.argv[1:] if arguments is None else arguments)])


def run_script(main: Callable[[], object]) -> None:
    """Call a script's `main`; whatever the user can mend is one sentence and not a traceback."""
    sys.stdout.reconfigure(errors="replace")  # Windows' cp1252 has no "→", and a path may have one
    try:
        main()
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}")
    except KeyboardInterrupt:
        sys.exit("Stopped. To go on, run the command again.")


if __name__ == "__main__":
    run_script(main)
