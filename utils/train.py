"""The training loop. It returns its history; what is printed is a callback's affair."""
import copy
import os
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import nn
from tqdm.auto import tqdm

from .checkpoint import load_checkpoint, save_checkpoint
from .device import amp_dtype, compiled, machine, memory_format
from .recipes import ADDED_LATER, Recipe

__all__ = ["Mirrored", "evaluate", "predict", "print_row", "train", "train_epoch", "training_parts"]

WARM_UP = 0.2  # fraction of all steps in which the rate climbs from a tenth of its peak; then a cosine to nothing
PROGRESS = "TQDM_DISABLE" not in os.environ  # tqdm's own switch, which its bar for notebooks does not heed


def train(network: nn.Module, loaders, recipe: Recipe, run_dir, *, device, seed: int, about: dict,
          criterion=F.cross_entropy, compile=False, on_epoch=lambda row, epochs: None, progress=PROGRESS) -> list[dict]:
    """Train any network and return its history: one row for each epoch, losses in nats, accuracies as fractions 0–1.

    `loaders` are (training, held-out or None, test); training batches come augmented, and train_loss and train_acc are
    taken from them while the weights move, the loss as `criterion` has it; elsewhere it is cross-entropy. The held-out
    images alone choose best.pt; the test set is watched and chooses nothing. `about` (plain values) says what is trained,
    for the checkpoint, which also names every call and machine that had a part in the run; `on_epoch` gets each row, also the
    rows that a resumed run brings along; `progress` shows a bar for each epoch. With `compile` training steps go through
    `torch.compile`, if this machine can; no epoch's seconds hold the time that compiling takes.

    After every epoch all that the next one depends on goes to `run_dir`/last.pt. Where one lies already, the run goes
    on behind it, or shows its history if it is finished. Ctrl-C gives the last whole epoch's weights and history back.
    Raises ValueError if last.pt belongs to another network, recipe, seed or data set, FloatingPointError if the loss
    stops being a number; the network is then as it was after the last whole epoch.
    """
    run_dir, (train_loader, val_loader, test_loader) = Path(run_dir), loaders
    initial = copy.deepcopy(network.state_dict())
    parts = training_parts(network, recipe, device, steps=recipe.epochs * len(train_loader))
    about = {**about, "seed": seed, "recipe": asdict(recipe), "machine": machine(device)}
    history = _restore(run_dir / "last.pt", parts, about) if (run_dir / "last.pt").exists() else []
    for row in history:
        on_epoch(row, recipe.epochs)
    try:
        unfinished = len(history) < recipe.epochs
        forward = network
        if compile and unfinished:
            images = next(iter(train_loader))[0]
            forward = compiled(network, images, rest=len(train_loader.data) % len(images))
        for epoch in range(len(history), recipe.epochs):
            start, rate = perf_counter(), parts["optimizer"].param_groups[0]["lr"]
            torch.manual_seed(1000 * seed + epoch)  # for networks with dropout; a resumed epoch draws the same
            train_loader.set_epoch(epoch)
            title = f"epoch {epoch + 1}/{recipe.epochs}"
            batches = tqdm(train_loader, desc=title, leave=False) if progress else train_loader
            row = {"epoch": epoch + 1, "lr": rate} | _measure("train", train_epoch(batches, criterion, device, forward, **parts))
            if not row["train_loss"] < float("inf"):
                raise FloatingPointError(f"the loss is {row['train_loss']} in epoch {epoch + 1}, which began at a learning "
                                         f"rate of {rate:.3g} (peak {recipe.lr:g}); start again with a lower one")
            best = False
            if val_loader:
                row |= _measure("val", evaluate(network, val_loader))
                best = row["val_acc"] > max((past["val_acc"] for past in history), default=-1)
            row |= _measure("test", evaluate(network, test_loader)) | {"seconds": perf_counter() - start}
            state = {name: part.state_dict() for name, part in parts.items()}
            state |= {"history": [*history, row], "about": about}
            if best:
                save_checkpoint(run_dir / "best.pt", state)
            save_checkpoint(run_dir / "last.pt", state)
            history.append(row)
            on_epoch(row, recipe.epochs)
    except (KeyboardInterrupt, FloatingPointError) as stop:
        if (run_dir / "last.pt").exists():
            history = _restore(run_dir / "last.pt", parts, about)
        else:
            network.load_state_dict(initial)
        if isinstance(stop, FloatingPointError):
            raise
        print(f"Stopped after {len(history)} of {recipe.epochs} epochs. To go on, run the cell again, or train.py --resume.")
    return history


def training_parts(network: nn.Module, recipe: Recipe, device, steps: int) -> dict:
    """The network, moved to the device, and its optimizer, schedule (for so many steps) and gradient scaler."""
    network.to(device, memory_format=memory_format(device))
    scaler = torch.amp.GradScaler(device.type, enabled=amp_dtype(device) is torch.float16)
    # A fused step would fill its momentum from gradients that the scaler is about to reject; None chooses another fast one.
    optimizer = torch.optim.SGD(network.parameters(), lr=recipe.lr, momentum=0.9, nesterov=True,
                                weight_decay=recipe.weight_decay, fused=None if scaler.is_enabled() else True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.lr, total_steps=max(6, steps + 1),  # 5 would end the warm-up at step 0: a division by zero
        pct_start=WARM_UP, div_factor=10, final_div_factor=1000, cycle_momentum=False)
    return {"network": network, "optimizer": optimizer, "schedule": schedule, "scaler": scaler}


def train_epoch(batches, criterion, device, forward, network, optimizer, schedule, scaler) -> torch.Tensor:
    """One pass with a step for each batch (images, labels); see `evaluate` for what comes back. `forward` is the network or its
    compiled form. Nothing here waits for the device, but float16's scaler, once a step.
    """
    network.train()
    totals = torch.zeros(3, device=device)
    dtype = amp_dtype(device)
    for images, labels in batches:
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            logits = forward(images)
        loss = criterion(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
        totals += _totals(loss, logits, labels)
    return totals


@torch.no_grad()
def evaluate(network: nn.Module, loader, criterion=F.cross_entropy) -> torch.Tensor:
    """Sums over all images of (loss, correct, 1), shape (3,): a smaller last batch weighs what it should.

    In eval mode and without autocast, so that machines with other half-width types agree.
    """
    network.eval()
    totals = 0
    for images, labels in loader:
        logits = network(images)
        totals += _totals(criterion(logits, labels), logits, labels)
    return totals


class Mirrored(nn.Module):
    """A network's class probabilities, averaged over an image and its mirror image; log-probabilities (N, num_classes).

    Test-time augmentation: a figure of its own beside the headline.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ((self.network(x).softmax(1) + self.network(x.flip(3)).softmax(1)) / 2).log()


@torch.no_grad()
def predict(network: nn.Module, loader) -> tuple[torch.Tensor, torch.Tensor]:
    """Class probabilities (N, num_classes) and labels (N,) of a loader's images, on the CPU."""
    network.eval()
    batches = [(network(images).softmax(1).cpu(), labels.cpu()) for images, labels in loader]
    return tuple(torch.cat(part) for part in zip(*batches))


def _totals(loss, logits, labels) -> torch.Tensor:
    correct = (logits.argmax(1) == labels).sum()
    return torch.stack([loss.detach() * len(labels), correct, torch.full_like(correct, len(labels))])


def _measure(name: str, totals: torch.Tensor) -> dict[str, float]:
    loss, correct, count = totals.tolist()
    return {f"{name}_loss": loss / count, f"{name}_acc": correct / count}


def _restore(path: Path, parts: dict, about: dict) -> list[dict]:
    """Put a checkpoint's states into `parts` and return its history; refuse a checkpoint of something else.

    `about` gets a list of "calls", command and machine, where this one is not the only one that has a part in the run.
    """
    state = load_checkpoint(path)
    for key in sorted((about.keys() | state["about"].keys()) - {"machine", "command", "calls"}):
        theirs, ours = state["about"].get(key), about.get(key)
        if key == "recipe":  # only what differs
            theirs = ADDED_LATER | theirs
            theirs, ours = ({name: one[name] for name in one if theirs.get(name) != ours.get(name)} for one in (theirs, ours))
        if theirs != ours:
            raise ValueError(f"{path} belongs to another run, with {key} = {theirs} and not {ours}; "
                             "choose another folder for this one, or delete that one")
    for saved, now in zip(state["optimizer"]["param_groups"], parts["optimizer"].param_groups):
        saved["fused"] = now["fused"]  # the device's affair, not the run's
    if not state["scaler"]:  # from a device that needed none
        state["scaler"] = parts["scaler"].state_dict()
    try:
        for name, part in parts.items():
            part.load_state_dict(state[name])
    except (RuntimeError, ValueError, KeyError) as error:
        raise ValueError(f"{path} holds another network than the one to be trained; choose another folder") from error
    for weight, past in parts["optimizer"].state.items():  # a device with another memory format may have written it
        if past.get("momentum_buffer") is not None:
            past["momentum_buffer"] = torch.empty_like(weight).copy_(past["momentum_buffer"])
    calls = state["about"].get("calls", [_call(state["about"])])
    calls = calls if _call(about) in calls else [*calls, _call(about)]
    if len(calls) > 1:
        about["calls"] = calls
    return state["history"]


def _call(about: dict) -> dict:
    return {key: about.get(key) for key in ("command", "machine")}


def print_row(row: dict, epochs: int) -> None:
    """One aligned line for an epoch."""
    columns = "".join(f"   {title} {row[f'{name}_loss']:6.4f} {row[f'{name}_acc']:7.2%}" for title, name in
                      (("train", "train"), ("held out", "val"), ("test", "test")) if f"{name}_loss" in row)
    print(f"epoch {row['epoch']:3}/{epochs}   rate {row['lr']:.4f}{columns}   {row['seconds']:6.1f} s", flush=True)
