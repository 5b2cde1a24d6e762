"""What a run refuses, before it trains."""

import os
from dataclasses import replace

import pytest
from tiny_runs import CPU, RECIPE, TAUGHT, one_teacher, stopped_after, tiny, train_tiny
from torch import nn

from utils.training import Run, train


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"seed": 1}, "with seed = 0 and not 1; choose another folder"),
        ({"recipe": replace(RECIPE, lr=0.01, ema=0.0)}, "lr = 0.02 and not 0.01, ema = 0.9 and"),
        ({"network": nn.Sequential(nn.Flatten(), nn.Linear(3072, 3))}, "holds another network"),
        ({"recipe": TAUGHT} | one_teacher(), "temperature = 0.0 and not 2.0, cycle = 0 and not 2"),
    ],
)
def test_another_run_is_refused(images, tmp_path, changes, words):
    train_tiny(images, tmp_path)
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(ValueError, match=words):
        train_tiny(images, tmp_path, **changes)
    assert (tmp_path / "last.pt").read_bytes() == before


def test_other_layers_with_weights_of_the_same_names(images, tmp_path):
    train_tiny(images, tmp_path)
    before, other = (tmp_path / "last.pt").read_bytes(), tiny()
    other[2] = nn.Softplus()  # in place of a ReLU, without weights both
    with pytest.raises(ValueError, match="its test loss was .*, with the layers of this one it is"):
        train_tiny(images, tmp_path, other)
    assert (tmp_path / "last.pt").read_bytes() == before


def test_another_teacher_or_data_set_is_refused(images, tmp_path):
    recipe = replace(TAUGHT, epochs=1)
    train_tiny(images, tmp_path, recipe=recipe, **one_teacher())
    other = one_teacher() | {"described": [{"model": "tiny", "seed": 8}]}
    with pytest.raises(ValueError, match="with teachers = .*'seed': 7}] and not .*'seed': 8}]"):
        train_tiny(images, tmp_path, recipe=recipe, **other)
    with pytest.raises(ValueError, match="with dataset = noise and not digits"):
        train_tiny(replace(images, name="digits"), tmp_path, recipe=recipe, **one_teacher())


def test_a_temperature_needs_a_teacher(images, tmp_path):
    for arguments in ({"recipe": TAUGHT}, {"teachers": [tiny(7)]}):
        with pytest.raises(ValueError, match="a temperature needs a teacher .* no other recipe"):
            train_tiny(images, tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


def test_a_run_with_a_history_goes_on_from_its_checkpoint_only(images, tmp_path):
    _, run = train_tiny(images, tmp_path / "first")
    with pytest.raises(ValueError, match="a history, but there is no .*last.pt; make a fresh Run"):
        train(tiny(), images, images, run, tmp_path / "second", device=CPU)


@pytest.mark.parametrize("outputs", [2, 10])
def test_a_network_for_other_classes(images, tmp_path, outputs):
    network = nn.Sequential(*tiny()[:-1], nn.Linear(6, outputs))
    words = f"the network has {outputs} outputs, the images have 3 classes"
    with pytest.raises(ValueError, match=words):
        train_tiny(images, tmp_path / "new", network)
    assert not (tmp_path / "new").exists()


def test_a_run_on_other_images_than_it_says(images, tmp_path):
    run = Run(RECIPE, 0, "CIFAR-10", "pytest")
    with pytest.raises(ValueError, match="one on CIFAR-10, but the images are noise"):
        train(tiny(), images, images, run, tmp_path, device=CPU)


@pytest.mark.parametrize(
    "folder, reason",
    [("file", "File exists"), ("file/run", "Not a directory"), ("full", "No space left")],
)
def test_a_folder_that_cannot_be_written(images, tmp_path, monkeypatch, folder, reason):
    (tmp_path / "file").write_text("")

    def full(**options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("utils.training.checkpoint.tempfile.TemporaryFile", full)
    with stopped_after(0, AssertionError("trained")):
        reason = reason if os.name == "posix" or folder == "full" else ".+"  # Windows' own words
        words = rf"{folder} can't be .* as a folder \({reason}.*\); choose another folder"
        with pytest.raises(OSError, match=words):
            train_tiny(images, tmp_path / folder)
