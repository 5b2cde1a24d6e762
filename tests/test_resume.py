"""Runs that are stopped and go on, bit for bit on the CPU."""

import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
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
    with stopped_after(steps, RuntimeError("killed")), pytest.raises(RuntimeError, match="killed"):
        train_tiny(images, tmp_path / "killed", **options())
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


def test_kill_minus_nine(images, tmp_path):
    if not hasattr(signal, "SIGKILL"):
        pytest.skip("Windows has no SIGKILL")
    np.savez(tmp_path / "images.npz", images=images.images, labels=images.labels)
    code = textwrap.dedent(f"""
        import os, signal, sys
        import numpy as np, torch
        sys.path[:0] = ["tests", "."]
        torch.set_num_threads(1)
        from tiny_runs import train_tiny
        from utils.data import ImageSet
        images = ImageSet("noise", **np.load({str(tmp_path / "images.npz")!r}), classes=())
        def kill(row, epochs):
            if row["epoch"] == 2:
                os.kill(os.getpid(), signal.SIGKILL)
        train_tiny(images, {str(tmp_path / "killed")!r}, on_epoch=kill)
    """)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert len(load_checkpoint(tmp_path / "killed" / "last.pt")["run"]["history"]) == 2
    whole, _ = train_tiny(images, tmp_path / "whole")
    resumed, _ = train_tiny(images, tmp_path / "killed")
    assert same(whole, resumed)


def test_a_run_that_ctrl_c_stopped_goes_on(images, tmp_path):
    whole, _ = train_tiny(images, tmp_path / "whole")
    cut(images, tmp_path / "run", 2)
    assert not (tmp_path / "run" / "last.pt").exists()  # no epoch is over
    cut(images, tmp_path / "run", STEPS + 2)
    assert len(load_checkpoint(tmp_path / "run" / "last.pt")["run"]["history"]) == 1
    network, run = train_tiny(images, tmp_path / "run")
    assert len(run.history) == 3 and same(network, whole)


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
