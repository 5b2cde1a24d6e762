"""Checkpoints survive what happens to files, and what other machines write into them."""

import pytest
import torch
from tiny_runs import CPU, RECIPE, STEPS, same, stopped_after, tiny, train_tiny

from utils.training import Learner, Run, checkpoint, load_checkpoint, make_folder
from utils.training.checkpoint import save_checkpoint

STATE = {"network": {"weight": torch.arange(4.0)}, "run": Run(RECIPE, 0, "noise", "x").to_dict()}


@pytest.mark.parametrize("part", ["write", "replace"])
def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path, monkeypatch, part):
    path = tmp_path / "new" / "last.pt"
    save_checkpoint(path, STATE)

    def full(*args):
        raise OSError(28, "No space left on device")

    place = (checkpoint.os, "fsync") if part == "write" else (type(path), "replace")
    monkeypatch.setattr(*place, full)
    with pytest.raises(OSError, match="last.pt could not be written .*No space left.*make room"):
        save_checkpoint(path, STATE | {"network": {}})
    assert torch.equal(load_checkpoint(path)["network"]["weight"], torch.arange(4.0))
    assert [file.name for file in path.parent.iterdir()] == ["last.pt"]


def test_what_cannot_be_pickled_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, STATE)
    with pytest.raises(Exception, match="pickle"):
        save_checkpoint(path, STATE | {"network": lambda: 0})
    assert load_checkpoint(path)["run"] == STATE["run"]


@pytest.mark.parametrize("part", [0, *range(1, 20), 19.9])
def test_truncated_files_are_named(tmp_path, part):
    path = tmp_path / "last.pt"
    save_checkpoint(path, STATE)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data) / 20)])
    with pytest.raises(ValueError, match=r"last\.pt is truncated or not a checkpoint of this rep"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "state",
    [
        {"weight": torch.zeros(1)},
        {"network": {}, "about": {"model": "s7"}},  # what this repository once wrote
    ],
)
def test_foreign_files_are_named(tmp_path, state):
    torch.save(state, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="not a checkpoint of this repository; choose another"):
        load_checkpoint(tmp_path / "last.pt")


@pytest.mark.parametrize("change", [{"recipe": {"epochs": 3, "ssr_prob": 0.5}}, {"seed": -1}])
def test_another_versions_checkpoint_need_not_be_deleted(tmp_path, change):
    torch.save({"network": {}, "run": STATE["run"] | change}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match=r"last\.pt was written by another version"):
        load_checkpoint(tmp_path / "last.pt")


def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path):
    with pytest.raises(OSError):
        load_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "last.pt")


def test_folders_are_made(tmp_path):
    assert make_folder(str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
    assert list(make_folder(tmp_path / "a" / "b").iterdir()) == []


def test_a_run_goes_on_where_precision_and_graphs_differ(images, tmp_path):
    whole, _ = train_tiny(images, tmp_path / "whole")
    with stopped_after(STEPS + 1, RuntimeError("killed")), pytest.raises(RuntimeError):
        train_tiny(images, tmp_path / "cut")
    saved = load_checkpoint(tmp_path / "cut" / "last.pt")
    assert saved["scaler"] == {}
    saved["scaler"] = {  # as a T4, which scales float16, would have saved it
        "scale": 65536.0,
        "growth_factor": 2.0,
        "backoff_factor": 0.5,
        "growth_interval": 2000,
        "_growth_tracker": 0,
    }
    for group in saved["optimizer"]["param_groups"]:  # as a graph keeps it on the device
        group["lr"] = torch.tensor(group["lr"], dtype=torch.float64)
    save_checkpoint(tmp_path / "cut" / "last.pt", saved)
    network, run = train_tiny(images, tmp_path / "cut")
    assert len(run.history) == 3 and same(network, whole)
    assert all(type(row["lr"]) is float for row in run.history)


def test_a_scaler_starts_anew_behind_a_device_that_needed_none():
    saved = Learner(tiny(), RECIPE, CPU, steps=STEPS).state_dict()
    learner = Learner(tiny(), RECIPE, CPU, steps=STEPS)
    learner.scaler = torch.amp.GradScaler("cpu", enabled=True)  # as a T4's
    assert saved["scaler"] == {}
    learner.load_state_dict(saved)
    assert learner.scaler.get_scale() == 65536
