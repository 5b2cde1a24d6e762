"""What describes a run."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import RECIPE, train_tiny

from utils.training import Run


def test_a_description_is_made_plain():
    flags = {"width": np.float32(0.5), "pairs": (1, np.int64(2)), 3: None}
    calls = [{"command": Path("a") / "b"}]
    run = Run(RECIPE, np.int64(3), np.str_("noise"), "pytest", flags=flags, calls=calls)
    assert type(run.seed) is int and type(run.dataset) is str
    assert run.flags == {"width": 0.5, "pairs": [1, 2], "3": None}
    assert type(run.flags["width"]) is float and type(run.flags["pairs"][1]) is int
    assert run.calls == [{"command": str(Path("a/b"))}]
    assert Run(**run.to_dict()) == run and run.to_dict()["recipe"] == asdict(RECIPE)


@pytest.mark.parametrize(
    "value", [object(), torch.zeros(1), 1j, {1, 2}, b"bytes", np.datetime64("2026-01-01")]
)
def test_what_has_no_plain_form_is_refused(value):
    with pytest.raises(ValueError, match="a run is described by numbers, text and lists of such"):
        Run(RECIPE, 0, "noise", "pytest", flags={"width": [value]})


@pytest.mark.parametrize("seed", [-1, 2**32, 10**30, 0.5, "0", True, None])
def test_seeds_out_of_range(seed):
    with pytest.raises(ValueError, match=r"seed is a whole number from 0 to 2\*\*32 - 1, not"):
        Run(RECIPE, seed, "noise", "pytest")


def test_the_largest_seed(images, tmp_path):
    assert train_tiny(images, tmp_path, seed=2**32 - 1)[1].finished
