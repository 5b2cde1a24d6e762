"""Both loaders: their order, their random streams, their devices; and what make_loaders returns."""

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
    make_loaders,
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
    return torch.cat([images for images, _ in batches]), torch.cat(
        [labels for _, labels in batches]
    )


def numbered(n: int) -> ImageSet:
    """Grey images whose level is their number, and so is their label; a flip changes nothing."""
    images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 32, 32, 3))
    return ImageSet("numbered", images.copy(), np.arange(n), ())


def same(image: np.ndarray, n: int) -> ImageSet:
    return ImageSet("same", image[None].repeat(n, axis=0), np.zeros(n, np.int64), ())


def levels(images: torch.Tensor) -> list[int]:
    """The numbers of `numbered` images."""
    return (images[:, 0, 0, 0] * CIFAR10_STD[0] + CIFAR10_MEAN[0]).mul(255).round().int().tolist()


# --- order ----------------------------------------------------------------------------------------


@both_kinds
def test_without_augmentation_nothing_is_shuffled_or_changed(images, kind):
    pixels, labels = collect(kind(images, 16, "cpu", seed=3), epochs=(0, 1))
    expected = (images.images / 255 - np.array(CIFAR10_MEAN)) / np.array(CIFAR10_STD)
    assert pixels.dtype == torch.float32 and labels.dtype == torch.int64
    assert np.allclose(pixels[:60].permute(0, 2, 3, 1), expected, atol=1e-5)
    assert torch.equal(pixels[:60], pixels[60:]) and labels.tolist() == 2 * images.labels.tolist()


@both_kinds
def test_shuffled_and_complete(kind):
    loader = loader_of(kind, numbered(60), 16, NEVER)
    assert [len(labels) for _, labels in loader] == [16, 16, 16, 12] and len(loader) == 4
    pixels, labels = collect(loader)
    assert sorted(labels.tolist()) == list(range(60)) and labels.tolist() != list(range(60))
    assert levels(pixels) == labels.tolist()  # each image keeps its label


@both_kinds
def test_every_epoch_and_seed_has_its_own_order(kind):
    orders = [
        tuple(collect(loader_of(kind, numbered(60), 16, NEVER, seed=seed), (epoch,))[1].tolist())
        for seed in (0, 1)
        for epoch in (0, 1, 2)
    ]
    assert len(set(orders)) == 6


# --- random streams -------------------------------------------------------------------------------


@both_kinds
def test_every_image_batch_epoch_and_seed_draws_anew(images, kind):
    data = same(images.images[0], 24)
    drawn = [
        collect(loader_of(kind, data, 8, ALWAYS, seed=seed), epochs=(0, 1))[0] for seed in (0, 1)
    ]
    assert len(torch.unique(torch.cat(drawn).flatten(1), dim=0)) == 2 * 48


@both_kinds
def test_a_resumed_run_sees_the_same_batches(images, kind):
    whole = collect(loader_of(kind, images, 8, HALF), epochs=(0, 1, 2))
    resumed = collect(loader_of(kind, images, 8, HALF), epochs=(2,))
    assert all(torch.equal(a[120:], b) for a, b in zip(whole, resumed, strict=True))


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_workers_change_nothing(images, start_method):
    alone = collect(loader_of(Loader, images, 8, HALF), epochs=(0, 1))
    options = {"num_workers": 2, "start_method": start_method}
    shared = collect(loader_of(Loader, images, 8, HALF, **options), epochs=(0, 1))
    assert torch.equal(alone[0], shared[0]) and torch.equal(alone[1], shared[1])


def test_no_two_streams_are_equal(images, monkeypatch):
    """Those of the order, (seed, epoch), and those of the batches, (seed, epoch, 1 + batch)."""
    keys, real = [], np.random.default_rng

    def spy(key=None):  # albumentations itself asks for one without a key, and never uses it
        keys.append(key)
        return real(key)

    monkeypatch.setattr(np.random, "default_rng", spy)
    for seed in (0, 1, 2):
        collect(loader_of(Loader, images, 8, NEVER, seed=seed), epochs=(0, 1, 2))
    keys = [key for key in keys if key is not None]
    assert len(keys) == 3 * 3 * (1 + 8)  # one order and eight batches in each epoch
    assert len({real(key).random() for key in keys}) == len(keys)


@both_kinds
def test_torchs_generators_and_numpys_are_left_alone(images, kind):
    torch.manual_seed(0)
    np.random.seed(0)
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


# --- the device -----------------------------------------------------------------------------------


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
    RuntimeError("Invalid buffer size: 9.00 GiB"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: str(error)[:3])
def test_no_room_on_the_device(images, monkeypatch, capsys, error):
    real, refusals = torch.Tensor.to, []

    def to(tensor, *args, **kwargs):
        if tensor.dtype == torch.uint8 and len(tensor) == len(images):
            refusals.append(tensor)
            raise error
        return real(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "to", to)
    loader = DeviceLoader(images, 16, "cpu")
    monkeypatch.undo()
    message = "60 images do not fit into the memory of cpu: they stay on the host"
    assert len(refusals) == 1 and message in capsys.readouterr().out
    assert torch.equal(collect(loader)[0], collect(Loader(images, 16, "cpu"))[0])


def test_other_errors_of_the_device_are_not_hidden(images, monkeypatch):
    real = torch.Tensor.to

    def to(tensor, *args, **kwargs):
        if tensor.dtype == torch.uint8:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return real(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "to", to)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        DeviceLoader(images, 16, "cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_nothing_waits_for_the_gpu(images):
    batches = iter(DeviceLoader(images, 8, "cuda", augmentation=BatchAugment(**HALF)))
    next(batches)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in batches:
            pass
    finally:
        torch.cuda.set_sync_debug_mode("default")


# --- make_loaders ---------------------------------------------------------------------------------


def made(images: ImageSet, **changes) -> tuple:
    settings = {"batch_size": 8, "val_images": 6, "augmentation": HALF, "on_device": True}
    return make_loaders(images, images, **settings | {"device": "cpu", "seed": 0} | changes)


@pytest.mark.parametrize("on_device", [True, False])
def test_make_loaders(images, on_device):
    train_loader, val_loader, test_loader = made(images, on_device=on_device)
    assert type(train_loader) is (DeviceLoader if on_device else Loader)
    assert [len(loader.data) for loader in (train_loader, val_loader, test_loader)] == [54, 6, 60]
    kind = DeviceLoader if on_device else Loader
    expected = loader_of(kind, train_loader.data, 8, HALF, seed=0)
    assert torch.equal(collect(train_loader)[0], collect(expected)[0])
    other = made(images, on_device=on_device, seed=1)[0]
    assert not torch.equal(collect(train_loader)[0], collect(other)[0])


def test_validation_images_are_the_same_for_every_seed_and_never_trained_on(images):
    first, second = (made(images, seed=seed) for seed in (0, 1))
    assert torch.equal(collect(first[1])[0], collect(second[1])[0])
    trained, validated = ({image.tobytes() for image in part.data.images} for part in first[:2])
    assert not trained & validated and len(trained) == 54


def test_evaluation_changes_no_image(images):
    _, val_loader, test_loader = made(images, augmentation=ALWAYS)
    for loader in (val_loader, test_loader):
        plain = collect(Loader(loader.data, 8, "cpu"))
        assert all(torch.equal(a, b) for a, b in zip(collect(loader), plain, strict=True))


def test_without_validation_images_there_is_no_loader_for_them(images):
    train_loader, val_loader, _ = made(images, val_images=0)
    assert val_loader is None and len(train_loader.data) == 60


def test_workers_are_passed_on(images):
    assert made(images, on_device=False, num_workers=2)[0].batches.num_workers == 2
