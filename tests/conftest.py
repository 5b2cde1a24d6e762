"""Small data for tests that need none, and the real CIFAR-10 for the few that do."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
torch.set_num_threads(1)  # the tests' networks are tiny: threads would cost more than they bring

from utils.data import ImageSet, load_cifar10  # noqa: E402


@pytest.fixture(autouse=True)
def start_at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture
def images():
    """60 noise images in three classes; a class is the brightness of a colour, to be learnt."""
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    pixels = generator.integers(0, 120, (60, 32, 32, 3), dtype=np.uint8)
    pixels[np.arange(60), :, :, labels] += 120
    return ImageSet("noise", pixels, labels, ("red", "green", "blue"))


@pytest.fixture(scope="session")
def cifar10():
    if not os.environ.get("CIFAR10_ROOT"):
        pytest.skip("needs the real CIFAR-10: set CIFAR10_ROOT")
    return load_cifar10()
