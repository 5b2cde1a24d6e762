"""Both loaders: their order, their random streams, their devices."""

import numpy as np
import pytest
import torch

from utils.data import (
    CIFAR10_MEAN,
    CIFAR10_STD,
    MEAN_PIXEL,
    BatchAugment,
    DeviceLoader,
    ImageSet,
    Loader,
    make_augmentation,
)

HALF = {"shift": 0.125, "scale": 0.1, "rotate": 15, "affine_prob": 0.5, "cutout_prob": 0.5}
ALWAYS = HALF | {"affine_prob": 1, "cutout_prob": 1}
NEVER = HALF | {"affine_prob": 0, "cutout_prob": 0}
KINDS = {Loader: make_augmentation, DeviceLoader: BatchAugment}
both_kinds = pytest.mark.parametrize("kind", KINDS)


def loader_of(kind: type, data: ImageSet, batch_size: int, settings: dict, **options):
    return kind(data, batch_size, "cpu", augmentation=KINDS[kind](**settings), **options)


def collect(loader, epochs=(0,)) -> tuple[torch.Tensor, torch.Tensor]:
    """All images and labels of these epochs."""
    batches = []
    for epoch in epochs:
        loader.set_epoch(epoch)
        batches += [(images.clone(), labels.clone()) for images, labels in loader]
    return tuple(torch.cat(part) for part in zip(*batches, strict=True))


def numbered(n: int) -> ImageSet:
    """Grey images whose level is their number, and so is their label; a flip changes nothing."""
    images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 32, 32, 3))
    return ImageSet("numbered", images.copy(), np.arange(n), ())


def same(image: np.ndarray, n: int) -> ImageSet:
    return ImageSet("same", image[None].repeat(n, axis=0), np.zeros(n, np.int64), ())


def test_without_augmentation_nothing_is_shuffled_or_changed(images):
    pixels, labels = collect(DeviceLoader(images, 16, "cpu", seed=3), epochs=(0, 1))
    expected = (images.images / 255 - np.array(CIFAR10_MEAN)) / np.array(CIFAR10_STD)
    assert pixels.dtype == torch.float32 and labels.dtype == torch.int64
    assert np.allclose(pixels[:60].permute(0, 2, 3, 1), expected, atol=1e-5)
    assert torch.equal(pixels[:60], pixels[60:]) and labels.tolist() == 2 * images.labels.tolist()


@both_kinds
def test_shuffled_and_complete_in_an_order_of_each_epoch_and_seed(kind):
    orders = set()
    for seed in (0, 1):
        for epoch in (0, 1, 2):
            loader = loader_of(kind, numbered(60), 16, NEVER, seed=seed)
            pixels, labels = collect(loader, (epoch,))
            levels = (pixels[:, 0, 0, 0] * CIFAR10_STD[0] + CIFAR10_MEAN[0]).mul(255).round()
            assert levels.tolist() == labels.tolist()  # each image keeps its label
            assert sorted(labels.tolist()) == list(range(60))
            orders.add(tuple(labels.tolist()))
    assert len(orders) == 6 and tuple(range(60)) not in orders
    assert [len(labels) for _, labels in loader] == [16, 16, 16, 12] and len(loader) == 4


@both_kinds
def test_every_image_batch_epoch_and_seed_draws_anew(images, kind):
    data = same(images.images[0], 24)
    drawn = [
        collect(loader_of(kind, data, 8, ALWAYS, seed=seed), epochs=(0, 1))[0] for seed in (0, 1)
    ]
    assert len(torch.unique(torch.cat(drawn).flatten(1), dim=0)) == 2 * 48


@both_kinds
def test_torchs_generators_and_numpys_are_left_alone(images, kind):
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    collect(loader_of(kind, images, 8, HALF))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])


@both_kinds
def test_flip_and_cutout_are_drawn_independently(kind):
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, :16] = 60  # the left half is brighter, so a flip shows
    settings = NEVER | {"cutout_prob": 0.5}
    drawn, _ = collect(loader_of(kind, same(image, 400), 100, settings))
    mean = (np.array(MEAN_PIXEL) / 255 - CIFAR10_MEAN) / CIFAR10_STD
    in_cutout = (drawn - torch.tensor(mean).view(1, 3, 1, 1)).abs().amax(1) < 1e-3
    cut = in_cutout.flatten(1).sum(1)
    assert set(cut.tolist()) == {0, 256}
    flipped = drawn[:, 0, :, 0].amin(1) < drawn[:, 0, :, 31].amin(1)
    counts = [int(((cut > 0) == a).logical_and(flipped == b).sum()) for a in (0, 1) for b in (0, 1)]
    assert min(counts) > 60  # about 100 each
