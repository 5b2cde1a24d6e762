"""Networks for CIFAR-10, looked up by name: ``create_model("s7", pretrained=True)``."""

import hashlib
import inspect
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .s7 import S7
from .s7_dilated import S7Dilated
from .teacher import Teacher
from .tutorial import Tutorial

__all__ = [
    "WEIGHTS",
    "S7",
    "S7Dilated",
    "Teacher",
    "Tutorial",
    "create_model",
]

MODELS = {"tutorial": Tutorial, "s7": S7, "s7_dilated": S7Dilated, "teacher": Teacher}
WEIGHTS = Path(__file__).parent / "weights"


def create_model(name: str, pretrained: bool = False, **flags: Any) -> nn.Module:
    """Build a network by name; the flags go to its class: ``create_model("s7", dilation=False)``.

    With ``pretrained=True`` the network carries trained weights, for its default flags only, and
    is in eval mode. Its attribute `card` is a dict: `mean` and `std` of the images (fractions 0–1),
    the names of the `classes`, `test_accuracy` (fraction 0–1), `parameters`, and how the weights
    were made (command, seed, recipe, teachers).
    Raises ValueError for an unknown name or flag, for an invalid value of a flag, and for weights
    that are missing or altered.
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; choose one of: {', '.join(MODELS)}")
    if pretrained and flags:
        raise ValueError(
            f"the pretrained weights of {name!r} fit its default flags; leave out {flags}"
        )
    signature = inspect.signature(MODELS[name]).parameters
    try:
        for flag in flags.keys() & signature:
            if isinstance(signature[flag].default, bool) and not isinstance(flags[flag], bool):
                raise ValueError(f"{flag} is True or False")  # for "False" would be true
        network = MODELS[name](**flags)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ValueError(
            f"{name!r} can't be built with {flags}: {error}; its flags are: {', '.join(signature)}"
        ) from error
    return _load_weights(network, name) if pretrained else network


def _load_weights(network: nn.Module, name: str) -> nn.Module:
    path = WEIGHTS / f"{name}.pt"
    if not path.with_suffix(".json").exists():
        raise ValueError(f"there are no pretrained weights for {name!r} in {WEIGHTS}")
    network.card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    if not path.exists() or (
        hashlib.sha256(path.read_bytes()).hexdigest() != network.card.get("sha256")
    ):
        raise ValueError(
            f"{path} is not the file that its card describes; restore it with: git checkout {path}"
        )
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()
