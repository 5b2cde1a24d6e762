"""Folders that a run refuses, before it trains."""

from dataclasses import replace

import pytest
from tiny_runs import RECIPE, TAUGHT, one_teacher, stopped_after, train_tiny
from torch import nn


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"seed": 1}, "seed = 0 and not 1"),
        ({"recipe": replace(RECIPE, lr=0.01)}, r"recipe = {'lr': 0.02} and not {'lr': 0.01}"),
        ({"network": nn.Sequential(nn.Flatten(), nn.Linear(3072, 3))}, "holds another network"),
        ({"recipe": TAUGHT} | one_teacher(), "'temperature': 0.0, 'cycle': 0} and not"),
    ],
)
def test_another_run_is_refused(images, tmp_path, changes, words):
    train_tiny(images, tmp_path)
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(ValueError, match=words):
        train_tiny(images, tmp_path, **changes)
    assert (tmp_path / "last.pt").read_bytes() == before


def test_another_teacher_or_data_set_is_refused(images, tmp_path):
    recipe = replace(TAUGHT, epochs=1)
    train_tiny(images, tmp_path, recipe=recipe, **one_teacher())
    other = one_teacher() | {"described": [{"model": "tiny", "seed": 8}]}
    with pytest.raises(ValueError, match="with teachers = .*'seed': 7}] and not .*'seed': 8}]"):
        train_tiny(images, tmp_path, recipe=recipe, **other)
    with pytest.raises(ValueError, match="with dataset = noise and not digits"):
        train_tiny(replace(images, name="digits"), tmp_path, recipe=recipe, **one_teacher())


def test_a_folder_that_is_a_file(images, tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(OSError, match="file is a file, not a folder; choose another folder"):
            train_tiny(images, path)


def test_a_folder_that_cannot_be_written(images, tmp_path, monkeypatch):
    def read_only(**options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("utils.training.checkpoint.tempfile.TemporaryFile", read_only)
    with stopped_after(0, AssertionError("trained")):
        words = r"can't be written \(Read-only file system\); choose another folder"
        with pytest.raises(OSError, match=words):
            train_tiny(images, tmp_path)
