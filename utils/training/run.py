"""A whole training run: it returns its history, and a callback gets each epoch's row."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter

import torch
from torch import nn
from tqdm import tqdm

from ..data import BatchAugment, DeviceLoader, ImageSet, Loader, make_augmentation, split
from .checkpoint import load_checkpoint, make_folder, save_checkpoint
from .description import Run
from .device import machine, memory_format
from .distillation import DistillationLoader, distillation_loss
from .engine import Learner, evaluate, train_epoch
from .recipes import Recipe

__all__ = ["print_row", "train"]


def train(
    network: nn.Module,
    train_set: ImageSet,
    test_set: ImageSet,
    run: Run,
    run_dir: Path | str,
    *,
    device: torch.device,
    teachers: Sequence[nn.Module] = (),
    on_epoch: Callable[[dict, int], None] = lambda row, epochs: None,
    progress: bool = False,
) -> list[dict]:
    """Train a network as the run's recipe says; return the run's history, a row for each epoch.

    After every epoch all that the next one depends on goes to `run_dir`/last.pt. Where one lies
    already, the run goes on behind it, or shows its history if it is finished; `on_epoch` gets
    each row. The validation images alone choose best.pt; the test set is watched and chooses
    nothing. The network ends as the average of its weights, see `Learner`. After Ctrl-C call this
    again with a fresh network and a fresh `Run`: it goes on behind the last whole epoch. On a GPU
    a step may be recorded once, see `StepGraph`: what `forward` decides in Python is then fixed.

    Raises ValueError if last.pt belongs to another network, recipe, seed or data set, if the
    recipe wants a teacher and there is none, or if the network has not as many outputs as the
    images have classes; FloatingPointError if a loss is infinite or no number;
    OSError if `run_dir` can't be written.
    """
    _check(network, train_set, run, teachers)
    run_dir = make_folder(run_dir)
    loaders = _make_loaders(train_set, test_set, run, device)
    loaders["train"], criterion = _teach(loaders["train"], teachers, run.recipe, device)
    steps = run.recipe.epochs * len(loaders["train"])
    learner = Learner(network, run.recipe, device, steps)
    _resume(run_dir / "last.pt", learner, run, loaders["test"])
    call = {"command": run.command, "machine": machine(device)}
    if not run.finished and call not in run.calls:
        run.calls.append(call)
    for row in run.history:
        on_epoch(row, run.recipe.epochs)
    while not run.finished:
        _epoch(loaders, criterion, learner, run, progress)
        _save(run_dir, learner, run)
        on_epoch(run.history[-1], run.recipe.epochs)
    return run.history


def _check(
    network: nn.Module, train_set: ImageSet, run: Run, teachers: Sequence[nn.Module]
) -> None:
    if run.dataset != train_set.name:
        raise ValueError(
            f"the run is described as one on {run.dataset}, but the images are {train_set.name}"
        )
    if bool(teachers) != bool(run.recipe.temperature):
        raise ValueError(
            "a recipe with a temperature needs a teacher (python train.py --recipe teacher trains "
            "one), and no other recipe takes one"
        )
    image = torch.zeros(1, 3, 32, 32, device=next(network.parameters()).device)
    with torch.no_grad():
        outputs, classes = network.eval()(image).shape[1], len(train_set.classes)
    if outputs != classes:  # fewer would stop a GPU in the middle of a step
        raise ValueError(f"the network has {outputs} outputs, the images have {classes} classes")


def _make_loaders(
    train_set: ImageSet, test_set: ImageSet, run: Run, device: torch.device
) -> dict[str, DeviceLoader]:
    """The loaders by name, as the recipe says; no "val" where it wants no validation images."""
    recipe = run.recipe
    train_set, val_set = split(train_set.take(slice(recipe.images)), recipe.val_images)
    kind, make = (DeviceLoader, BatchAugment) if recipe.on_device else (Loader, make_augmentation)
    options = {"augmentation": make(**recipe.augmentation), "seed": run.seed}
    loaders = {"train": kind(train_set, recipe.batch_size, device, **options)}
    size = 100 if device.type == "cpu" else 500  # 100 fit into a CPU's caches: half of the time
    for name, data in (("val", val_set), ("test", test_set)):
        if len(data):
            loaders[name] = DeviceLoader(data, size, device)
    return loaders


def _teach(
    loader: DeviceLoader, teachers: Sequence[nn.Module], recipe: Recipe, device: torch.device
) -> tuple[DeviceLoader | DistillationLoader, Callable]:
    """The training batches and the criterion, with the teachers' answers where there are any."""
    if not teachers:
        return loader, nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    for teacher in teachers:
        teacher.to(device, memory_format=memory_format(device)).eval()
    taught = DistillationLoader(loader, list(teachers), recipe.temperature, recipe.cycle)
    return taught, partial(distillation_loss, temperature=recipe.temperature)


def _epoch(loaders: dict, criterion: Callable, learner: Learner, run: Run, progress: bool) -> None:
    """Train and evaluate for one more epoch, and add its row to the run's history."""
    start, lr, epoch, recipe = perf_counter(), learner.lr, len(run.history), run.recipe
    torch.manual_seed(1000 * run.seed + epoch)  # for dropout; a resumed epoch draws the same
    batches = loaders["train"]
    batches.set_epoch(epoch)
    if progress:
        batches = tqdm(batches, desc=f"epoch {epoch + 1}/{recipe.epochs}", leave=False)
    row = {"epoch": epoch + 1, "lr": lr}
    row |= _figures("train", train_epoch(batches, criterion, learner))
    for name in ("val", "test"):
        if name in loaders:
            row |= _figures(name, evaluate(learner.network, loaders[name]))
    for name in ("train_loss", "test_loss"):
        if not row[name] < float("inf"):
            raise FloatingPointError(
                f"the loss is {row[name]} in epoch {epoch + 1}, which began at a learning rate "
                f"of {lr:.3g} (peak {recipe.lr:g}); start again with a lower one"
            )
    run.history.append(row | {"seconds": perf_counter() - start})


def _figures(name: str, totals: torch.Tensor) -> dict[str, float]:
    loss, correct, count = totals.tolist()
    return {f"{name}_loss": loss / count, f"{name}_acc": correct / count}


def _save(run_dir: Path, learner: Learner, run: Run) -> None:
    """Write last.pt, and best.pt first where the validation images never fared better."""
    accuracies = [row.get("val_acc", -1.0) for row in run.history]
    best = accuracies[-1] > max(accuracies[:-1], default=-1.0)
    for file in ("best.pt", "last.pt") if best else ("last.pt",):
        save_checkpoint(run_dir / file, learner.state_dict() | {"run": run.to_dict()})


def _resume(path: Path, learner: Learner, run: Run, test_loader: DeviceLoader) -> None:
    """Go on behind the last whole epoch, where there is a checkpoint."""
    if not path.exists():
        if run.history:
            raise ValueError(f"this Run has a history, but there is no {path}; make a fresh Run")
        return
    state = load_checkpoint(path)
    saved = Run(**state["run"])
    if difference := saved.difference(run):
        raise ValueError(
            f"{path} belongs to another run, with {difference}; "
            "choose another folder for this one, or delete that one"
        )
    try:
        learner.load_state_dict(state)
    except (RuntimeError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path} holds another network than the one to be trained, or is of another version of "
            "this repository; choose another folder"
        ) from error
    # Layers of another kind can have weights of the same names and shapes.
    past = saved.history[-1]["test_loss"]
    loss = _figures("test", evaluate(learner.network, test_loader))["test_loss"]
    if abs(loss - past) > 0.01 * past:  # another machine may round otherwise
        raise ValueError(
            f"{path} holds another network with weights of the same names: its test loss was "
            f"{past:.3f}, with the layers of this one it is {loss:.3f}; choose another folder"
        )
    run.history[:], run.calls[:] = saved.history, saved.calls
    if run.finished:  # today's call had no part in it
        run.command = saved.command


def print_row(row: dict, epochs: int) -> None:
    """One aligned line for an epoch."""
    names = {"train": "train", "validation": "val", "test": "test"}
    columns = "".join(
        f"   {title} {row[f'{name}_loss']:6.4f} {row[f'{name}_acc']:7.2%}"
        for title, name in names.items()
        if f"{name}_loss" in row
    )
    print(
        f"epoch {row['epoch']:3}/{epochs}   lr {row['lr']:.4f}{columns}   {row['seconds']:6.1f} s",
        flush=True,
    )
