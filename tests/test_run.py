"""Whole runs do what their recipe says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_runs import CPU, RECIPE, TAUGHT, figures, one_teacher, same, tiny, train_tiny
from torch import nn

import utils.training.run as loop
from utils.training import Run, load_checkpoint, print_row
from utils.training.distillation import distillation_loss


def test_history(images, tmp_path, monkeypatch):
    evaluated, real = [], loop.evaluate
    monkeypatch.setattr(loop, "evaluate", lambda *args: evaluated.append(args[0]) or real(*args))
    network, run = train_tiny(images, tmp_path)
    assert [row["epoch"] for row in run.history] == [1, 2, 3]
    names = {f"{part}_{figure}" for part in ("train", "val", "test") for figure in ("loss", "acc")}
    assert run.history[-1].keys() == names | {"epoch", "lr", "seconds"}
    assert run.history[0]["lr"] == pytest.approx(RECIPE.lr / 10)
    (call,) = run.calls
    assert call["command"] == "pytest" and call["machine"]["torch"] == torch.__version__
    saved = load_checkpoint(tmp_path / "last.pt")
    assert saved["run"] == run.to_dict()
    # The average is the network: it is what is evaluated and saved.
    assert all(
        torch.equal(saved["network"][key], value) for key, value in network.state_dict().items()
    )
    assert not torch.equal(saved["raw"]["0.weight"], saved["network"]["0.weight"])
    assert len(evaluated) == 6 and all(one is network for one in evaluated)


def test_a_seed_decides_everything(images, tmp_path):
    first, run = train_tiny(images, tmp_path / "a", seed=1)
    torch.rand(5), np.random.rand(5)
    again, repeated = train_tiny(images, tmp_path / "b", seed=1, network=tiny(1))
    assert same(first, again) and figures(run) == figures(repeated)
    # The same weights to start from: order, augmentation and dropout are the seed's too.
    other, _ = train_tiny(images, tmp_path / "c", seed=2, network=tiny(1))
    assert not same(first, other)


def test_the_recipe_reaches_the_loop(images, tmp_path, monkeypatch):
    seen, real = [], loop.train_epoch

    def watch(batches, criterion, learner):
        seen.append((batches, criterion))
        return real(batches, criterion, learner)

    monkeypatch.setattr(loop, "train_epoch", watch)
    changes = {"batch_size": 9, "cutout_prob": 0.75, "images": 40, "label_smoothing": 0.3}
    recipe = replace(RECIPE, **changes, val_images=4, epochs=1)
    train_tiny(images, tmp_path / "a", recipe=recipe)
    loader, criterion = seen.pop()
    assert isinstance(criterion, nn.CrossEntropyLoss) and criterion.label_smoothing == 0.3
    assert loader.batch_size == 9 and len(loader.data) == 36 and loader.seed == 0
    limits = {**loader.augmentation.limits, "affine_prob": loader.augmentation.affine_prob}
    assert limits | {"cutout_prob": loader.augmentation.cutout_prob} == recipe.augmentation
    train_tiny(images, tmp_path / "b", recipe=replace(recipe, on_device=False))
    loader, _ = seen.pop()
    assert loader.augmentation.transforms[2].p == 0.75
    train_tiny(images, tmp_path / "c", recipe=TAUGHT, **one_teacher())
    loader, criterion = seen.pop()
    assert criterion.func is distillation_loss and criterion.keywords == {"temperature": 2}
    assert (loader.temperature, loader.cycle, loader.epoch) == (2, 2, 3 % 2)
    assert not loader.teachers[0].training


def test_validation_images_are_no_seeds_and_never_trained_on(images):
    first, second = (
        loop._make_loaders(images, images, Run(RECIPE, seed, "noise", "pytest"), CPU)
        for seed in (0, 1)
    )
    assert np.array_equal(first["val"].data.images, second["val"].data.images)
    trained, validated = (
        {image.tobytes() for image in first[name].data.images} for name in ("train", "val")
    )
    assert (len(trained), len(validated), len(first["test"].data)) == (54, 6, 60)
    assert not trained & validated
    assert (first["train"].seed, second["train"].seed) == (0, 1)
    assert first["val"].augmentation is first["test"].augmentation is None


def test_a_later_epoch_is_best_only_if_it_is_better(images, tmp_path, monkeypatch):
    accuracies = {6: iter([0.5, 0.9, 0.9]), 60: iter([0.1, 0.2, 0.8])}  # validation, test

    def evaluate(network, loader):
        return torch.tensor([1.0, next(accuracies[len(loader.data)]), 1.0])

    monkeypatch.setattr(loop, "evaluate", evaluate)
    _, run = train_tiny(images, tmp_path)
    assert load_checkpoint(tmp_path / "best.pt")["run"]["history"] == run.history[:2]


def test_without_validation_there_is_no_best(images, tmp_path):
    _, run = train_tiny(images, tmp_path, recipe=replace(RECIPE, val_images=0))
    assert not (tmp_path / "best.pt").exists() and "val_acc" not in run.history[-1]


def test_the_printed_line(images, tmp_path, capsys):
    _, run = train_tiny(images, tmp_path, on_epoch=print_row)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(run.history) == 3 and len({line.index("test") for line in lines}) == 1
    assert lines[0].startswith("epoch   1/3   lr 0.0020   train ") and lines[0].isascii()
    assert f"{run.history[2]['test_acc']:7.2%}" in lines[2]


def test_progress_is_drawn_on_stderr(images, tmp_path, capsys):
    plain, _ = train_tiny(images, tmp_path / "plain")
    assert capsys.readouterr().err == ""
    drawn, _ = train_tiny(images, tmp_path / "drawn", progress=True)
    said = capsys.readouterr()
    assert "epoch 3/3" in said.err and said.out == "" and same(plain, drawn)
