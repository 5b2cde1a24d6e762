"""The smallest network and recipe that use every part of the loop, and ways to stop a run."""

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from utils.data import ImageSet
from utils.training import Learner, Recipe, Run, train

CPU = torch.device("cpu")
RECIPE = Recipe(
    model="tiny", epochs=3, batch_size=16, lr=0.02, ema=0.9, val_images=6, images=60, rotate=5
)
TAUGHT = replace(RECIPE, temperature=2.0, cycle=2, epochs=4)
STEPS = 4  # an epoch: 54 images in batches of 16, the last one smaller


def tiny(seed: int = 0) -> nn.Module:
    """Its second kernel mixes four channels, so that Muon has something to do."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=4),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, stride=2),
        nn.Dropout(0.1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )


class Counted(nn.Module):
    """A teacher that counts its batches; its logits depend on the picture."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor, self.asked = factor, 0

    def forward(self, images):
        self.asked += 1
        return self.factor * images.mean((2, 3))


def train_tiny(
    images: ImageSet,
    folder: Path,
    network: nn.Module | None = None,
    seed: int = 0,
    recipe: Recipe = RECIPE,
    command: str = "pytest",
    **options,
) -> tuple[nn.Module, Run]:
    network = network or tiny(seed)
    run = Run(recipe, seed, images.name, command, teachers=options.pop("described", []))
    history = train(network, images, images, run, folder, device=CPU, **options)
    assert history is run.history
    return network, run


def one_teacher() -> dict:
    """What a taught run needs beside its recipe."""
    return {"teachers": [tiny(7)], "described": [{"model": "tiny", "seed": 7}]}


@contextmanager
def stopped_after(steps: int, error: BaseException):
    """The step after so many raises an error."""
    real, left = Learner.step, [steps]

    def step(self, *args):
        left[0] -= 1
        if left[0] < 0:
            raise error
        return real(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "step", step)
        yield


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def figures(run: Run) -> list[dict]:
    """The history without the seconds."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in run.history]
