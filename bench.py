#!/usr/bin/env python3
"""How long an epoch takes on this machine, and how long 85 % takes: ``make bench``.

The first row is an epoch the way tutorials write it; each further row changes one thing. Noise
takes the place of CIFAR-10 there, since time does not depend on what images show. Every row is
measured in several rounds and its fastest round counts: what else the machine does can only slow a
row down. Then the recipe `fast` trains on the real CIFAR-10.
"""

import argparse
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import torch
import torch.nn.functional as F
from albumentations.pytorch import ToTensorV2
from torch.utils.data import DataLoader, Dataset

from models import create_model
from train import run_recipe, run_script
from utils.data import (
    CIFAR10_MEAN,
    CIFAR10_STD,
    A,
    BatchAugment,
    DeviceLoader,
    DownloadError,
    ImageSet,
    make_augmentation,
)
from utils.training import Learner, get_device, get_recipe, machine, train_epoch

__all__ = ["main"]

EPOCH = 50_000  # images
GOAL = 0.85  # the assignment's test accuracy


class UsualDataset(Dataset):
    """The way of tutorials: albumentations, Normalize and ToTensorV2 for each image by itself."""

    def __init__(self, data: ImageSet, augmentation: A.Compose):
        self.data = data
        self.transform = A.Compose(
            [*augmentation.transforms, A.Normalize(CIFAR10_MEAN, CIFAR10_STD), ToTensorV2()]
        )

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(image=self.data.images[index])["image"], self.data.labels[index]


def usual_epoch(batches, network: torch.nn.Module, device: torch.device) -> None:
    """The way that tutorials write it: float32, plain SGD."""
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)
    for images, labels in batches:
        images = images.to(device, non_blocking=True).contiguous()
        labels = labels.to(device, non_blocking=True)
        loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def epoch_seconds(n: int, rounds: int, workers: int, device: torch.device) -> dict[str, float]:
    """Seconds of an epoch of 50,000 images by row: the fastest of `rounds` epochs of n images."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    noise, recipe = ImageSet("noise", images, generator.integers(0, 10, n), ()), get_recipe("s7")
    size, settings, pinned = recipe.batch_size, recipe.augmentation, device.type == "cuda"
    usual_set = UsualDataset(noise, make_augmentation(**settings))
    usual = DataLoader(usual_set, size, shuffle=True, num_workers=workers, pin_memory=pinned)
    loader = DeviceLoader(noise, size, device, augmentation=BatchAugment(**settings))
    network = create_model("s7").to(device)
    steps = 2 * rounds * n  # more than all rounds take
    plain, ours = (
        Learner(create_model("s7"), get_recipe("s7", **changes), device, steps)
        for changes in ({"optimizer": "sgd", "ema": 0.0}, {})
    )
    precision = str(plain.dtype or torch.float32).removeprefix("torch.")
    rows = {
        "the usual way": partial(usual_epoch, usual, network, device),
        "+ augmentation of whole batches on the device": partial(
            usual_epoch, loader, network, device
        ),
        f"+ {precision} and channels last": partial(train_epoch, loader, F.cross_entropy, plain),
        "+ Muon and averaged weights: this repository's epoch": partial(
            train_epoch, loader, F.cross_entropy, ours
        ),
    }
    return fastest(rows, rounds, EPOCH / n, device)


def fastest(
    rows: dict[str, Callable], rounds: int, factor: float, device: torch.device
) -> dict[str, float]:
    """Each row's seconds in its fastest round, times a factor."""
    best = dict.fromkeys(rows, float("inf"))
    for round in range(rounds + 1):
        for name, use in rows.items():
            start = perf_counter()
            use()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            elif device.type == "mps":
                torch.mps.synchronize()
            if round:  # the first one chooses kernels
                best[name] = min(best[name], (perf_counter() - start) * factor)
    return best


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Print both tables and return the first one's seconds by row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, cores = parser.add_argument, os.cpu_count()
    add("--images", type=int, default=3840, help="in each round (default: %(default)s)")
    add("--rounds", type=int, default=3, help="(default: %(default)s)")
    add("--workers", type=int, default=cores, help="of the usual way (default: %(default)s)")
    add("--device", default="auto", help="auto, cuda, mps or cpu (default: %(default)s)")
    add("--no-fast", action="store_true", help="leave the recipe fast out: no data is needed then")
    args = parser.parse_args(arguments)
    if args.images < 1 or args.rounds < 1:
        parser.error("--images and --rounds have to be at least 1")
    device = get_device(args.device)
    about = machine(device) | {"workers": args.workers}
    print("   ".join(f"{key} {value}" for key, value in about.items()))
    seconds = epoch_seconds(args.images, args.rounds, args.workers, device)
    usual = next(iter(seconds.values()))
    print(f"{'one epoch of 50,000 images, s7':56}{'seconds':>10}{'times as fast':>16}")
    for name, value in seconds.items():
        print(f"{name:56}{value:10.1f}{usual / value:16.1f}", flush=True)
    if not args.no_fast:
        time_to_goal(device)
    return seconds


def time_to_goal(device: torch.device) -> None:
    """Train the recipe `fast` and print its epochs, each with the time since the start."""
    recipe, passed = get_recipe("fast"), 0.0
    options = {"command": "python bench.py", "device": device, "on_epoch": lambda row, epochs: None}
    with TemporaryDirectory() as folder:
        try:
            _, run = run_recipe(recipe, 0, Path(folder), **options)
        except DownloadError as error:
            print(f"the recipe fast was left out: {error}")
            return
    print(f"\nrecipe fast, seed 0: {recipe.epochs} epochs")
    for row in run.history:
        passed += row["seconds"]
        reached = " *" if row["test_acc"] >= GOAL else ""
        print(f"{row['test_acc']:.2%} of the test images after {passed:.0f} s{reached}")


if __name__ == "__main__":
    run_script(main)
