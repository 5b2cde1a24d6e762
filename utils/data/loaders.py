"""Batches for the network: augmented image by image on the host, or as a whole on the device."""

import random
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from .augment import A, make_augmentation
from .batch_augment import BatchAugment
from .images import ImageSet, normalize, split

__all__ = ["DeviceLoader", "Loader", "make_loaders"]

EVAL_BATCH = 500  # a batch for evaluation; it divides the 5,000 validation and 10,000 test images

Key = tuple[int, int, int]
Batch = tuple[torch.Tensor, torch.Tensor]


class _Batches(Dataset):
    """One item is a whole batch; it has a random stream of its own, in every worker the same."""

    def __init__(self, data: ImageSet, augmentation: A.Compose | None) -> None:
        self.data, self.augmentation = data, augmentation

    def __getitem__(self, item: tuple[Key, np.ndarray]) -> Batch:
        key, indices = item
        images = self.data.images[indices]
        if self.augmentation:
            generator = np.random.default_rng(key)
            other = random.Random(int(generator.integers(2**63)))
            self.augmentation.set_random_state(generator, other)
            images = np.stack([self.augmentation(image=image)["image"] for image in images])
        return torch.from_numpy(images), torch.from_numpy(self.data.labels[indices])


class _Order:
    """For each batch of an epoch: the key of its random stream, and the indices of its images."""

    def __init__(self, size: int, batch_size: int, shuffle: bool, seed: int) -> None:
        self.size, self.batch_size, self.shuffle = size, batch_size, shuffle
        self.seed, self.epoch = seed, 0

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Key, np.ndarray]]:
        order = np.arange(self.size)
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self.size)
        for batch, start in enumerate(range(0, self.size, self.batch_size)):
            # From 1: for NumPy the keys (seed, epoch) and (seed, epoch, 0) are the same stream.
            yield (self.seed, self.epoch, 1 + batch), order[start : start + self.batch_size]


class Loader:
    """Batches on the device: images float32 (n, 3, 32, 32), normalised, and labels int64 (n,).

    The augmentation takes and returns uint8 images. With one, the images are also shuffled. Order
    and augmentation depend only on (seed, epoch, batch). So the number of workers and the way they
    are started change nothing, and a resumed run sees the same batches. `set_epoch` chooses the
    epoch; the last batch may be smaller.
    """

    def __init__(
        self,
        data: ImageSet,
        batch_size: int,
        device: torch.device | str,
        *,
        augmentation: A.Compose | None = None,
        seed: int = 0,
        num_workers: int = 0,
        start_method: str | None = None,
    ) -> None:
        self.data, self.augmentation, self.device = data, augmentation, torch.device(device)
        shuffle = augmentation is not None
        self.order = _Order(len(data), batch_size, shuffle=shuffle, seed=seed)
        self.batches = DataLoader(
            _Batches(data, augmentation),
            sampler=self.order,
            batch_size=None,
            num_workers=num_workers,
            pin_memory=self.device.type == "cuda",
            multiprocessing_context=start_method if num_workers else None,
            # Without one, DataLoader draws from torch's global generator, which dropout also uses.
            generator=torch.Generator(),
        )

    def set_epoch(self, epoch: int) -> None:
        self.order.epoch = epoch

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Batch]:
        # On other devices such a copy may run after the batch's memory is freed.
        non_blocking = self.device.type == "cuda"
        for images, labels in self.batches:
            # uint8 is copied, a quarter of float32's bytes; normalising on the device costs little.
            images = images.to(self.device, non_blocking=non_blocking)
            yield normalize(images), labels.to(self.device, non_blocking=non_blocking)


class DeviceLoader:
    """`Loader` with the data set on the device, as uint8, where whole batches are augmented.

    Order and augmentation (see `BatchAugment`) depend only on (seed, epoch). If the device has no
    memory for the data set, it stays on the host, and a printed sentence says so.
    """

    def __init__(
        self,
        data: ImageSet,
        batch_size: int,
        device: torch.device | str,
        *,
        augmentation: BatchAugment | None = None,
        seed: int = 0,
    ) -> None:
        self.data, self.augmentation, self.batch_size = data, augmentation, batch_size
        self.device, self.seed, self.epoch = torch.device(device), seed, 0
        self.images = self._place(torch.from_numpy(data.images))
        self.labels = torch.from_numpy(data.labels).to(self.device)

    def _place(self, images: torch.Tensor) -> torch.Tensor:
        try:
            return images.to(self.device)
        except RuntimeError as error:  # torch.OutOfMemoryError is one; mps raises plain ones
            if "out of memory" not in str(error) and "Invalid buffer size" not in str(error):
                raise
        print(
            f"{len(images):,} images do not fit into the memory of {self.device}: "
            "they stay on the host, and each batch is copied"
        )
        return images

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
        order = torch.from_numpy(order)
        here, there = order.to(self.images.device), order.to(self.device)
        for start in range(0, n, self.batch_size):
            batch = slice(start, start + self.batch_size)
            images = self.images[here[batch]].to(self.device)
            if self.augmentation:
                augmented = self.augmentation(
                    images.permute(0, 3, 1, 2), *(part[batch] for part in drawn)
                )
                images = augmented.permute(0, 2, 3, 1)
            yield normalize(images), self.labels[there[batch]]


def make_loaders(
    train_set: ImageSet,
    test_set: ImageSet,
    *,
    batch_size: int,
    val_images: int,
    augmentation: dict[str, float],
    on_device: bool,
    device: torch.device | str,
    seed: int,
    num_workers: int = 0,
) -> tuple[Loader | DeviceLoader, DeviceLoader | None, DeviceLoader]:
    """(training, validation or None, test) loaders; see `split` for the validation images.

    `augmentation` holds the arguments of `make_augmentation`. With `on_device` whole batches are
    augmented there, and workers are not used.
    """
    train_set, val_set = split(train_set, val_images)
    if on_device:
        train_loader = DeviceLoader(
            train_set, batch_size, device, augmentation=BatchAugment(**augmentation), seed=seed
        )
    else:
        train_loader = Loader(
            train_set,
            batch_size,
            device,
            augmentation=make_augmentation(**augmentation),
            seed=seed,
            num_workers=num_workers,
        )
    val_loader = DeviceLoader(val_set, EVAL_BATCH, device) if len(val_set) else None
    return train_loader, val_loader, DeviceLoader(test_set, EVAL_BATCH, device)
