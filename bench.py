#!/usr/bin/env python3
"""How long an epoch takes on this machine: ``make bench``.

The first row is an epoch the way tutorials write it; each further row adds to the one before. Noise
takes the place of CIFAR-10, since time does not depend on what images show. Every row is measured
in several rounds and its fastest round counts: what else the machine does can only slow a row down.
How long 85 % takes is what ``python train.py --recipe fast`` shows; `make bench` runs both.
"""

import argparse
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

from models import create_model
from train import run_script
from utils.data import (
    CIFAR10_MEAN,
    CIFAR10_STD,
    A,
    BatchAugment,
    DeviceLoader,
    ImageSet,
    make_augmentation,
)
from utils.report import add_record
from utils.training import Learner, get_device, get_recipe, machine, train_epoch

__all__ = ["main"]

EPOCH = 50_000  # images
IMAGES = 3840  # in each round, a multiple of the batch; on CUDA a round is a whole epoch
ROUNDS = 3


class UsualDataset(Dataset):
    """The way of tutorials: albumentations, Normalize and ToTensorV2 for each image by itself."""

    def __init__(self, data: ImageSet, augmentation: A.Compose) -> None:
        self.data = data
        self.transform = A.Compose(
            [*augmentation.transforms, A.Normalize(CIFAR10_MEAN, CIFAR10_STD), A.ToTensorV2()]
        )

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(image=self.data.images[index])["image"], self.data.labels[index]


def usual_epoch(batches: Iterable, network: torch.nn.Module, device: torch.device) -> None:
    """The way that tutorials write it: float32, SGD with momentum."""
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)
    for images, labels in batches:
        images = images.to(device, non_blocking=True).contiguous()
        labels = labels.to(device, non_blocking=True)
        loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def make_rows(workers: int, device: torch.device, count: int) -> dict[str, Callable]:
    """What is measured, by name: each function trains for an epoch of `count` images."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    labels, recipe = generator.integers(0, 10, count), get_recipe("s7")
    noise = ImageSet("noise", images, labels, ())
    size, settings, pinned = recipe.batch_size, recipe.augmentation, device.type == "cuda"
    usual_set = UsualDataset(noise, make_augmentation(**settings))
    usual = DataLoader(
        usual_set,
        size,
        shuffle=True,
        num_workers=workers,
        pin_memory=pinned,
        persistent_workers=workers > 0,  # or each short round would pay for their start
    )
    loader = DeviceLoader(noise, size, device, augmentation=BatchAugment(**settings))
    network = create_model("s7").to(device)
    steps = 2 * ROUNDS * count  # more than all rounds take
    recipes = get_recipe("s7", optimizer="sgd", ema=0.0), recipe
    plain, ours = (Learner(create_model("s7"), one, device, steps) for one in recipes)
    return {
        "the usual way": lambda: usual_epoch(usual, network, device),
        "+ augmentation of whole batches on the device": lambda: usual_epoch(
            loader, network, device
        ),
        "+ channels last, 16-bit numbers where possible": lambda: train_epoch(
            loader, F.cross_entropy, plain
        ),
        "+ Muon, EMA, a CUDA graph where possible: our epoch": lambda: train_epoch(
            loader, F.cross_entropy, ours
        ),
    }


def fastest(rows: dict[str, Callable], device: torch.device) -> dict[str, float]:
    """Each row's seconds in its fastest round."""
    best = dict.fromkeys(rows, float("inf"))
    for round in range(ROUNDS + 1):
        for name, use in rows.items():
            start = perf_counter()
            use()
            if device.type != "cpu":
                torch.accelerator.synchronize(device)
            if round:  # the first one chooses kernels
                best[name] = min(best[name], perf_counter() - start)
    return best


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Print the table and return its seconds by row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, cores = parser.add_argument, os.cpu_count()
    add("--workers", type=int, default=cores, help="of the usual way (default: %(default)s)")
    add("--device", default="auto", help="auto, cuda, mps or cpu (default: %(default)s)")
    add("--record", type=Path, help="append a line of JSON, as the report's table has it")
    args = parser.parse_args(arguments)
    device = get_device(args.device)
    about = machine(device) | {"workers": args.workers}
    print("   ".join(f"{key} {value}" for key, value in about.items()))
    # The loading processes begin a short round all at once, and a GPU would wait for them.
    count = EPOCH if device.type == "cuda" else IMAGES
    seconds = fastest(make_rows(args.workers, device, count), device)
    seconds = {name: value * EPOCH / count for name, value in seconds.items()}
    usual = seconds["the usual way"]
    print(f"{'one epoch of 50,000 images, s7':56}{'seconds':>10}{'times as fast':>16}")
    for name, value in seconds.items():
        print(f"{name:56}{value:10.1f}{usual / value:16.1f}")
    if args.record:
        size = get_recipe("s7").batch_size
        entry = {"network": "s7", "batch_size": size, "machine": about, "seconds": seconds}
        add_record(args.record, entry)
    return seconds


if __name__ == "__main__":
    run_script(main)
