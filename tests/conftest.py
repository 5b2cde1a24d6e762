"""Small data for most tests, and the real CIFAR-10 for the few that need it."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from utils.data import ImageSet, load_cifar10

ROOT = Path(__file__).resolve().parent.parent
torch.set_num_threads(1)  # the tests' networks are tiny: threads would cost more than they bring
plt.switch_backend("agg")


@pytest.fixture(autouse=True)
def start_at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def images():
    """60 noise images in three classes; a class is the brightness of a colour, to be learnt."""
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    pixels = generator.integers(0, 120, (60, 32, 32, 3), dtype=np.uint8)
    pixels[np.arange(60), :, :, labels] += 120
    return ImageSet("noise", pixels, labels, ("red", "green", "blue"))


@pytest.fixture
def noise(images, monkeypatch):
    """train.py takes 60 noise images for CIFAR-10."""
    ten = replace(images, name="CIFAR-10", classes=tuple("0123456789"))
    monkeypatch.setattr("train.load_cifar10", lambda: (ten, ten))


@pytest.fixture(scope="session")
def cifar10():
    if not os.environ.get("CIFAR10_ROOT"):
        pytest.skip("needs the real CIFAR-10: set CIFAR10_ROOT")
    return load_cifar10()
