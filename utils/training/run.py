"""A whole training run. It returns its history; what is printed is a callback's affair."""
import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from ..data import ImageSet, make_loaders
from .checkpoint import load_checkpoint, save_checkpoint
from .device import amp_dtype, machine
from .distillation import TaughtLoader, distillation_loss
from .engine import Learner, evaluate, train_epoch
from .recipes import Recipe

__all__ = ["Run", "print_row", "train"]


@dataclass
class Run:
    """What describes a training run. It goes as it is into checkpoints, records, cards and captions.

    `flags` are those of the network's class. `teachers` describe the networks that taught it, `calls` the command and the
    machine of each program call that had a part in it. `history` has one row for each epoch: losses in nats, accuracies
    as fractions 0–1. Raises ValueError for a value that a file can't hold as plain text or number.
    """

    recipe: Recipe
    seed: int
    dataset: str
    command: str
    flags: dict = field(default_factory=dict)
    teachers: list[dict] = field(default_factory=list)
    calls: list[dict] = field(default_factory=list)
    history: list[dict] = field(default_factory=list)

    def __post_init__(self):
        if isinstance(self.recipe, dict):
            self.recipe = Recipe(**self.recipe)
        for entry in fields(self)[1:]:
            setattr(self, entry.name, _plain(getattr(self, entry.name), entry.name))
        if type(self.seed) is not int or not 0 <= self.seed < 2**32:
            raise ValueError(f"a run's seed is a whole number from 0 to 2**32 - 1, not {self.seed!r}")

    def to_dict(self) -> dict:
        """Plain values only; ``Run(**run.to_dict())`` is the same run."""
        return asdict(self)

    @property
    def seconds(self) -> float:
        """Wall time of all epochs, with their evaluation."""
        return sum(row["seconds"] for row in self.history)

    @property
    def finished(self) -> bool:
        return len(self.history) >= self.recipe.epochs


def _plain(value, name: str):
    """NumPy's numbers as Python's, paths as text; ValueError for what has no plain form."""
    if isinstance(value, dict):
        return {str(key): _plain(entry, f"{name}[{key!r}]") for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry, name) for entry in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise ValueError(f"a run's {name} is a number, text or a list of such, not {value!r} ({type(value).__name__})")


def train(
    network: nn.Module,
    train_set: ImageSet,
    test_set: ImageSet,
    run: Run,
    run_dir: Path | str,
    *,
    device: torch.device,
    teachers: Sequence[nn.Module] = (),
    num_workers: int = 0,
    on_epoch: Callable[[dict, int], None] = lambda row, epochs: None,
    progress: bool = False,
) -> list[dict]:
    """Train a network as the run's recipe says and return the run's history, one row for each epoch.

    After every epoch all that the next one depends on goes to `run_dir`/last.pt. Where one lies already, the run goes on
    behind it, or shows its history if it is finished; `on_epoch` gets each row. The validation images alone choose
    best.pt; the test set is watched and chooses nothing. The network ends as the average of its weights, see `Learner`.
    Ctrl-C leaves it as it was after the last whole epoch.

    Raises ValueError if last.pt belongs to another network, recipe, seed or data set, or if the recipe wants a teacher and
    there is none; FloatingPointError if the loss stops being a number: the network is then as after the last whole epoch.
    """
    recipe, run_dir = run.recipe, Path(run_dir)
    train_loader, val_loader, test_loader, criterion = _parts(train_set, test_set, run, device, teachers, num_workers)
    initial = copy.deepcopy(network.state_dict())
    learner = Learner(network, recipe, device, steps=recipe.epochs * len(train_loader))
    run.calls = [{"command": run.command, "machine": machine(device)}]
    if (run_dir / "last.pt").exists():
        _resume(run_dir / "last.pt", learner, run)
    for row in run.history:
        on_epoch(row, recipe.epochs)
    try:
        for epoch in range(len(run.history), recipe.epochs):
            start, lr = perf_counter(), learner.lr
            torch.manual_seed(1000 * run.seed + epoch)  # for networks with dropout; a resumed epoch draws the same
            train_loader.set_epoch(epoch)
            title = f"epoch {epoch + 1}/{recipe.epochs}"
            batches = tqdm(train_loader, desc=title, leave=False) if progress else train_loader
            row = {"epoch": epoch + 1, "lr": lr} | _figures("train", train_epoch(batches, criterion, learner))
            if not row["train_loss"] < float("inf"):
                raise FloatingPointError(
                    f"the loss is {row['train_loss']} in epoch {epoch + 1}, which began at a learning rate of {lr:.3g} "
                    f"(peak {recipe.lr:g}); start again with a lower one"
                )
            for name, loader in (("val", val_loader), ("test", test_loader)):
                row |= _figures(name, evaluate(network, loader)) if loader else {}
            best = "val_acc" in row and row["val_acc"] > max((past["val_acc"] for past in run.history), default=-1)
            run.history.append(row | {"seconds": perf_counter() - start})
            for file in ("best.pt", "last.pt") if best else ("last.pt",):
                save_checkpoint(run_dir / file, learner.state_dict() | {"run": run.to_dict()})
            on_epoch(run.history[-1], recipe.epochs)
    except (KeyboardInterrupt, FloatingPointError) as stop:
        if (run_dir / "last.pt").exists():
            _resume(run_dir / "last.pt", learner, run)
        else:
            network.load_state_dict(initial)
            run.history.clear()
        if isinstance(stop, FloatingPointError):
            raise
        print(f"Stopped after {len(run.history)} of {recipe.epochs} epochs. To go on, run the cell or the command again.")
    return run.history


def _parts(train_set, test_set, run, device, teachers, num_workers) -> tuple:
    """Loaders and criterion, as the recipe says."""
    recipe = run.recipe
    if run.dataset != train_set.name:
        raise ValueError(f"the run is described as one on {run.dataset}, but the images are {train_set.name}")
    if bool(recipe.temperature) != bool(teachers):
        raise ValueError("this recipe needs a teacher: train one with: python train.py --recipe teacher" if recipe.temperature
                         else "this recipe has no temperature, so a teacher is of no use to it")  # fmt: skip
    loaders = make_loaders(
        train_set.take(slice(recipe.images)),
        test_set,
        batch_size=recipe.batch_size,
        val_images=recipe.val_images,
        augmentation=recipe.augmentation,
        on_device=recipe.on_device,
        device=device,
        seed=run.seed,
        num_workers=num_workers,
    )
    if not teachers:
        return *loaders, nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    for teacher in teachers:
        teacher.to(device).eval()
    taught = TaughtLoader(loaders[0], list(teachers), recipe.temperature, recipe.cycle, amp_dtype(device))
    return taught, *loaders[1:], partial(distillation_loss, temperature=recipe.temperature)


def _figures(name: str, totals: torch.Tensor) -> dict[str, float]:
    loss, correct, count = totals.tolist()
    return {f"{name}_loss": loss / count, f"{name}_acc": correct / count}


def _resume(path: Path, learner: Learner, run: Run) -> None:
    """Put a checkpoint's state into the learner and its history and calls into the run; refuse another run's checkpoint."""
    state = load_checkpoint(path)
    saved = Run(**state["run"])
    for name in ("recipe", "seed", "dataset", "flags", "teachers"):
        theirs, ours = getattr(saved, name), getattr(run, name)
        if name == "recipe":  # only what differs
            theirs, ours = asdict(theirs), asdict(ours)
            changed = [key for key in ours if theirs[key] != ours[key]]
            theirs, ours = ({key: one[key] for key in changed} for one in (theirs, ours))
        if theirs != ours:
            raise ValueError(f"{path} belongs to another run, with {name} = {theirs} and not {ours}; "
                             "choose another folder for this one, or delete that one")  # fmt: skip
    try:
        learner.load_state_dict(state)
    except (RuntimeError, ValueError, KeyError) as error:
        raise ValueError(f"{path} holds another network than the one to be trained; choose another folder") from error
    run.history[:] = saved.history
    run.calls = saved.calls + [call for call in run.calls if call not in saved.calls]


def print_row(row: dict, epochs: int) -> None:
    """One aligned line for an epoch."""
    names = {"train": "train", "validation": "val", "test": "test"}
    columns = "".join(
        f"   {title} {row[f'{name}_loss']:6.4f} {row[f'{name}_acc']:7.2%}"
        for title, name in names.items()
        if f"{name}_loss" in row
    )
    print(f"epoch {row['epoch']:3}/{epochs}   lr {row['lr']:.4f}{columns}   {row['seconds']:6.1f} s", flush=True)
