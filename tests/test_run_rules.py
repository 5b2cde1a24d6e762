"""The rules for a run read what it wrote."""

import pytest
import torch
from small_networks import good

from utils.grading import spec_sheet


@pytest.fixture
def run_dir(tmp_path):
    for name, epochs in (("best", 3), ("last", 5)):
        run = {"history": [{"epoch": epoch} for epoch in range(1, epochs + 1)]}
        torch.save({"network": good().state_dict(), "run": run}, tmp_path / f"{name}.pt")
    return tmp_path


def checkpoints(run_dir):
    rule = spec_sheet(good(), run_dir=run_dir)[-1]
    assert rule.rule == "checkpoints"
    return rule.measured, rule.passed


def test_both_are_there(run_dir):
    assert checkpoints(run_dir) == ("best: epoch 3, last: epoch 5", True)
    assert checkpoints(str(run_dir))[1]


def test_one_is_missing(run_dir):
    (run_dir / "best.pt").unlink()  # as after a run without validation images
    assert checkpoints(run_dir) == ("no best.pt", False)


def test_one_is_damaged_or_foreign(run_dir):
    path = run_dir / "last.pt"
    path.write_bytes(path.read_bytes()[:100])
    words, passed = checkpoints(run_dir)
    assert words.startswith("last.pt can't be read") and not passed
    torch.save({"weights": 1}, path)
    assert not checkpoints(run_dir)[1]


def test_another_networks(run_dir):
    torch.save({"network": {"w": torch.zeros(1)}, "run": {"history": []}}, run_dir / "last.pt")
    assert checkpoints(run_dir) == ("last.pt is another network's", False)


@pytest.mark.parametrize(("accuracy", "passed"), [(None, None), (0.8499, False), (0.85, True)])
def test_accuracy(accuracy, passed):
    rules = {rule.rule: rule for rule in spec_sheet(good(), accuracy=accuracy)}
    assert rules["test accuracy"].passed is passed
