"""Checkpoints that a crash cannot halve, and the weights that are shipped."""
import contextlib
import hashlib
import io
import json
import os
from pathlib import Path

import torch

__all__ = ["load_checkpoint", "save_checkpoint", "ship"]


def save_checkpoint(path: Path, state: dict) -> None:
    """Write `state` (tensors and plain values) so that `path` is, at every moment, the old file or the new one.

    Raises OSError if the folder can't be written or the disk is full; the old file is then as it was.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
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
        state["network"], state["history"], state["about"]
        return state
    except Exception as error:  # a damaged zip fails in many ways, all of them the same to the reader
        raise ValueError(f"{path} is truncated or not a checkpoint of this repository; "
                         "delete it, and the run starts again") from error


def ship(run_dir: Path, name: str, folder: Path, **figures) -> dict:
    """Turn a finished run's last epoch into `folder`/NAME.pt and its card NAME.json, and return the card.

    `figures` are further ones for the card.

    Raises ValueError for a run that is of another network or with flags, not finished, or not made with all of CIFAR-10.
    """
    state = load_checkpoint(run_dir / "last.pt")
    about, history = state["about"], state["history"]
    recipe = about["recipe"]
    if (len(history) < recipe["epochs"] or about["dataset"] != "CIFAR-10" or recipe["images"] < 50_000
            or about["model"] != name or "flags" in about):
        raise ValueError(f"{run_dir} is not a finished run of {name} on CIFAR-10 and does not ship: {about['model']}, "
                         f"{'flags ' + str(about['flags']) if 'flags' in about else 'no flags'}, "
                         f"{len(history)} of {recipe['epochs']} epochs, {recipe['images']} images of {about['dataset']}")
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{name}.pt.part"
    save_checkpoint(part, state["network"])
    card = {"name": name, "test_accuracy": history[-1]["test_acc"], "test_images": 10_000, **figures,
            "epochs": len(history), "wall_time_s": round(sum(row["seconds"] for row in history)),
            **about, "sha256": hashlib.sha256(part.read_bytes()).hexdigest(), "history": history}
    card_part = folder / f"{name}.json.part"
    card_part.write_text(json.dumps(card, indent=1) + "\n")
    part.replace(folder / f"{name}.pt")
    card_part.replace(folder / f"{name}.json")
    return card
