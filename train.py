#!/usr/bin/env python3
"""The notebook's training without the notebook: ``python train.py --recipe s7 --seed 0``."""
import argparse
import ast
import shlex
import sys
from pathlib import Path

import torch

from models import create_model
from utils.data import DeviceLoader, load_cifar10
from utils.training import (
    RECIPES,
    Mirrored,
    Recipe,
    Run,
    evaluate,
    get_device,
    get_recipe,
    load_checkpoint,
    machine,
    print_row,
    ship,
    train,
)

WEIGHTS = Path(__file__).parent / "models" / "weights"


def run_recipe(
    recipe: Recipe,
    seed: int,
    run_dir: Path,
    *,
    command: str,
    device: torch.device,
    flags: dict | None = None,
    teachers: list[Path] = (),
    root: str | None = None,
    num_workers: int = 0,
    on_epoch=print_row,
    progress: bool = False,
) -> tuple[torch.nn.Module, Run]:
    """Train the recipe's network from a seed on CIFAR-10, or go on with the run that lies in `run_dir`.

    `teachers` are the last.pt of finished runs. Returns the trained network and the run.
    """
    torch.manual_seed(seed)
    network = create_model(recipe.model, **(flags or {}))
    train_set, test_set = load_cifar10(root)
    networks, descriptions = zip(*map(load_teacher, teachers)) if teachers else ((), [])
    run = Run(recipe, seed, train_set.name, command, flags=flags or {}, teachers=list(descriptions))
    options = {"device": device, "teachers": networks, "num_workers": num_workers}
    train(network, train_set, test_set, run, run_dir, on_epoch=on_epoch, progress=progress, **options)
    return network, run


def load_teacher(path: Path) -> tuple[torch.nn.Module, dict]:
    """A finished run's network, and what the student's card says of it. Raises ValueError for an unfinished run."""
    try:
        state = load_checkpoint(path)
    except FileNotFoundError as error:
        raise ValueError(f"there is no {path}; train a teacher first with: python train.py --recipe teacher") from error
    run = Run(**state["run"])
    if not run.finished:
        raise ValueError(f"{path} holds {len(run.history)} of {run.recipe.epochs} epochs; finish it with: {run.command}")
    network = create_model(run.recipe.model, **run.flags)
    network.load_state_dict(state["network"])
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
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="s7", help=f"one of: {', '.join(RECIPES)} (default: %(default)s)")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", type=setting,
                        help="other settings of the recipe, such as: epochs=30 lr=0.02")  # fmt: skip
    parser.add_argument("--flags", nargs="+", default=[], metavar="NAME=VALUE", type=setting,
                        help="of the network's class, such as: dilation=False width=0.7")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder of the checkpoints (default: runs/RECIPE-SEED); a run there goes on")
    parser.add_argument("--teacher", nargs="+", type=Path, default=[Path("runs/teacher-0/last.pt")], metavar="LAST.PT",
                        help="for recipes with a temperature: checkpoints of finished runs (default: %(default)s)")  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto, cuda, mps or cpu (default: %(default)s)")
    parser.add_argument("--root", help="folder that holds cifar-10-batches-py (default: $CIFAR10_ROOT, else a download)")
    parser.add_argument("--workers", type=int, default=0, help="processes that augment images, with on_device=False")
    parser.add_argument("--ship", metavar="NAME", help="then write models/weights/NAME.pt and its card NAME.json")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> Run:
    """Train as the arguments say (those of the command line by default) and return the run."""
    args = parse(arguments)
    flags, device = dict(args.flags), get_device(args.device)
    recipe = get_recipe(args.recipe, **dict(args.set))
    if args.ship and (flags or recipe.images < 50_000):
        raise ValueError("--ship takes no --flags and needs a recipe with all 50,000 images")
    words = [args.recipe, *(f"{name}={value}" for name, value in (args.set + args.flags)), str(args.seed)]
    run_dir = args.out or Path("runs") / "-".join(words)
    run_dir.mkdir(parents=True, exist_ok=True)  # before an epoch is spent on it
    print("   ".join(f"{key} {value}" for key, value in machine(device).items()), flush=True)
    network, run = run_recipe(
        recipe,
        args.seed,
        run_dir,
        command=shlex.join(["python", "train.py", *(sys.argv[1:] if arguments is None else arguments)]),
        device=device,
        flags=flags,
        teachers=args.teacher if recipe.temperature else [],
        root=args.root,
        num_workers=args.workers,
        progress=sys.stderr.isatty(),
    )
    if args.ship:
        ship_run(network, run_dir, args.ship, device, args.root)
    return run


def ship_run(network: torch.nn.Module, run_dir: Path, name: str, device: torch.device, root: str | None) -> None:
    """Write weights and card, with the accuracy under mirror averaging as a figure of its own."""
    _, test_set = load_cifar10(root)
    _, correct, count = evaluate(Mirrored(network), DeviceLoader(test_set, 500, device)).tolist()
    card = ship(run_dir, name, WEIGHTS, mirrored_test_accuracy=correct / count)
    print(f"models/weights/{name}.pt: {card['test_accuracy']:.2%} of the test images, "
          f"{correct / count:.2%} with mirror averaging")  # fmt: skip


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"train.py: {error}")
