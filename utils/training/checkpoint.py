"""Checkpoints, written so that a crash never leaves half a file."""

import contextlib
import io
import os
import tempfile
from pathlib import Path

import torch

from .description import Run

__all__ = ["load_checkpoint", "make_folder", "save_checkpoint"]


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

    Raises OSError if the folder can't be written or the disk is full; the old file stays as it was.
    """
    data, part = io.BytesIO(), path.with_name(path.name + ".part")
    torch.save(state, data)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data.getvalue())
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
        state["network"], state["run"]
    except Exception as error:  # a damaged zip fails in many ways, all the same to the reader
        raise ValueError(
            f"{path} is truncated or not a checkpoint of this repository; "
            "choose another one, or delete a truncated one to start its run again"
        ) from error
    try:
        Run(**state["run"])
    except (TypeError, ValueError) as error:  # a recipe with other settings than today's
        raise ValueError(
            f"{path} was written by another version of this repository ({error}); "
            "use that version, or choose another folder"
        ) from error
    return state
