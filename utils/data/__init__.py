"""Images, their augmentation, and the batches that training takes."""

from .augment import CIFAR10_MEAN, CIFAR10_STD, CUTOUT_SIDE, MEAN_PIXEL, A, make_augmentation
from .batch_augment import BatchAugment
from .download import DownloadError
from .images import ImageSet, load_cifar10, load_digits, load_images, normalize, split
from .loaders import DeviceLoader, Loader

__all__ = [
    "A",
    "BatchAugment",
    "CIFAR10_MEAN",
    "CIFAR10_STD",
    "CUTOUT_SIDE",
    "DeviceLoader",
    "DownloadError",
    "ImageSet",
    "Loader",
    "MEAN_PIXEL",
    "load_cifar10",
    "load_digits",
    "load_images",
    "make_augmentation",
    "normalize",
    "split",
]
