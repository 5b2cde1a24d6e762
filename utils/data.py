"""Images and the loaders that carry them to the device."""
import os
import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import CIFAR10

from .augment import CIFAR10_MEAN, CIFAR10_STD, make_policy
from .device import memory_format
from .download import MIRRORS, DownloadError, download
from .recipes import Recipe

__all__ = ["ImageSet", "Loader", "load_cifar10", "load_digits", "load_images",
           "make_loaders", "normalize", "split"]


@dataclass(frozen=True)
class ImageSet:
    """Images in memory: `images` uint8 (N, 32, 32, 3) of range 0–255, `labels` int64 (N,), `classes` their names."""
    name: str
    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices) -> "ImageSet":
        """The images at these indices, in their order."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])


def load_cifar10(root=None, *, mirrors=MIRRORS) -> tuple[ImageSet, ImageSet]:
    """The 50,000 training and 10,000 test images of CIFAR-10 (Krizhevsky 2009), checked by torchvision's MD5s.

    `root`, or else the folder that CIFAR10_ROOT names, has to hold cifar-10-batches-py. With neither they are
    downloaded once into ./data.
    Raises FileNotFoundError or ValueError for a folder without them or with altered ones, DownloadError, OSError.
    """
    root = root or os.environ.get("CIFAR10_ROOT")
    folder = Path(root or "data")
    batches = folder / CIFAR10.base_folder
    if root and not batches.is_dir():
        raise FileNotFoundError(f"{folder.resolve()} holds no {CIFAR10.base_folder}; let CIFAR10_ROOT name the folder "
                                "that contains it, or unset it to have CIFAR-10 downloaded")
    if not root and not batches.is_dir():
        download(folder, mirrors)
    # Without a root torchvision also unpacks the archive, whenever a batch file is missing or altered.
    try:
        parts = [CIFAR10(folder, train=train, download=not root and (folder / CIFAR10.filename).exists())
                 for train in (True, False)]
    except RuntimeError as error:
        raise ValueError(f"a file in {batches.resolve()} is missing, truncated or altered (its MD5 differs); delete that "
                         "folder and have it downloaded again, or copy it once more") from error
    return tuple(ImageSet("CIFAR-10", part.data, np.asarray(part.targets), tuple(part.classes)) for part in parts)


def load_digits() -> tuple[ImageSet, ImageSet]:
    """scikit-learn's 1,797 handwritten digits (8×8, 17 shades) as 32×32 colour images; the last 360 are the test set."""
    from sklearn.datasets import load_digits as sklearn_digits  # only those without CIFAR-10 need it

    digits = sklearn_digits()
    side = (digits.images * 255 / 16).round().astype(np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    both = ImageSet("handwritten digits", side[..., None].repeat(3, axis=3), digits.target.astype(np.int64),
                    tuple(str(name) for name in digits.target_names))
    return both.take(slice(0, -360)), both.take(slice(-360, None))


def load_images(root=None) -> tuple[ImageSet, ImageSet]:
    """CIFAR-10's training and test images or, with no data and no network, handwritten digits and a loud notice."""
    try:
        return load_cifar10(root)
    except DownloadError as error:
        print(f"{'=' * 100}\nNOT CIFAR-10. {error}\nUntil then scikit-learn's handwritten digits stand in, so that every "
              f"cell can be seen working.\nNo figure from here on says anything about CIFAR-10.\n{'=' * 100}", flush=True)
        return load_digits()


def split(data: ImageSet, held_out: int) -> tuple[ImageSet, ImageSet]:
    """(the rest, `held_out` images), the same ones for every seed; never more than a tenth of the data is held out."""
    order = np.random.default_rng(0).permutation(len(data))
    held_out = min(held_out, len(data) // 10)
    return data.take(np.sort(order[held_out:])), data.take(np.sort(order[:held_out]))


def normalize(images: torch.Tensor) -> torch.Tensor:
    """uint8 (N, H, W, 3) to float32 (N, 3, H, W) of mean 0 and deviation 1 over CIFAR-10, in the device's memory format."""
    mean, std = (255 * torch.tensor(values, device=images.device) for values in (CIFAR10_MEAN, CIFAR10_STD))
    return ((images - mean) / std).permute(0, 3, 1, 2).contiguous(memory_format=memory_format(images.device))


class _Batches(Dataset):
    """A whole batch for each item, drawn from a random stream of its own: no worker has a stream, so none share one."""

    def __init__(self, data: ImageSet, policy):
        self.data, self.policy = data, policy

    def __getitem__(self, item):
        key, indices = item
        images = self.data.images[indices]
        if self.policy:
            generator = np.random.default_rng(key)
            self.policy.set_random_state(generator, random.Random(int(generator.integers(2**63))))
            images = np.stack([self.policy(image=image)["image"] for image in images])
        return torch.from_numpy(images), torch.from_numpy(self.data.labels[indices])


class _Order:
    """For each batch of an epoch its key (seed, epoch, batch) and its indices."""

    def __init__(self, size: int, batch_size: int, shuffle: bool, seed: int):
        self.size, self.batch_size, self.shuffle, self.seed, self.epoch = size, batch_size, shuffle, seed, 0

    def __len__(self):
        return -(-self.size // self.batch_size)

    def __iter__(self):
        order = np.arange(self.size)
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self.size)
        for batch, start in enumerate(range(0, self.size, self.batch_size)):
            yield (self.seed, self.epoch, batch), order[start:start + self.batch_size]


class Loader:
    """Batches on the device: images float32 (n, 3, 32, 32), normalised, and labels int64 (n,).

    A policy (albumentations, uint8 in and out) also has the images shuffled. Order and augmentation depend on
    (seed, epoch, batch) alone: on neither the number of workers nor the way they are started, and a run that is resumed
    sees what it would have seen. `set_epoch` chooses the epoch; the last batch is smaller where it has to be.
    """

    def __init__(self, data: ImageSet, batch_size: int, device, *, policy=None, seed=0, num_workers=0, start_method=None):
        self.data, self.device = data, torch.device(device)
        self.order = _Order(len(data), batch_size, shuffle=policy is not None, seed=seed)
        self.batches = DataLoader(_Batches(data, policy), sampler=self.order, batch_size=None, num_workers=num_workers,
                                  pin_memory=self.device.type == "cuda",
                                  multiprocessing_context=start_method if num_workers else None,
                                  generator=torch.Generator())  # or it draws from torch's global one, the network's

    def set_epoch(self, epoch: int) -> None:
        self.order.epoch = epoch

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self):
        non_blocking = self.device.type == "cuda"  # elsewhere the copy may run after the batch is freed
        for images, labels in self.batches:
            # uint8 travels, a quarter of float32's bytes; arithmetic on a whole batch costs the device next to nothing.
            yield (normalize(images.to(self.device, non_blocking=non_blocking)),
                   labels.to(self.device, non_blocking=non_blocking))


def make_loaders(train_set: ImageSet, test_set: ImageSet, recipe: Recipe, device, *, seed: int, num_workers=0):
    """(training, held-out or None, test) loaders of a recipe; the held-out images are the same for every seed."""
    train_set, held_out = split(train_set.take(slice(recipe.images)), recipe.held_out)
    policy = make_policy(shift=recipe.shift, scale=recipe.scale, rotate=recipe.rotate,
                         ssr_prob=recipe.ssr_prob, hole_prob=recipe.hole_prob)
    return (Loader(train_set, recipe.batch_size, device, policy=policy, seed=seed, num_workers=num_workers),
            Loader(held_out, 500, device) if len(held_out) else None,
            Loader(test_set, 500, device))
