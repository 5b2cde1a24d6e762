"""What carries images to the network: one by one through albumentations, or whole batches on the device."""
import random

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from .augment import A, make_augmentation
from .batch_augment import BatchAugment
from .images import ImageSet, normalize, split

__all__ = ["DeviceLoader", "Loader", "make_loaders"]


class _Batches(Dataset):
    """A whole batch for each item, drawn from a random stream of its own: no worker has a stream, so none share one."""

    def __init__(self, data: ImageSet, augmentation):
        self.data, self.augmentation = data, augmentation

    def __getitem__(self, item):
        key, indices = item
        images = self.data.images[indices]
        if self.augmentation:
            generator = np.random.default_rng(key)
            self.augmentation.set_random_state(generator, random.Random(int(generator.integers(2**63))))
            images = np.stack([self.augmentation(image=image)["image"] for image in images])
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
            yield (self.seed, self.epoch, 1 + batch), order[start:start + self.batch_size]


class Loader:
    """Batches on the device: images float32 (n, 3, 32, 32), normalised, and labels int64 (n,).

    An augmentation (albumentations, uint8 in and out) also has the images shuffled. Order and augmentation depend on
    (seed, epoch, batch) alone: on neither the number of workers nor the way they are started, and a run that is resumed
    sees what it would have seen. `set_epoch` chooses the epoch; the last batch is smaller where it has to be.
    """

    def __init__(self, data: ImageSet, batch_size: int, device, *, augmentation=None, seed=0, num_workers=0, start_method=None):
        self.data, self.augmentation, self.device = data, augmentation, torch.device(device)
        self.order = _Order(len(data), batch_size, shuffle=augmentation is not None, seed=seed)
        self.batches = DataLoader(_Batches(data, augmentation), sampler=self.order, batch_size=None, num_workers=num_workers,
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


class DeviceLoader:
    """`Loader`, with the data set on the device as uint8 and whole batches augmented there, see `BatchAugment`.

    (seed, epoch) decides all that is drawn. A data set that the device has no memory for stays on the host, and a printed
    sentence says so.
    """

    def __init__(self, data: ImageSet, batch_size: int, device, *, augmentation: BatchAugment | None = None, seed=0):
        self.data, self.augmentation, self.batch_size = data, augmentation, batch_size
        self.device, self.seed, self.epoch = torch.device(device), seed, 0
        images = torch.from_numpy(data.images)
        try:
            self.images = images.to(self.device)
        except RuntimeError as error:  # torch.OutOfMemoryError is one; mps raises plain ones
            if "out of memory" not in str(error) and "Invalid buffer size" not in str(error):
                raise
            print(f"{len(data):,} images do not fit into the memory of {self.device}: they stay on the host, "
                  "and each batch is copied")
            self.images = images
        self.labels = torch.from_numpy(data.labels).to(self.device)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.data) // self.batch_size)

    def __iter__(self):
        n, side = len(self.data), self.images.shape[1]
        order, drawn = np.arange(n), []
        if self.augmentation:
            generator = np.random.default_rng((self.seed, self.epoch))
            order = generator.permutation(n)
            drawn = [torch.from_numpy(part).to(self.device) for part in self.augmentation.draw(n, side, generator)]
        order = torch.from_numpy(order)
        here, there = order.to(self.images.device), order.to(self.device)
        for start in range(0, n, self.batch_size):
            batch = slice(start, start + self.batch_size)
            images = self.images[here[batch]].to(self.device)
            if self.augmentation:
                images = images.permute(0, 3, 1, 2)
                images = self.augmentation(images, *(part[batch] for part in drawn)).permute(0, 2, 3, 1)
            yield normalize(images), self.labels[there[batch]]


def make_loaders(
    train_set: ImageSet,
    test_set: ImageSet,
    *,
    batch_size: int,
    val_images: int,
    augmentation: dict[str, float],
    on_device: bool,
    device,
    seed: int,
    num_workers=0,
) -> tuple:
    """(training, validation or None, test) loaders; the validation images are the same for every seed.

    `augmentation` are the arguments of `make_augmentation`. With `on_device` whole batches are augmented there, which
    has no use for workers.
    """
    train_set, val_set = split(train_set, val_images)
    if on_device:
        batches = BatchAugment(**augmentation)
        train_loader = DeviceLoader(train_set, batch_size, device, augmentation=batches, seed=seed)
    else:
        single = make_augmentation(**augmentation)
        train_loader = Loader(train_set, batch_size, device, augmentation=single, seed=seed, num_workers=num_workers)
    return train_loader, *(DeviceLoader(data, 500, device) if len(data) else None for data in (val_set, test_set))
