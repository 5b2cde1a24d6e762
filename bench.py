#!/usr/bin/env python3
"""How fast images come and how fast they are learnt from, on this machine: ``make bench``.

Noise takes the place of CIFAR-10, since time does not depend on what images show. Every row is measured in each of several
rounds, and its fastest round counts: what else the machine does can only slow a row down. A round is a short epoch: workers
start in it, as they do in each epoch.
"""
import argparse
import os
import sys
from time import perf_counter

import numpy as np
import torch
import torch.nn.functional as F
from albumentations.pytorch import ToTensorV2
from torch.utils.data import DataLoader, Dataset

from models import create_model
from utils.augment import CIFAR10_MEAN, CIFAR10_STD, A, make_policy
from utils.data import ImageSet
from utils.device import compiled, get_device, machine, memory_format
from utils.loaders import DeviceLoader, Loader
from utils.recipes import get_recipe
from utils.train import train_epoch, training_parts

class UsualDataset(Dataset):
    """The way that tutorials write it: each image goes through albumentations, Normalize and ToTensorV2 by itself."""

    def __init__(self, data: ImageSet, policy: A.Compose):
        self.data = data
        self.transform = A.Compose([*policy.transforms, A.Normalize(CIFAR10_MEAN, CIFAR10_STD), ToTensorV2()])

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return self.transform(image=self.data.images[index])["image"], self.data.labels[index]


def usual_loader(data, batch_size, device, *, policy, num_workers):
    """Its batches, moved to the device as they come."""
    batches = DataLoader(UsualDataset(data, policy), batch_size, shuffle=True, num_workers=num_workers,
                         pin_memory=device.type == "cuda")
    non_blocking = device.type == "cuda"
    for images, labels in batches:  # a generator: the workers start with its first batch, when the clock runs
        yield (images.to(device, non_blocking=non_blocking, memory_format=memory_format(device)),
               labels.to(device, non_blocking=non_blocking))


def only_load(batches) -> None:
    """Take every batch and do nothing with it."""
    for _ in batches:
        pass


def seconds(batches, device, use) -> float:
    """Time that `use` takes for all batches; what the device has still to do is waited for."""
    start = perf_counter()
    use(batches)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return perf_counter() - start


def main(arguments=None) -> dict[str, float]:
    """Print the table and return its images/s by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3200,
                        help="in each round of each row, rounded up to whole batches (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=4, help="(default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="of the DataLoaders (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cuda, mps or cpu (default: %(default)s)")
    args = parser.parse_args(arguments)
    device, recipe = get_device(args.device), get_recipe("s7")
    n = max(1, -(-args.images // recipe.batch_size)) * recipe.batch_size
    generator = np.random.default_rng(0)
    noise = ImageSet("noise", generator.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8), generator.integers(0, 10, n), ())
    policy, size = make_policy(**recipe.policy), recipe.batch_size

    def usual():
        return usual_loader(noise, size, device, policy=policy, num_workers=args.workers)

    def ours():
        return Loader(noise, size, device, policy=policy, num_workers=args.workers)

    on_device = DeviceLoader(noise, size, device, policy=policy)
    there = [next(iter(DeviceLoader(noise, size, device)))] * len(on_device)
    parts, others = (training_parts(create_model("s7"), recipe, device, steps=10**6) for _ in range(2))  # more than all rounds take
    forward = compiled(others["network"], there[0][0])

    def learn(batches):
        train_epoch(batches, F.cross_entropy, device, parts["network"], **parts)

    def learn_compiled(batches):
        train_epoch(batches, F.cross_entropy, device, forward, **others)

    rows = {
        "(a) albumentations, written the usual way": (usual, only_load),
        "(b) albumentations, this repository's": (ours, only_load),
        "(c) the same policy on the device": (lambda: on_device, only_load),
        "(d) the network alone, batch already there": (lambda: there, learn),
        "    training with (a)": (usual, learn),
        "    training with (b)": (ours, learn),
        "    training with (c)": (lambda: on_device, learn),
    }
    if forward is not others["network"]:
        rows["    training with (c), torch.compile"] = lambda: on_device, learn_compiled
    for _, use in rows.values():  # the first steps choose kernels
        seconds(there[:3], device, use)
    best = dict.fromkeys(rows, float("inf"))
    for _ in range(max(1, args.rounds)):
        for name, (batches, use) in rows.items():
            best[name] = min(best[name], seconds(batches(), device, use))
    speed = {name: n / time for name, time in best.items()}
    usual_speed, alone = list(speed.values())[0], list(speed.values())[3]
    print("   ".join(f"{key} {value}" for key, value in machine(device).items()) + f"   workers {args.workers}")
    print(f"{'s7, batches of ' + str(size):45}{'images/s':>10}{'of (a)':>9}{'of (d)':>9}")
    for name, value in speed.items():
        print(f"{name:45}{value:10,.0f}{value / usual_speed:9.2f}{value / alone:9.2f}")
    return speed


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(f"bench.py: {error}")
