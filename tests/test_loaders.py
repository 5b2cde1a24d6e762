"""Both loaders: their random numbers, and the policy on whole batches held against albumentations."""
from dataclasses import replace

import numpy as np
import pytest
import torch

from utils.augment import A, CIFAR10_MEAN, CIFAR10_STD, MEAN_PIXEL, make_policy
from utils.batch_policy import grid_of, steps_of
from utils.data import ImageSet, split
from utils.loaders import DeviceLoader, Loader, make_loaders
from utils.recipes import RECIPES

POLICY = {"shift": 0.125, "scale": 0.1, "rotate": 15}


def collect(loader, epochs=(0,)):
    batches = []
    for epoch in epochs:
        loader.set_epoch(epoch)
        batches += [(images.clone(), labels.clone()) for images, labels in loader]
    return torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_workers_change_nothing(images, start_method):
    policy = make_policy(**POLICY, ssr_prob=0.5, hole_prob=0.5)
    alone = collect(Loader(images, 8, "cpu", policy=policy), epochs=(0, 1))
    shared = collect(Loader(images, 8, "cpu", policy=policy, num_workers=2, start_method=start_method), epochs=(0, 1))
    assert torch.equal(alone[0], shared[0]) and torch.equal(alone[1], shared[1])


def test_every_image_batch_and_epoch_draws_anew(images):
    same = ImageSet("same", images.images[:1].repeat(24, axis=0), images.labels[:1].repeat(24), images.classes)
    policy = make_policy(**POLICY, ssr_prob=1, hole_prob=1)
    drawn, _ = collect(Loader(same, 8, "cpu", policy=policy, num_workers=2, start_method="fork"), epochs=(0, 1))
    assert len(torch.unique(drawn.flatten(1), dim=0)) == len(drawn) == 48
    other, _ = collect(Loader(same, 8, "cpu", policy=policy, seed=1))
    assert not torch.equal(other, drawn[:24])


def test_steps_of_the_policy_are_drawn_independently(images):
    flat = ImageSet("flat", np.zeros((400, 32, 32, 3), np.uint8), np.zeros(400, np.int64), ("one",))
    flat.images[:, :, :16] = 60  # the left half is brighter, so a flip shows
    drawn, _ = collect(Loader(flat, 100, "cpu", policy=make_policy(**POLICY, ssr_prob=0, hole_prob=0.5)))
    hole = torch.from_numpy(((np.array(MEAN_PIXEL) / 255 - CIFAR10_MEAN) / CIFAR10_STD).astype(np.float32))
    is_hole = (drawn - hole.view(1, 3, 1, 1)).abs().amax(1) < 1e-3
    holes = is_hole.flatten(1).sum(1)
    assert set(holes.tolist()) == {0, 256}
    flipped = drawn[:, 0, :, 0].mean(1) < drawn[:, 0, :, 31].mean(1)
    counts = [int(((holes > 0) == a).logical_and(flipped == b)[holes == (256 if a else 0)].sum()) for a in (0, 1) for b in (0, 1)]
    assert min(counts) > 60  # about 100 each


def test_shuffled_and_complete(images):
    policy = make_policy(**POLICY, ssr_prob=0, hole_prob=0)
    loader = Loader(images, 16, "cpu", policy=policy)
    _, labels = collect(loader)
    assert len(loader) == 4 and sorted(labels.tolist()) == sorted(images.labels.tolist())
    assert labels.tolist() != images.labels.tolist()
    assert collect(Loader(images, 16, "cpu"))[1].tolist() == images.labels.tolist()


def test_held_out_images_are_the_same_for_every_seed(images):
    rest, held_out = split(images, 6)
    assert len(rest) == 54 and len(held_out) == 6
    assert not {image.tobytes() for image in rest.images} & {image.tobytes() for image in held_out.images}
    first, second = (make_loaders(images, images, RECIPES["quick"], "cpu", seed=seed)[1] for seed in (0, 1))
    assert torch.equal(collect(first)[0], collect(second)[0])


def test_shifts_are_whole_pixels_both_ways():
    image = np.zeros((32, 32, 3), np.uint8)
    image[16, 16] = 255
    policy = make_policy(shift=0.125, scale=0, rotate=0, ssr_prob=1, hole_prob=0)
    policy.transforms[0].p = 0
    policy.set_random_seed(0)
    spots = [np.argwhere(policy(image=image)["image"][..., 0] == 255) for _ in range(200)]
    assert all(len(spot) == 1 for spot in spots)
    assert {int(spot[0, 0]) - 16 for spot in spots} == {int(spot[0, 1]) - 16 for spot in spots} == set(range(-3, 4))


# --- the policy on whole batches ----------------------------------------------------------------------------------------

def steps(**settings):
    policy = make_policy(**{**POLICY, "ssr_prob": 1, "hole_prob": 1} | settings)
    return policy, steps_of(policy)


def batch(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def test_the_same_draws_give_the_same_images():
    images = np.random.default_rng(0).integers(0, 256, (200, 32, 32, 3), dtype=np.uint8)
    images[:100] = images[:100] // 8 * 4 + np.arange(32, dtype=np.uint8)[:, None] * 4  # smoother ones, as photographs are
    policy, (flip, affine, hole) = steps()
    policy.set_random_seed(0)
    expected, flipped, matrices, corners = [], [], [], []
    for image in images:
        policy.transforms[0].p = 1 if (apply := len(flipped) % 2 == 0) else 0
        expected.append(policy(image=image)["image"])
        flipped.append(apply)
        matrices.append(policy.transforms[1].params["matrix"])
        x, y = policy.transforms[2].params["holes"][0][:2]
        corners.append((y, x))
    ours = flip.apply(batch(images), torch.tensor(flipped))
    assert torch.equal(ours, batch(np.stack([image[:, ::-1] if mirror else image for image, mirror in zip(images, flipped)])))
    ours = affine.apply(ours, torch.from_numpy(grid_of(np.stack(matrices), 32)))
    ours = hole.apply(ours, torch.tensor(corners))
    theirs = batch(np.stack(expected))
    assert (ours - theirs).abs().max() <= 3
    in_hole = (theirs == torch.tensor(MEAN_PIXEL).view(1, 3, 1, 1)).all(1)
    assert (ours.permute(0, 2, 3, 1)[in_hole] == torch.tensor(MEAN_PIXEL)).all() and in_hole.sum() >= 200 * 256


def test_no_draw_changes_nothing(images):
    _, all_steps = steps(ssr_prob=0, hole_prob=0)
    pixels = batch(images.images)
    for step in all_steps[1:]:
        drawn = torch.from_numpy(step.draw(len(pixels), 32, np.random.default_rng(0)))
        assert torch.equal(step.apply(pixels, drawn).float(), pixels.float())


def test_draws_are_distributed_as_albumentations_draws_them():
    """Both sides of 4,000 draws: means and deviations of every parameter agree within five standard errors."""
    n, generator = 4000, np.random.default_rng(0)
    policy, (flip, affine, hole) = steps()
    policy.set_random_seed(0)
    blank, theirs, holes = np.zeros((32, 32, 3), np.uint8), [], []
    for _ in range(n):
        policy(image=blank)
        theirs.append(policy.transforms[1].params["matrix"])
        holes.append(policy.transforms[2].params["holes"][0][1::-1])

    def parameters(matrix):
        scale_x, scale_y = np.hypot(matrix[:, 0, 0], matrix[:, 1, 0]), np.hypot(matrix[:, 0, 1], matrix[:, 1, 1])
        angle = np.rad2deg(np.arctan2(-matrix[:, 1, 0], matrix[:, 0, 0]))
        shift = matrix[:, :2, :2] @ np.full(2, 15.5) + matrix[:, :2, 2] - 15.5  # where the middle goes
        return np.column_stack([scale_x, scale_y, angle, shift])

    theirs = np.column_stack([parameters(np.stack(theirs)), holes])
    ours = np.column_stack([parameters(affine.matrices(n, 32, generator)), hole.draw(n, 32, generator)])
    for power in (1, 2):
        spread = np.hypot((theirs**power).std(0), (ours**power).std(0)) / n**0.5
        assert (abs((theirs**power).mean(0) - (ours**power).mean(0)) < 5 * spread).all()
    assert np.allclose(np.sort(ours, axis=0)[[0, -1]], np.sort(theirs, axis=0)[[0, -1]], atol=0.3)  # the limits
    for drawn in (theirs, ours):
        assert abs(np.corrcoef(drawn.T) - np.eye(7)).max() < 0.08  # independent of each other, x of y as well
        shifts = drawn[:, 3:5].round(3)
        assert set(np.unique(shifts)) == {-3, -2, -1, 0, 1, 2, 3}  # whole pixels
    assert abs(flip.draw(n, 32, generator).mean() - 0.5) < 0.04
    (_, half, hole_half) = steps(ssr_prob=0.5, hole_prob=0.5)[1]
    assert abs((half.matrices(n, 32, generator) == np.eye(3)).all((1, 2)).mean() - 0.5) < 0.04
    assert abs((hole_half.draw(n, 32, generator) < 0).all(1).mean() - 0.5) < 0.04


def test_limits_and_probabilities_are_the_policys():
    generator = np.random.default_rng(0)
    policy = A.Compose([A.HorizontalFlip(p=0.2), A.ShiftScaleRotate(shift_limit_x=(0.25, 0.25), shift_limit_y=0, scale_limit=0,
                                                                      rotate_limit=(90, 90), border_mode=4, p=1.0)])
    flip, affine = steps_of(policy)
    assert 0.1 < flip.draw(1000, 32, generator).mean() < 0.3
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    drawn = torch.from_numpy(affine.draw(1, 32, generator))
    policy.transforms[0].p = 0
    assert torch.equal(affine.apply(batch(image[None]), drawn), batch(policy(image=image)["image"][None]).float())


@pytest.mark.parametrize("transform, words", [
    (A.VerticalFlip(), "VerticalFlip: not known to the loader on the device, which knows HorizontalFlip, ShiftScaleRotate"),
    (A.Affine(scale=(0.9, 1.1)), "Affine: not known"),
    (A.OneOf([A.HorizontalFlip()]), "OneOf: not known"),
    (A.ShiftScaleRotate(), "ShiftScaleRotate with border_mode = 0 is not known to the loader on the device, which knows 4"),
    (A.ShiftScaleRotate(border_mode=4, interpolation=0), "with interpolation = 0"),
    (A.CoarseDropout(num_holes_range=(1, 2), hole_height_range=(16, 16), hole_width_range=(16, 16)), "num_holes_range"),
    (A.CoarseDropout(num_holes_range=(1, 1), hole_height_range=(8, 16), hole_width_range=(16, 16)), "one size in whole pixels"),
    (A.CoarseDropout(num_holes_range=(1, 1), hole_height_range=(0.5, 0.5), hole_width_range=(16, 16)), "one size in whole pixels"),
    (A.CoarseDropout(num_holes_range=(1, 1), hole_height_range=(16, 16), hole_width_range=(16, 16), fill="random"), "of one colour"),
    (A.CoarseDropout(num_holes_range=(1, 1), hole_height_range=(16, 16), hole_width_range=(0.5, 0.5)), "one size in whole pixels"),
], ids=lambda value: type(value).__name__ if not isinstance(value, str) else "")
def test_what_is_not_known_is_refused(images, transform, words):
    with pytest.raises(ValueError, match="leave that policy to albumentations, with on_device=False") as refused:
        DeviceLoader(images, 8, "cpu", policy=A.Compose([A.HorizontalFlip(), transform]))
    assert words in str(refused.value)


def test_a_policy_that_is_itself_drawn_is_refused():
    for policy in (A.Compose([A.HorizontalFlip()], p=0.5), A.OneOf([A.HorizontalFlip()], p=1)):
        with pytest.raises(ValueError, match="only a Compose with p = 1 is known"):
            steps_of(policy)


# --- the loader on the device -------------------------------------------------------------------------------------------

def test_device_loader_is_the_other_loader_where_nothing_is_drawn(images):
    for policy in (None, make_policy(**POLICY, ssr_prob=0, hole_prob=0)):
        if policy:
            policy.transforms[0].p = 0
        ours, theirs = (collect(kind(images, 16, "cpu", policy=policy, seed=3), epochs=(0, 1)) for kind in (DeviceLoader, Loader))
        assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])
        assert len(DeviceLoader(images, 16, "cpu", policy=policy)) == 4


def test_device_loader_draws_anew_for_image_epoch_and_seed(images):
    same = ImageSet("same", images.images[:1].repeat(24, axis=0), images.labels[:1].repeat(24), images.classes)
    policy = make_policy(**POLICY, ssr_prob=1, hole_prob=1)
    drawn, _ = collect(DeviceLoader(same, 8, "cpu", policy=policy), epochs=(0, 1))
    assert len(torch.unique(drawn.flatten(1), dim=0)) == 48
    again, _ = collect(DeviceLoader(same, 8, "cpu", policy=policy), epochs=(1,))
    other, _ = collect(DeviceLoader(same, 8, "cpu", policy=policy, seed=1), epochs=(1,))
    assert torch.equal(again, drawn[24:]) and not torch.equal(other, again)
    assert drawn.is_contiguous(memory_format=torch.channels_last)


def test_one_setting_switches(images):
    kinds = [type(make_loaders(images, images, replace(RECIPES["quick"], on_device=on), "cpu", seed=0)[0]) for on in (False, True)]
    assert kinds == [Loader, DeviceLoader]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
                                   RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
                                   RuntimeError("Invalid buffer size: 9.00 GiB")])
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
    assert len(refusals) == 1 and "60 images do not fit into the memory of cpu: they stay on the host" in capsys.readouterr().out
    assert torch.equal(collect(loader)[0], collect(Loader(images, 16, "cpu"))[0])


def test_other_errors_of_the_device_are_not_hidden(images, monkeypatch):
    def to(tensor, *args, **kwargs):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.Tensor, "to", to)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        DeviceLoader(images, 16, "cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_nothing_waits_for_the_gpu(images):
    loader = DeviceLoader(images, 8, "cuda", policy=make_policy(**POLICY, ssr_prob=0.5, hole_prob=0.5))
    batches = iter(loader)
    next(batches)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in batches:
            pass
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_hole_larger_than_the_image_fills_it():
    hole = steps_of(make_policy(**replace(RECIPES["s7"], hole_prob=1).policy))[-1]
    corners = torch.from_numpy(hole.draw(4, 8, np.random.default_rng(0)))
    filled = hole.apply(torch.zeros(4, 3, 8, 8), corners)
    hole.p = 0
    untouched = hole.apply(torch.zeros(4, 3, 8, 8), torch.from_numpy(hole.draw(4, 8, np.random.default_rng(0))))
    assert not untouched.any()
    assert torch.equal(filled, torch.tensor(hole.fill, dtype=torch.float32).view(1, 3, 1, 1).expand(4, 3, 8, 8))
