"""Augmentation of whole batches, held against albumentations."""

import cv2
import numpy as np
import torch

from utils.data import CUTOUT_SIDE, MEAN_PIXEL, BatchAugment, make_augmentation
from utils.data.batch_augment import sampling_grid

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


def albumentations_draws(
    images: np.ndarray, flipped: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What albumentations makes of images, with its matrices (n, 3, 3) and corners (n, 2)."""
    augmentation = make_augmentation(**ALWAYS)
    augmentation.set_random_seed(0)
    flip, affine, cutout = augmentation.transforms
    drawn = []
    for image, mirrored in zip(images, flipped, strict=True):
        flip.p = int(mirrored)
        augmented = augmentation(image=image)["image"]
        drawn.append((augmented, affine.params["matrix"], cutout.params["holes"][0][1::-1]))
    return tuple(np.stack(part) for part in zip(*drawn, strict=True))


def other_way(maps: np.ndarray) -> np.ndarray:
    """Matrices of pixels, forwards (n, 3, 3), as sampling grids, backwards from −1 to 1; or back.

    The axes of both have their zero in different places: here the first one's is a corner.
    """
    to_pixels = np.array([[15.5, 0, 15.5], [0, 15.5, 15.5], [0, 0, 1]])
    if maps.shape[1] == 3:
        return (np.linalg.inv(to_pixels) @ np.linalg.inv(maps) @ to_pixels)[:, :2].astype("float32")
    last_row = np.broadcast_to([[0.0, 0.0, 1.0]], (len(maps), 1, 3))
    whole = np.concatenate([maps, last_row], axis=1)
    return to_pixels @ np.linalg.inv(whole) @ np.linalg.inv(to_pixels)


# --- the same draws, the same images --------------------------------------------------------------


def test_the_same_draws_give_the_same_images():
    images, flipped = pictures(200), np.arange(200) % 2 == 0
    expected, matrices, corners = albumentations_draws(images, flipped)
    drawn = tensors(flipped, other_way(matrices), corners)
    ours, theirs = BatchAugment(**ALWAYS)(batch(images), *drawn), batch(expected)
    assert ours.dtype == torch.float32 and (ours - theirs).abs().max() <= INTERPOLATION
    cutout = (theirs == MEAN).all(1)
    assert cutout.sum() >= 200 * CUTOUT_SIDE**2
    assert torch.equal((ours == MEAN).all(1) & cutout, cutout)


def test_flip_and_cutout_are_exact():
    images, flipped = pictures(100), np.arange(100) % 3 == 0
    corners = np.random.default_rng(0).integers(0, 17, (100, 2))
    expected = images.copy()
    expected[flipped] = images[flipped, :, ::-1]
    for image, (top, left) in zip(expected, corners, strict=True):
        image[top : top + CUTOUT_SIDE, left : left + CUTOUT_SIDE] = MEAN_PIXEL
    identity = other_way(np.stack([np.eye(3)] * 100))
    tensor = batch(images)
    before = tensor.clone()
    ours = BatchAugment(**ALWAYS)(tensor, *tensors(flipped, identity, corners))
    assert torch.equal(ours, batch(expected).float())
    assert torch.equal(tensor, before)  # the batch itself is not changed


def test_a_quarter_turn_with_a_shift_is_exact():
    images = pictures(20)
    shift = np.array([[1, 0, 2], [0, 1, 0], [0, 0, 1]])  # (x, y, 1) to (x + 2, y, 1)
    turn = np.array([[0, 1, 0], [-1, 0, 31], [0, 0, 1]]) @ shift
    grid = other_way(np.stack([turn] * 20))
    no_cutout = np.full((20, 2), -CUTOUT_SIDE)
    ours = BatchAugment(**NEVER)(batch(images), *tensors(np.zeros(20, bool), grid, no_cutout))
    shifted = np.pad(images, ((0, 0), (0, 0), (2, 0), (0, 0)), "reflect")[:, :, :32]
    assert torch.equal(ours, batch(np.rot90(shifted, axes=(1, 2)).copy()).float())


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
    black = np.zeros((n, 32, 32, 3), np.uint8)
    _, matrices, corners = albumentations_draws(black, np.zeros(n))
    theirs = np.column_stack([parameters(matrices), corners])
    generator = np.random.default_rng(0)
    matrices = other_way(sampling_grid(n, 32, generator, **LIMITS))
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


def test_draws_use_the_limits():
    augmentation = BatchAugment(**ALWAYS | {"shift": 0.25, "rotate": 0, "scale": 0})
    _, grid, _ = augmentation.draw(500, 32, np.random.default_rng(0))
    pixels = (grid[:, :, 2] * 15.5).round(3)  # where the middle of an output comes from
    assert set(np.unique(pixels)) == set(range(-7, 8))
    assert np.allclose(grid[:, :, :2], np.eye(2))


def test_flip_affine_and_cutout_are_drawn_independently_with_their_probabilities():
    n, settings = 8000, LIMITS | {"affine_prob": 0.25, "cutout_prob": 0.75}
    flipped, grid, corners = BatchAugment(**settings).draw(n, 32, np.random.default_rng(0))
    moved = ~(grid == np.eye(2, 3, dtype=np.float32)).all((1, 2))
    cut = (corners >= 0).all(1)
    assert np.array_equal(cut, (corners >= 0).any(1))
    counts = np.zeros((2, 2, 2), int)
    np.add.at(counts, (flipped.astype(int), moved.astype(int), cut.astype(int)), 1)
    expected = n * np.einsum("i,j,k->ijk", [0.5, 0.5], [0.75, 0.25], [0.25, 0.75])
    assert (abs(counts - expected) < 5 * expected**0.5).all()  # five standard errors
