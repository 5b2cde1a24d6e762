"""The assignment's rules for a run: its accuracy and its checkpoints."""

from pathlib import Path

import torch
from torch import nn

from .rules import Rule, first_line

__all__ = ["accuracy_rule", "checkpoints_rule"]


def accuracy_rule(accuracy: float | None) -> Rule:
    """Rule 8 on the test accuracy, a fraction 0–1."""
    words, passed = ("", None) if accuracy is None else (f"{accuracy:.2%}", accuracy >= 0.85)
    return Rule("8", "test accuracy", "at least 85%", words, passed)


def checkpoints_rule(run_dir: Path | str | None, network: nn.Module) -> Rule:
    """Rule 9: best.pt and last.pt in the run's folder hold weights that fit the network."""
    words, passed = ("", None) if run_dir is None else _read(Path(run_dir), network)
    return Rule("9", "checkpoints", "the best and the last", words, passed)


def _read(run_dir: Path, network: nn.Module) -> tuple[str, bool]:
    words = []
    for name in ("best", "last"):
        try:
            state = torch.load(run_dir / f"{name}.pt", map_location="cpu", weights_only=True)
            found, epochs = _shapes(state["network"]), len(state["run"]["history"])
        except FileNotFoundError:
            return f"no {name}.pt", False
        except Exception as error:  # a damaged file fails in many ways
            return f"{name}.pt can't be read: {first_line(error)}", False
        if found != _shapes(network.state_dict()):
            return f"{name}.pt is another network's", False
        words.append(f"{name}: epoch {epochs}")
    return ", ".join(words), True


def _shapes(weights: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in weights.items()}
