"""Batches for the network: augmented as a whole on the device, or image by image on the host."""

import random
from collections.abc import Iterator

import numpy as np
import torch

from .augment import A
from .batch_augment import BatchAugment
from .images import ImageSet, normalize

__all__ = ["DeviceLoader", "Loader"]

Batch = tuple[torch.Tensor, torch.Tensor]


class DeviceLoader:
    """Batches on the device: images float32 (n, 3, 32, 32), normalised, and labels int64 (n,).

    The data set lies on the device, as uint8. With an augmentation the images are shuffled, without
    one they keep their order. Order and augmentation depend only on (seed, epoch), so a resumed run
    sees the same batches. `set_epoch` chooses the epoch; the last batch may be smaller.
    """

    def __init__(
        self,
        data: ImageSet,
        batch_size: int,
        device: torch.device | str,
        *,
        augmentation: BatchAugment | A.Compose | None = None,
        seed: int = 0,
    ) -> None:
        self.data, self.augmentation, self.batch_size = data, augmentation, batch_size
        self.device, self.seed, self.epoch = torch.device(device), seed, 0
        self.images = torch.from_numpy(data.images).to(self.device)
        self.labels = torch.from_numpy(data.labels).to(self.device)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.data) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        n, side = len(self.data), self.images.shape[1]
        order, drawn = np.arange(n), []
        if self.augmentation:
            generator = np.random.default_rng((self.seed, self.epoch))
            order = generator.permutation(n)
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


class Loader(DeviceLoader):
    """`DeviceLoader` for an augmentation in albumentations, which takes image by image."""

    def __iter__(self) -> Iterator[Batch]:
        n = len(self.data)
        generator = np.random.default_rng((self.seed, self.epoch))
        order = generator.permutation(n)
        other = random.Random(int(generator.integers(2**63)))  # albumentations draws from both
        self.augmentation.set_random_state(generator, other)
        for start in range(0, n, self.batch_size):
            indices = order[start : start + self.batch_size]
            images = [
                self.augmentation(image=image)["image"] for image in self.data.images[indices]
            ]
            # uint8 is copied, a quarter of float32's bytes; normalising on the device costs little.
            images = torch.from_numpy(np.stack(images)).to(self.device)
            yield normalize(images), self.labels[torch.from_numpy(indices).to(self.device)]
