"""Checkpoints, and the weights that ship with the repository."""
import contextlib
import hashlib
import io
import json
import os
from pathlib import Path

import torch

__all__ = ["load_checkpoint", "save_checkpoint", "ship"]


def save_checkpoint(path: Path, state: dict) -> None:
    """Write `state` (tensors and plain values) to a temporary file first, so that a crash never leaves half a file.

    Raises OSError if the folder can't be written or the disk is full; the old file is then as it was.
    """
    data = io.BytesIO()
    torch.save(state, data)
    _replace(path, data.getvalue())


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise OSError(f"{path} could not be written ({error}); make room or choose another folder. "
                      "What was saved before is whole") from error


def load_checkpoint(path: Path) -> dict:
    """Read what `save_checkpoint` wrote, tensors on the CPU. Raises ValueError for a truncated or foreign
    file, OSError for one that can't be read.
    """
    data = io.BytesIO(path.read_bytes())  # what fails here is the disk or the Drive: the file itself may be whole
    try:
        state = torch.load(data, map_location="cpu", weights_only=True)
        state["network"], state["run"]
        return state
    except Exception as error:  # a damaged zip fails in many ways, all of them the same to the reader
        raise ValueError(f"{path} is truncated or not a checkpoint of this repository; "
                         "delete it, and the run starts again") from error


def ship(run_dir: Path, name: str, folder: Path, **figures) -> dict:
    """Turn a finished run's last epoch into `folder`/NAME.pt and its card NAME.json, and return the card.

    The card is the run's description with the figures given and what a user needs: the images' mean and deviation, the class
    names. Raises ValueError for a run that is not finished, of a network with flags, or not made with all of CIFAR-10.
    """
    state = load_checkpoint(run_dir / "last.pt")
    run, history = state["run"], state["run"]["history"]
    recipe = run["recipe"]
    if len(history) < recipe["epochs"] or run["dataset"] != "CIFAR-10" or recipe["images"] < 50_000 or run["flags"]:
        raise ValueError(
            f"{run_dir} does not ship: it has to be a finished run on all of CIFAR-10 without flags, and it is one of "
            f"{len(history)} of {recipe['epochs']} epochs, {recipe['images']} images of {run['dataset']}, flags {run['flags']}"
        )
    weights = io.BytesIO()
    torch.save(state["network"], weights)
    card = {"name": name, "test_accuracy": history[-1]["test_acc"], "test_images": 10_000, **figures,
            "epochs": len(history), "wall_time_s": round(sum(row["seconds"] for row in history)),
            "sha256": hashlib.sha256(weights.getvalue()).hexdigest(), **run}  # fmt: skip
    _replace(folder / f"{name}.pt", weights.getvalue())
    _replace(folder / f"{name}.json", (json.dumps(card, indent=1, ensure_ascii=False) + "\n").encode())
    return card
