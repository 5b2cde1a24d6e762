"""Checkpoints, and the weights that ship with the repository."""

import contextlib
import hashlib
import io
import json
import os
import tempfile
from pathlib import Path

import torch

from ..data import CIFAR10_MEAN, CIFAR10_STD
from .description import Run

__all__ = ["load_checkpoint", "make_folder", "save_checkpoint", "ship"]


def make_folder(path: Path | str) -> Path:
    """The folder, made where it is missing; a run is refused before an epoch is spent on it.

    Raises OSError if it can't be made or written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise OSError(
            f"{path} can't be made or written as a folder ({error.strerror}); choose another folder"
        ) from error
    return path


def save_checkpoint(path: Path, state: dict) -> None:
    """Write `state` (tensors and plain values).

    It goes to a temporary file first, so that a crash never leaves half a file.
    Raises OSError if the folder can't be written or the disk is full; the old file is then as it
    was.
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
        raise OSError(
            f"{path} could not be written ({error}); make room or choose another folder. "
            "What was saved before is whole"
        ) from error


def load_checkpoint(path: Path) -> dict:
    """Read what `save_checkpoint` wrote of a run, tensors on the CPU.

    Raises ValueError for a truncated or foreign file, OSError for one that can't be read.
    """
    # What fails here is the disk or the Drive: the file itself may be whole.
    data = io.BytesIO(path.read_bytes())
    try:
        state = torch.load(data, map_location="cpu", weights_only=True)
        state["network"], Run(**state["run"])
        return state
    except Exception as error:  # a damaged zip fails in many ways, all the same to the reader
        raise ValueError(
            f"{path} is truncated or not a checkpoint of this repository; "
            "delete it, and the run starts again"
        ) from error


def ship(run_dir: Path, name: str, folder: Path, **facts) -> dict:
    """Turn a finished run's last epoch into `folder`/NAME.pt and its card NAME.json.

    Returns the card: the run's description, the images' mean and deviation (fractions 0–1), and
    the facts given, such as the class names.
    Raises ValueError for a run that is not finished, of a network with flags, or not made with all
    of CIFAR-10.
    """
    state = load_checkpoint(run_dir / "last.pt")
    run = Run(**state["run"])
    on_all = run.dataset == "CIFAR-10" and run.recipe.images == 50_000
    if not run.finished or not on_all or run.flags:
        raise ValueError(
            f"{run_dir} does not ship: it is no finished run on all of CIFAR-10 without flags"
        )
    data = io.BytesIO()
    torch.save(state["network"], data)
    weights = data.getvalue()
    card = {
        "name": name,
        "test_accuracy": run.history[-1]["test_acc"],
        "test_images": 10_000,
        **facts,
        "mean": list(CIFAR10_MEAN),
        "std": list(CIFAR10_STD),
        "epochs": len(run.history),
        "wall_time_s": round(run.seconds),
        "sha256": hashlib.sha256(weights).hexdigest(),
        **run.to_dict(),
    }
    _replace(folder / f"{name}.pt", weights)
    _replace(folder / f"{name}.json", (json.dumps(card, indent=1) + "\n").encode())
    return card
