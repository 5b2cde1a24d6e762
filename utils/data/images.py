"""Images in memory: CIFAR-10, or handwritten digits where there is none."""
import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torchvision.datasets import CIFAR10

from .augment import CIFAR10_MEAN, CIFAR10_STD
from .download import MIRRORS, DownloadError, download

__all__ = ["ImageSet", "load_cifar10", "load_digits", "load_images", "normalize", "split"]


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


def split(data: ImageSet, val_images: int) -> tuple[ImageSet, ImageSet]:
    """(training images, `val_images` validation images), the same ones for every seed; at most a tenth validates."""
    order = np.random.default_rng(0).permutation(len(data))
    val_images = min(val_images, len(data) // 10)
    return data.take(np.sort(order[val_images:])), data.take(np.sort(order[:val_images]))


@cache  # a tensor that is made on a GPU from numbers waits for all that the GPU has still to do
def _statistics(device) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(255 * torch.tensor(values, device=device) for values in (CIFAR10_MEAN, CIFAR10_STD))


def normalize(images: torch.Tensor) -> torch.Tensor:
    """0–255 (N, H, W, 3) to float32 (N, 3, H, W) of mean 0 and deviation 1 over CIFAR-10, channels last in memory."""
    mean, std = _statistics(images.device)
    return ((images - mean) / std).permute(0, 3, 1, 2)
