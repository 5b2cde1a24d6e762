"""Checkpoints survive what happens to files."""
import json

import pytest
import torch

from utils import checkpoint
from utils.checkpoint import load_checkpoint, save_checkpoint, ship

STATE = {"network": {"weight": torch.arange(4.0)}, "history": [{"epoch": 1}], "about": {"model": "s7"}}


def test_round_trip(tmp_path):
    save_checkpoint(tmp_path / "new" / "last.pt", STATE)
    state = load_checkpoint(tmp_path / "new" / "last.pt")
    assert torch.equal(state["network"]["weight"], torch.arange(4.0)) and state["history"] == [{"epoch": 1}]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("PytorchStreamWriter failed")])
def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path, monkeypatch, error):
    path = tmp_path / "last.pt"
    save_checkpoint(path, STATE)

    def half(state, file):
        file.write(b"half")
        raise error
    monkeypatch.setattr(checkpoint.torch, "save", half)
    with pytest.raises(OSError, match="could not be written .*; make room"):
        save_checkpoint(path, STATE | {"history": []})
    assert load_checkpoint(path)["history"] == [{"epoch": 1}]
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("spoil", [lambda data: data[:-100], lambda data: data[:10], lambda data: b"", lambda data: b"text",
                                   *(lambda data, part=part: data[:part * len(data) // 20] for part in range(1, 20))])
def test_damaged_files_are_named(tmp_path, spoil):
    path = tmp_path / "last.pt"
    save_checkpoint(path, STATE)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match=r"last\.pt is truncated or not a checkpoint"):
        load_checkpoint(path)


def test_foreign_files_are_named(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="not a checkpoint of this repository"):
        load_checkpoint(tmp_path / "last.pt")


def run(tmp_path, epochs=1, dataset="CIFAR-10", model="s7", images=50_000):
    rows = [{"epoch": 1, "test_acc": 0.9, "seconds": 2.0}]
    about = {"model": model, "seed": 0, "dataset": dataset, "recipe": {"epochs": epochs, "images": images}}
    save_checkpoint(tmp_path / "run" / "last.pt", STATE | {"history": rows, "about": about})
    return tmp_path / "run"


def test_ship(tmp_path):
    card = ship(run(tmp_path), "s7", tmp_path, mirrored_test_accuracy=0.91)
    assert card["mirrored_test_accuracy"] == 0.91
    assert json.loads((tmp_path / "s7.json").read_text()) == card
    assert card["test_accuracy"] == 0.9 and card["wall_time_s"] == 2 and card["seed"] == 0
    assert torch.equal(torch.load(tmp_path / "s7.pt", weights_only=True)["weight"], torch.arange(4.0))
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("kwargs", [{"epochs": 2}, {"dataset": "handwritten digits"}, {"model": "tutorial"}, {"images": 600}])
def test_what_does_not_ship(tmp_path, kwargs):
    with pytest.raises(ValueError, match="does not ship"):
        ship(run(tmp_path, **kwargs), "s7", tmp_path)
    assert not (tmp_path / "s7.pt").exists()
