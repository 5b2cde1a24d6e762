#!/usr/bin/env python3
"""The notebook's training without the notebook: ``python train.py --recipe s7 --seed 0 --resume``."""
import argparse
import ast
import shlex
import sys
from pathlib import Path

import torch
from torch import nn

from models import create_model, list_models
from utils.checkpoint import ship
from utils.data import load_cifar10
from utils.device import get_device, machine
from utils.loaders import make_loaders
from utils.recipes import NETWORKS, RECIPES, get_recipe
from utils.train import PROGRESS, Mirrored, evaluate, print_row, train


def _flag(text: str) -> tuple:
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form dilation=False or width=0.7") from None


def parse(arguments=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help=f"one of: {', '.join(list_models())} (default: the network that the recipe was made for)")
    parser.add_argument("--flags", nargs="+", default=[], metavar="NAME=VALUE", type=_flag,
                        help="of the network's class, such as: dilation=False width=0.7")
    parser.add_argument("--recipe", default="s7", help=f"one of: {', '.join(RECIPES)} (default: %(default)s)")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", type=_flag,
                        help="other settings of the recipe, such as: on_device=True lr=0.2")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder of the checkpoints (default: runs/MODEL-FLAGS-RECIPE-SEED)")
    parser.add_argument("--resume", action="store_true", help="go on with the run that lies there")
    parser.add_argument("--device", default="auto", help="auto, cuda, mps or cpu (default: %(default)s)")
    parser.add_argument("--root", help="folder that holds cifar-10-batches-py (default: $CIFAR10_ROOT, else a download)")
    parser.add_argument("--workers", type=int, default=0, help="processes that augment images (default: %(default)s)")
    parser.add_argument("--compile", action="store_true", help="training steps through torch.compile, if this machine can")
    parser.add_argument("--ship", action="store_true", help="then put the weights and their card into models/weights")
    args = parser.parse_args(arguments)
    if not 0 <= args.seed < 2**32:
        parser.error("--seed has to be from 0 to 2**32 - 1")
    return args


def main(arguments=None) -> list[dict]:
    """Train as the arguments say (those of the command line by default) and return the history."""
    args = parse(arguments)
    flags = dict(args.flags)
    settings = dict(args.set) | ({} if args.epochs is None else {"epochs": args.epochs})
    recipe, device = get_recipe(args.recipe, **settings), get_device(args.device)
    if args.ship and (flags or recipe.images < 50_000):
        raise ValueError("--ship takes no --flags and needs a recipe with all 50,000 images")
    model = args.model or NETWORKS[args.recipe]
    name = "-".join([model, *(f"{flag}={value}" for flag, value in flags.items()), args.recipe, str(args.seed)])
    out = args.out or Path("runs") / name
    if (out / "last.pt").exists() and not args.resume:
        raise ValueError(f"{out} holds a run already; add --resume to go on with it, or choose another --out")
    torch.manual_seed(args.seed)
    network = create_model(model, **flags)
    images = load_cifar10(args.root)
    out.mkdir(parents=True, exist_ok=True)  # before an epoch is spent on it
    print("   ".join(f"{key} {value}" for key, value in machine(device).items()), flush=True)
    about = {"model": model, "dataset": images[0].name,
             "command": shlex.join(["python", "train.py", *(sys.argv[1:] if arguments is None else arguments)])}
    if flags:
        about["flags"] = flags
    loaders = make_loaders(*images, recipe, device, seed=args.seed, num_workers=args.workers)
    history = train(network, loaders, recipe, out, device=device, seed=args.seed, about=about, on_epoch=print_row,
                    criterion=nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing), compile=args.compile,
                    progress=PROGRESS and sys.stderr.isatty())
    if args.ship:
        _, correct, count = evaluate(Mirrored(network), loaders[2]).tolist()
        card = ship(out, model, Path(__file__).parent / "models" / "weights", mirrored_test_accuracy=correct / count)
        print(f"models/weights/{model}.pt: {card['test_accuracy']:.2%} of the test images, "
              f"{correct / count:.2%} with mirror averaging")
    return history


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"train.py: {error}")
