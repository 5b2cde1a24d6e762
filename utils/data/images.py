"""Images in memory: CIFAR-10, or handwritten digits where there is none."""

import contextlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import extract_archive

from .augment import CIFAR10_MEAN, CIFAR10_STD
from .download import MIRRORS, DownloadError, download

__all__ = ["ImageSet", "load_cifar10", "load_digits", "load_images", "normalize", "split"]


@dataclass(frozen=True)
class ImageSet:
    """A data set in memory.

    `images` is uint8 (N, 32, 32, 3) of range 0–255, `labels` int64 (N,), `classes` their names.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray | slice) -> "ImageSet":
        """The images at these indices, in their order."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])


def load_cifar10(
    root: str | Path | None = None, *, mirrors: Sequence[str] = MIRRORS
) -> tuple[ImageSet, ImageSet]:
    """The 50,000 training and 10,000 test images of CIFAR-10 (Krizhevsky 2009), checked by MD5.

    `root`, or else the folder that CIFAR10_ROOT names, has to hold cifar-10-batches-py. If neither
    is given, the images are downloaded once into ./data. Raises FileNotFoundError for a folder
    without them, ValueError for altered ones, DownloadError or OSError for a failed download.
    """
    root = root or os.environ.get("CIFAR10_ROOT")
    folder = Path(root or "data")
    batches = folder / CIFAR10.base_folder
    if root and not batches.is_dir():
        raise FileNotFoundError(
            f"{folder.resolve()} holds no {CIFAR10.base_folder}; let CIFAR10_ROOT name the folder "
            "that contains it, or unset it to have CIFAR-10 downloaded"
        )
    if not batches.is_dir():
        _unpack(download(folder, mirrors), batches)
    try:
        parts = [CIFAR10(folder, train=train) for train in (True, False)]
    except RuntimeError as error:
        raise ValueError(
            f"a file in {batches.resolve()} is missing, truncated or altered (its MD5 differs); "
            "delete that folder and have it downloaded again, or copy it once more"
        ) from error
    return tuple(
        ImageSet("CIFAR-10", part.data, np.asarray(part.targets), tuple(part.classes))
        for part in parts
    )


def _unpack(archive: Path, batches: Path) -> None:
    """In a folder of its own first: other processes may be about it too."""
    with tempfile.TemporaryDirectory(dir=batches.parent) as place:
        extract_archive(str(archive), place)
        with contextlib.suppress(OSError):  # another one was faster
            Path(place, batches.name).rename(batches)


def load_digits() -> tuple[ImageSet, ImageSet]:
    """scikit-learn's 1,797 handwritten digits as 32×32 colour images.

    The last 360 are the test set. The originals are 8×8 with 17 grey levels; each pixel of theirs
    becomes 4×4.
    """
    from sklearn.datasets import load_digits as sklearn_digits  # needed only without CIFAR-10

    digits = sklearn_digits()
    grey = (digits.images * 255 / 16).round().astype(np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    images, labels = grey[..., None].repeat(3, axis=3), digits.target.astype(np.int64)
    classes = tuple(str(name) for name in digits.target_names)
    both = ImageSet("handwritten digits", images, labels, classes)
    return both.take(slice(0, -360)), both.take(slice(-360, None))


def load_images() -> tuple[ImageSet, ImageSet]:
    """CIFAR-10's training and test images, or handwritten digits if no mirror can be reached.

    A loud notice says so. Raises what `load_cifar10` raises for the folder of CIFAR10_ROOT.
    """
    try:
        return load_cifar10()
    except DownloadError as error:
        line = "=" * 100
        print(
            f"{line}\nNOT CIFAR-10. {error}\n"
            "Until then scikit-learn's handwritten digits take its place: every cell runs.\n"
            f"No figure from here on says anything about CIFAR-10.\n{line}",
            flush=True,
        )
        return load_digits()


def split(data: ImageSet, val_images: int) -> tuple[ImageSet, ImageSet]:
    """(training images, validation images): `val_images` of them, at most a tenth of the data.

    They are drawn at random, and are the same ones for every seed.
    """
    order = np.random.default_rng(0).permutation(len(data))
    val_images = min(val_images, len(data) // 10)
    return data.take(np.sort(order[val_images:])), data.take(np.sort(order[:val_images]))


@cache  # to make a tensor on a GPU from numbers waits until the GPU has finished its work
def _statistics(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    mean, std = torch.tensor([CIFAR10_MEAN, CIFAR10_STD], device=device) * 255
    return mean, std


def normalize(images: torch.Tensor) -> torch.Tensor:
    """0–255 (N, H, W, 3) to float32 (N, 3, H, W) of mean 0 and deviation 1 over CIFAR-10."""
    mean, std = _statistics(images.device)
    return ((images - mean) / std).permute(0, 3, 1, 2)
