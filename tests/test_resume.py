"""Runs that are stopped and go on, bit for bit on the CPU."""

from dataclasses import replace

import pytest
import torch
from tiny_runs import (
    RECIPE,
    STEPS,
    TAUGHT,
    Counted,
    figures,
    one_teacher,
    same,
    stopped_after,
    tiny,
    train_tiny,
)

from utils.training import Learner, load_checkpoint


def cut(images, folder, steps, **options):
    """A run that Ctrl-C stops."""
    with stopped_after(steps, KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        train_tiny(images, folder, **options)


@pytest.mark.parametrize("steps", [STEPS, STEPS + 2, 2 * STEPS + 1])
@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE,
        replace(RECIPE, ema=0.0),
        replace(RECIPE, optimizer="sgd"),
        replace(RECIPE, on_device=False),
        TAUGHT,
    ],
)
def test_a_killed_run_ends_with_the_same_weights(images, tmp_path, steps, recipe):
    def options():
        return {"recipe": recipe} | (one_teacher() if recipe.temperature else {})

    whole, run = train_tiny(images, tmp_path / "whole", **options())
    cut(images, tmp_path / "killed", steps, **options())
    resumed, continued = train_tiny(images, tmp_path / "killed", network=tiny(9), **options())
    assert same(whole, resumed) and figures(run) == figures(continued)


def test_dropout_draws_anew_in_every_epoch(images, tmp_path):
    drawn = []
    for seed in (0, 1):
        watch = {"on_epoch": lambda row, epochs: drawn.append(torch.initial_seed())}
        train_tiny(images, tmp_path / str(seed), seed=seed, **watch)
    assert len(set(drawn)) == 6


def test_the_teachers_are_asked_anew_after_a_stop(images, tmp_path):
    teachers = [Counted(), Counted(), Counted()]
    options = {"recipe": TAUGHT, "described": []}
    whole, _ = train_tiny(images, tmp_path / "whole", teachers=teachers[:1], **options)
    assert teachers[0].asked == 2 * STEPS  # two epochs, then they repeat
    cut(images, tmp_path / "cut", 3 * STEPS, teachers=teachers[1:2], **options)
    resumed, _ = train_tiny(images, tmp_path / "cut", teachers=teachers[2:], **options)
    assert teachers[2].asked == STEPS and same(whole, resumed)


def test_an_epoch_is_on_disk_before_anybody_hears_of_it(images, tmp_path):
    """So that nothing is lost however the process ends, by kill -9 too."""
    heard = []

    def check(row, epochs):
        heard.append(row)
        assert load_checkpoint(tmp_path / "last.pt")["run"]["history"] == heard

    train_tiny(images, tmp_path, on_epoch=check)
    assert len(heard) == 3


def test_a_finished_run_shows_its_history(images, tmp_path, monkeypatch):
    network, run = train_tiny(images, tmp_path, command="first")
    monkeypatch.setattr("utils.training.run.machine", lambda device: {"device": "another"})
    rows, before = [], (tmp_path / "last.pt").read_bytes()
    with stopped_after(0, AssertionError("trained again")):
        options = {"command": "second", "on_epoch": lambda row, epochs: rows.append((row, epochs))}
        shown, again = train_tiny(images, tmp_path, network=tiny(5), **options)
    assert rows == [(row, 3) for row in run.history] and again.history == run.history
    assert same(network, shown) and (tmp_path / "last.pt").read_bytes() == before
    # The second call had no part in the run.
    assert again.command == "first" and again.calls == run.calls and len(run.calls) == 1


def test_every_call_that_had_a_part_in_a_run_is_named(images, tmp_path):
    cut(images, tmp_path, STEPS + 1, command="first")
    cut(images, tmp_path, 1, command="second")  # finishes no epoch
    cut(images, tmp_path, STEPS + 1, command="first")  # again: one entry is enough
    _, run = train_tiny(images, tmp_path, command="third")
    assert [call["command"] for call in run.calls] == ["first", "third"]
    saved = load_checkpoint(tmp_path / "last.pt")["run"]
    assert saved["calls"] == run.calls and saved["command"] == "third"


def test_weights_that_end_without_numbers(images, tmp_path):
    """The step's own loss was still one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "_foreach_lerp_", lambda averages, *_: averages[0].fill_(torch.nan))
        with pytest.raises(FloatingPointError, match="the loss is nan in epoch 1"):
            train_tiny(images, tmp_path)
    assert not (tmp_path / "last.pt").exists()


def test_a_loss_that_is_not_finite(images, tmp_path):
    real = Learner.step

    def explode(self, *args):
        loss, logits = real(self, *args)
        return loss * float("nan"), logits

    cut(images, tmp_path, STEPS + 1)
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "step", explode)
        words = r"the loss is nan in epoch 2, .* rate of 0\.0\d+ \(peak 0\.02\); start again with"
        with pytest.raises(FloatingPointError, match=words):
            train_tiny(images, tmp_path)
    assert (tmp_path / "last.pt").read_bytes() == before
