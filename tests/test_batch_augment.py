"""Augmentation of whole batches, held against albumentations."""

import cv2
import numpy as np
import pytest
import torch

from utils.data import CUTOUT_SIDE, MEAN_PIXEL, BatchAugment, make_augmentation
from utils.data.batch_augment import affine_matrices, sampling_grid

LIMITS = {"shift": 0.125, "scale": 0.1, "rotate": 15}
ALWAYS = LIMITS | {"affine_prob": 1, "cutout_prob": 1}
NEVER = LIMITS | {"affine_prob": 0, "cutout_prob": 0}
# Levels of 255 between OpenCV's interpolation and torch's, as measured; OpenCV 4 rounds coarser.
INTERPOLATION = 3 if int(cv2.__version__.split(".")[0]) >= 5 else 6
MEAN = torch.tensor(MEAN_PIXEL).view(1, 3, 1, 1)


def batch(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def tensors(*drawn: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(part) for part in drawn]


def pictures(n: int) -> np.ndarray:
    """Half noise, half smoother, as photographs are."""
    images = np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    images[: n // 2] = images[: n // 2] // 8 * 4 + np.arange(32, dtype=np.uint8)[:, None] * 4
    return images


def albumentations_draws(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Matrices (n, 3, 3) and cutout corners (n, 2) that albumentations draws for n images."""
    augmentation = make_augmentation(**ALWAYS)
    augmentation.set_random_seed(seed)
    matrices, corners = [], []
    for _ in range(n):
        augmentation(image=np.zeros((32, 32, 3), np.uint8))
        matrices.append(augmentation.transforms[1].params["matrix"])
        corners.append(augmentation.transforms[2].params["holes"][0][1::-1])
    return np.stack(matrices), np.array(corners)


# --- the same draws, the same images --------------------------------------------------------------


def test_the_same_draws_give_the_same_images():
    images, flipped = pictures(200), np.arange(200) % 2 == 0
    augmentation = make_augmentation(**ALWAYS)
    augmentation.set_random_seed(0)
    expected, matrices, corners = [], [], []
    for image, flip in zip(images, flipped, strict=True):
        augmentation.transforms[0].p = int(flip)
        expected.append(augmentation(image=image)["image"])
        matrices.append(augmentation.transforms[1].params["matrix"])
        corners.append(augmentation.transforms[2].params["holes"][0][1::-1])
    grid = sampling_grid(np.stack(matrices), 32)
    ours = BatchAugment(**ALWAYS)(batch(images), *tensors(flipped, grid, np.array(corners)))
    theirs = batch(np.stack(expected))
    assert ours.dtype == torch.float32 and (ours - theirs).abs().max() <= INTERPOLATION
    cutout = (theirs == MEAN).all(1)
    assert cutout.sum() >= 200 * CUTOUT_SIDE**2
    assert torch.equal((ours == MEAN).all(1) & cutout, cutout)


def test_flip_and_cutout_are_exact():
    images, flipped = pictures(100), np.arange(100) % 3 == 0
    _, corners = albumentations_draws(100)
    expected = images.copy()
    expected[flipped] = images[flipped, :, ::-1]
    for image, (top, left) in zip(expected, corners, strict=True):
        image[top : top + CUTOUT_SIDE, left : left + CUTOUT_SIDE] = MEAN_PIXEL
    identity = sampling_grid(np.stack([np.eye(3)] * 100), 32)
    ours = BatchAugment(**ALWAYS)(batch(images), *tensors(flipped, identity, corners))
    assert torch.equal(ours, batch(expected).float())


def test_a_quarter_turn_with_a_shift_is_exact():
    images = pictures(20)
    shift = np.array([[1, 0, 2], [0, 1, 0], [0, 0, 1]])  # (x, y, 1) to (x + 2, y, 1)
    turn = np.array([[0, 1, 0], [-1, 0, 31], [0, 0, 1]]) @ shift
    grid = sampling_grid(np.stack([turn] * 20), 32)
    no_cutout = np.full((20, 2), -CUTOUT_SIDE)
    ours = BatchAugment(**NEVER)(batch(images), *tensors(np.zeros(20, bool), grid, no_cutout))
    shifted = np.pad(images, ((0, 0), (0, 0), (2, 0), (0, 0)), "reflect")[:, :, :32]
    assert torch.equal(ours, batch(np.rot90(shifted, axes=(1, 2)).copy()).float())


def test_the_batch_itself_is_not_changed():
    images = batch(pictures(8))
    before, augmentation = images.clone(), BatchAugment(**ALWAYS)
    augmentation(images, *tensors(*augmentation.draw(8, 32, np.random.default_rng(0))))
    assert torch.equal(images, before)


def test_probabilities_of_0_change_nothing_but_flips():
    images, augmentation = batch(pictures(60)), BatchAugment(**NEVER)
    flipped, grid, corners = augmentation.draw(60, 32, np.random.default_rng(0))
    assert 15 < flipped.sum() < 45
    flipped, grid, corners = tensors(flipped, grid, corners)
    ours = augmentation(images, flipped, grid, corners)
    mirrored = torch.where(flipped.view(-1, 1, 1, 1), images.flip(3), images)
    assert torch.equal(ours, mirrored.float())


@pytest.mark.parametrize("side", [8, 15, 16])
def test_a_cutout_larger_than_the_image_fills_it(side: int):
    images = torch.zeros(4, 3, side, side)
    always, never = BatchAugment(**ALWAYS), BatchAugment(**NEVER)
    filled = always(images, *tensors(*always.draw(4, side, np.random.default_rng(0))))
    assert torch.equal(filled, MEAN.float().expand(4, 3, side, side))
    assert not never(images, *tensors(*never.draw(4, side, np.random.default_rng(0)))).any()


# --- the draws ------------------------------------------------------------------------------------


def parameters(matrices: np.ndarray) -> np.ndarray:
    """Scales of x and y, angle in degrees, shifts of x and y: (n, 5)."""
    scale_x = np.hypot(matrices[:, 0, 0], matrices[:, 1, 0])
    scale_y = np.hypot(matrices[:, 0, 1], matrices[:, 1, 1])
    angle = np.rad2deg(np.arctan2(-matrices[:, 1, 0], matrices[:, 0, 0]))
    shift = matrices[:, :2, :2] @ np.full(2, 15.5) + matrices[:, :2, 2] - 15.5  # of the middle
    return np.column_stack([scale_x, scale_y, angle, shift])


def test_draws_are_distributed_as_in_albumentations():
    """4,000 draws of both: means and squares of every parameter within five standard errors."""
    n = 4000
    matrices, corners = albumentations_draws(n)
    theirs = np.column_stack([parameters(matrices), corners])
    generator = np.random.default_rng(0)
    matrices = affine_matrices(n, 32, generator, **LIMITS)
    _, _, corners = BatchAugment(**ALWAYS).draw(n, 32, generator)
    ours = np.column_stack([parameters(matrices), corners])
    for power in (1, 2):
        error = np.hypot((theirs**power).std(0), (ours**power).std(0)) / n**0.5
        assert (abs((theirs**power).mean(0) - (ours**power).mean(0)) < 5 * error).all()
    smallest_and_largest = [np.sort(drawn, axis=0)[[0, -1]] for drawn in (ours, theirs)]
    assert np.allclose(*smallest_and_largest, atol=0.3)
    for drawn in (theirs, ours):  # independent of each other, also x of y
        assert abs(np.corrcoef(drawn.T) - np.eye(7)).max() < 0.08
        assert set(np.unique(drawn[:, 3:5].round(3))) == {-3, -2, -1, 0, 1, 2, 3}  # whole pixels
        assert set(np.unique(drawn[:, 5:])) == set(range(17))


def test_limits_of_0_draw_no_change():
    matrices = affine_matrices(5, 32, np.random.default_rng(0), shift=0, scale=0, rotate=0)
    assert np.array_equal(matrices, np.stack([np.eye(3)] * 5))


def test_draws_use_the_matrices_and_limits():
    augmentation = BatchAugment(**ALWAYS | {"shift": 0.25, "rotate": 0, "scale": 0})
    _, grid, _ = augmentation.draw(500, 32, np.random.default_rng(0))
    pixels = (grid[:, :, 2] * 15.5).round(3)  # where the middle of an output comes from
    assert set(np.unique(pixels)) == set(range(-7, 8))
    assert np.allclose(grid[:, :, :2], np.eye(2))


def test_flip_affine_and_cutout_are_drawn_independently():
    n, settings = 8000, LIMITS | {"affine_prob": 0.5, "cutout_prob": 0.5}
    flipped, grid, corners = BatchAugment(**settings).draw(n, 32, np.random.default_rng(0))
    moved = ~(grid == np.eye(2, 3, dtype=np.float32)).all((1, 2))
    cut = (corners >= 0).all(1)
    assert np.array_equal(cut, (corners >= 0).any(1))
    counts = np.zeros((2, 2, 2), int)
    np.add.at(counts, (flipped.astype(int), moved.astype(int), cut.astype(int)), 1)
    assert abs(counts - n / 8).max() < 150  # five standard errors of a count of 1,000


def test_probabilities_are_those_that_were_asked_for():
    settings = LIMITS | {"affine_prob": 0.25, "cutout_prob": 0.75}
    flipped, grid, corners = BatchAugment(**settings).draw(4000, 32, np.random.default_rng(0))
    moved = ~(grid == np.eye(2, 3, dtype=np.float32)).all((1, 2))
    found = np.array([flipped.mean(), moved.mean(), (corners >= 0).all(1).mean()])
    assert abs(found - [0.5, 0.25, 0.75]).max() < 0.04


def test_the_generator_decides_every_draw():
    augmentation = BatchAugment(**ALWAYS)
    first, same, other = (augmentation.draw(20, 32, np.random.default_rng(s)) for s in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
