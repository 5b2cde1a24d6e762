"""The augmentation in albumentations: what it draws, and what it does to an image."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from utils.data import CUTOUT_SIDE, MEAN_PIXEL, A, make_augmentation

ROOT = Path(__file__).resolve().parent.parent
NOTHING = {"shift": 0, "scale": 0, "rotate": 0, "affine_prob": 0, "cutout_prob": 0}


def augmentation(*, seed: int = 0, flip: float = 0, **settings: float) -> A.Compose:
    """`make_augmentation` with nothing drawn but the settings, and its own share of flips."""
    made = make_augmentation(**NOTHING | settings)
    made.transforms[0].p = flip
    made.set_random_seed(seed)
    return made


def noise(n: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)


def test_probabilities_of_0_change_nothing():
    made = augmentation(shift=0.125, scale=0.1, rotate=15)
    assert all(np.array_equal(made(image=image)["image"], image) for image in noise(50))


def test_shifts_are_whole_pixels_in_both_directions():
    made = augmentation(shift=0.125, affine_prob=1)
    image = np.zeros((32, 32, 3), np.uint8)
    image[16, 16] = 255
    spots = [np.argwhere(made(image=image)["image"][..., 0] == 255) for _ in range(200)]
    assert all(len(spot) == 1 for spot in spots)
    for axis in (0, 1):
        assert {int(spot[0, axis]) - 16 for spot in spots} == set(range(-3, 4))


def test_the_border_is_mirrored():
    made = augmentation(shift=0.25, scale=0.3, rotate=45, affine_prob=1)
    grey = np.full((32, 32, 3), 99, np.uint8)
    assert all((made(image=grey)["image"] == 99).all() for _ in range(50))  # no black corners


@pytest.mark.parametrize("name", ["affine_prob", "cutout_prob"])
def test_probabilities_are_those_that_were_asked_for(name: str):
    made = augmentation(shift=0.125, scale=0.1, rotate=15, **{name: 0.25})
    image = noise()[0]
    changed = sum(not np.array_equal(made(image=image)["image"], image) for _ in range(800))
    assert abs(changed / 800 - 0.25) < 0.06  # four standard errors


def test_the_cutout_has_the_assignments_size_and_the_mean_colour():
    made, corners = augmentation(cutout_prob=1), set()
    for _ in range(300):
        result = made(image=np.full((32, 32, 3), 255, np.uint8))["image"]
        rows, columns = np.nonzero((result != 255).any(2))
        top, left = rows.min(), columns.min()
        cutout = result[top : top + CUTOUT_SIDE, left : left + CUTOUT_SIDE]
        assert len(rows) == 256 and (cutout == MEAN_PIXEL).all()
        corners.add((int(top), int(left)))
    assert {top for top, _ in corners} == {left for _, left in corners} == set(range(17))
    assert MEAN_PIXEL == (125, 123, 114)


def test_nothing_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_augmentation(shift=0.125, scale=0.1, rotate=15, affine_prob=0.5, cutout_prob=0.5)


def test_albumentations_asks_no_package_index():
    program = "import os, utils.data; print(os.environ['NO_ALBUMENTATIONS_UPDATE'])"
    environment = {k: v for k, v in os.environ.items() if k != "NO_ALBUMENTATIONS_UPDATE"}
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert run.stdout.strip() == "1" and "Error fetching version" not in run.stderr
