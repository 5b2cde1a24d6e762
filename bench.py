#!/usr/bin/env python3
"""How fast images come and how fast they are learnt from, on this machine: ``make bench``.

Noise takes the place of CIFAR-10, since time does not depend on what images show. Every row is measured in each of eight
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
from utils.device import amp_dtype, compiled, get_device, machine, memory_format
from utils.loaders import DeviceLoader, Loader
from utils.recipes import get_recipe

ROUNDS = 8


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
    return ((images.to(device, non_blocking=True, memory_format=memory_format(device)), labels.to(device, non_blocking=True))
            for images, labels in batches)


def seconds(batches, device, step=None) -> float:
    """Time for all batches, each followed by `step`; what the device has still to do is waited for."""
    start = perf_counter()
    for images, labels in batches:
        if step:
            step(images, labels)
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()
    return perf_counter() - start


def training_step(network, forward, device):
    """A function that takes a step with a batch; `forward` is the network or its compiled form."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True, fused=True)
    dtype = amp_dtype(device)

    def step(images, labels):
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            logits = forward(images)
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return step


def main(arguments=None) -> dict[str, float]:
    """Print the table and return its images/s by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3200,
                        help="in each round of each row, rounded up to whole batches (default: %(default)s)")
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
    network, other = (create_model("s7").to(device, memory_format=memory_format(device)).train() for _ in range(2))
    forward, step = compiled(other, there[0][0]), training_step(network, network, device)
    rows = {
        "(a) albumentations, written the usual way": (usual, None),
        "(b) albumentations, this repository's": (ours, None),
        "(c) the same policy on the device": (lambda: on_device, None),
        "(d) the network alone, batch already there": (lambda: there, step),
        "    training with (a)": (usual, step),
        "    training with (b)": (ours, step),
        "    training with (c)": (lambda: on_device, step),
    }
    if forward is not other:
        rows["    training with (c), torch.compile"] = lambda: on_device, training_step(other, forward, device)
    for _, then in rows.values():  # the first steps choose kernels
        seconds(there[:3], device, then)
    best = dict.fromkeys(rows, float("inf"))
    for _ in range(ROUNDS):
        for name, (batches, then) in rows.items():
            best[name] = min(best[name], seconds(batches(), device, then))
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
