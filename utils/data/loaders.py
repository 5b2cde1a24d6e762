"""Batches for the network: augmented image by image on the host, or as a whole on the device."""

import random
from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from .augment import A
from .batch_augment import BatchAugment
from .images import ImageSet, normalize

__all__ = ["DeviceLoader", "Loader"]

Batch = tuple[torch.Tensor, torch.Tensor]


class Loader:
    """Batches on the device: images float32 (n, 3, 32, 32), normalised, and labels int64 (n,).

    With an augmentation the images are also shuffled. Order and augmentation depend only on (seed,
    epoch, batch). So the number of workers and the way they are started change nothing, and a
    resumed run sees the same batches. `set_epoch` chooses the epoch; the last batch may be smaller.
    """

    def __init__(
        self,
        data: ImageSet,
        batch_size: int,
        device: torch.device | str,
        *,
        augmentation: A.Compose | BatchAugment | None = None,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        self.data, self.batch_size, self.device = data, batch_size, torch.device(device)
        self.augmentation, self.seed, self.num_workers = augmentation, seed, num_workers
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.data) // self.batch_size)

    def _draw_order(self) -> tuple[np.ndarray, np.random.Generator]:
        """The epoch's indices, and the generator that drew them."""
        n, generator = len(self.data), np.random.default_rng((self.seed, self.epoch))
        return generator.permutation(n) if self.augmentation else np.arange(n), generator

    def __iter__(self) -> Iterator[Batch]:
        order, _ = self._draw_order()
        parts = np.split(order, range(self.batch_size, len(order), self.batch_size))
        # From 1: for NumPy the keys (seed, epoch) and (seed, epoch, 0) are the same stream.
        keyed = [((self.seed, self.epoch, 1 + batch), part) for batch, part in enumerate(parts)]
        batches = DataLoader(
            _Batches(self.data, self.augmentation),
            sampler=keyed,
            batch_size=None,
            num_workers=self.num_workers,
            pin_memory=self.device.type == "cuda",
            # Without one, DataLoader draws from torch's global generator, which dropout also uses.
            generator=torch.Generator(),
        )
        # On other devices such a copy may run after the batch's memory is freed.
        non_blocking = self.device.type == "cuda"
        for images, labels in batches:
            # uint8 is copied, a quarter of float32's bytes; normalising on the device costs little.
            images = images.to(self.device, non_blocking=non_blocking)
            yield normalize(images), labels.to(self.device, non_blocking=non_blocking)


class _Batches(Dataset):
    """One item is a whole batch; it has a random stream of its own, in every worker the same."""

    def __init__(self, data: ImageSet, augmentation: A.Compose | None) -> None:
        self.data, self.augmentation = data, augmentation

    def __getitem__(self, item: tuple[tuple[int, int, int], np.ndarray]) -> Batch:
        key, indices = item
        images = self.data.images[indices]
        if self.augmentation:
            generator = np.random.default_rng(key)
            other = random.Random(int(generator.integers(2**63)))
            self.augmentation.set_random_state(generator, other)
            images = np.stack([self.augmentation(image=image)["image"] for image in images])
        return torch.from_numpy(images), torch.from_numpy(self.data.labels[indices])


class DeviceLoader(Loader):
    """`Loader` with the data set on the device, as uint8, where `BatchAugment` takes whole batches.

    Order and augmentation depend only on (seed, epoch). There is no work for workers.
    """

    @cached_property
    def images(self) -> torch.Tensor:
        return torch.from_numpy(self.data.images).to(self.device)

    @cached_property
    def labels(self) -> torch.Tensor:
        return torch.from_numpy(self.data.labels).to(self.device)

    def __iter__(self) -> Iterator[Batch]:
        (order, generator), drawn = self._draw_order(), []
        n, side = len(order), self.images.shape[1]
        if self.augmentation:
            parts = self.augmentation.draw(n, side, generator)
            drawn = [torch.from_numpy(part).to(self.device) for part in parts]
        order = torch.from_numpy(order).to(self.device)
        for start in range(0, n, self.batch_size):
            batch = slice(start, start + self.batch_size)
            images = self.images[order[batch]]
            if self.augmentation:
                images = images.permute(0, 3, 1, 2)
                images = self.augmentation(images, *(part[batch] for part in drawn))
                images = images.permute(0, 2, 3, 1)
            yield normalize(images), self.labels[order[batch]]
