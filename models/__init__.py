"""Networks for CIFAR-10, looked up by name: ``create_model("s7", pretrained=True)``."""
import hashlib
import inspect
import json
from pathlib import Path

import torch
from torch import nn

from .s7 import S7
from .s7_dilated import S7Dilated
from .teacher import Teacher
from .tutorial import Tutorial

__all__ = ["S7", "S7Dilated", "Teacher", "Tutorial", "create_model", "list_models", "model_card"]

MODELS = {"tutorial": Tutorial, "s7": S7, "s7_dilated": S7Dilated, "teacher": Teacher}
WEIGHTS = Path(__file__).parent / "weights"


def list_models(pretrained=False) -> list[str]:
    """Names that `create_model` knows; with ``pretrained=True`` only those whose weights are shipped."""
    return [name for name in MODELS if not pretrained or (WEIGHTS / f"{name}.pt").exists()]


def model_card(name: str) -> dict:
    """What made the shipped weights: command, seed, epochs, device, wall time, versions, accuracy, history, SHA-256.

    Raises ValueError where no weights of that name are shipped.
    """
    if name not in list_models(pretrained=True):
        raise ValueError(f"no pretrained weights for {name!r}; there are some for: "
                         f"{', '.join(list_models(pretrained=True)) or 'no network yet'}")
    return json.loads((WEIGHTS / f"{name}.json").read_text())


def create_model(name: str, pretrained=False, **flags) -> nn.Module:
    """Build a network by name. Flags go to its class, for example ``create_model("s7", dilation=False)``.

    With ``pretrained=True`` it carries the shipped weights (of the flags' defaults) and is in eval mode.
    Raises ValueError for an unknown name or flag, and for weights that are missing, altered or made for other flags.
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; choose one of: {', '.join(MODELS)}")
    known = inspect.signature(MODELS[name]).parameters
    if unknown := flags.keys() - known.keys():
        raise ValueError(f"{name!r} has no flag {', '.join(sorted(unknown))}; it has: {', '.join(known)}")
    if pretrained and (changed := {flag: value for flag, value in flags.items() if value != known[flag].default}):
        raise ValueError(f"the weights of {name!r} fit its default flags only, not {changed}")
    try:
        network = MODELS[name](**flags)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ValueError(f"{name!r} can't be built with {flags}: {error}") from error
    if not pretrained:
        return network
    card, path = model_card(name), WEIGHTS / f"{name}.pt"
    if hashlib.sha256(path.read_bytes()).hexdigest() != card["sha256"]:
        raise ValueError(f"{path} is not the file that its card describes; fetch it again with: git checkout {path}")
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()
