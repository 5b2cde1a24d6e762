"""The sheet as a whole: its verdict, its width, its HTML."""

import copy
import subprocess
import sys
from argparse import Namespace

import numpy as np
import pytest
import torch
from small_networks import good
from torch import nn

from models import create_model
from utils.data import make_augmentation
from utils.grading import Rule, SpecSheet, receptive_fields, spec_sheet
from utils.grading.rules import find_weights, run_rules
from utils.report import draw_network

AUGMENTATION = make_augmentation(
    shift=0.125, scale=0.1, rotate=15, affine_prob=0.5, cutout_prob=0.25
)


def test_a_sheet_that_passes():
    sheet = spec_sheet(good(), AUGMENTATION, accuracy=0.85)
    assert sheet.passed and len(sheet) == 14
    assert [rule.number for rule in sheet] == list("12223456777889")
    first = str(sheet).splitlines()[0]
    assert first == "PASS: all 13 measured checks hold (1 not measured)"
    complete = SpecSheet(Rule("1", "a", "b", "c", True) for _ in range(14))
    assert complete.verdict == "PASS: all 14 checks hold"


def test_a_sheet_that_fails():
    sheet = spec_sheet(create_model("tutorial"), accuracy=0.8499)
    assert not sheet.passed
    assert sheet.verdict == "FAIL: 8 of 14 checks (4 not measured)"
    lines = str(sheet).splitlines()[3:]
    assert [line[:4].strip() for line in lines if line[:4].strip()].count("FAIL") == 8


@pytest.mark.parametrize("number", [float, np.float64, torch.tensor])
def test_an_accuracy_may_be_numpys_or_torchs(number):
    sheet = spec_sheet(good(), accuracy=number(0.5))
    assert not sheet.passed and "FAIL" in str(sheet) and "50.00%" in str(sheet)
    assert spec_sheet(good(), accuracy=number(0.85)).passed


@pytest.mark.parametrize("accuracy", [85.0, -0.1, float("nan")])
def test_an_accuracy_that_is_no_fraction(accuracy):
    with pytest.raises(ValueError, match="an accuracy is a fraction, 0.85 for 85 %, not "):
        spec_sheet(good(), accuracy=accuracy)


@pytest.mark.parametrize(
    "last, words",
    [
        (nn.LogSoftmax(1), "(2, 10) on cpu"),
        (nn.Sequential(nn.ReLU(), nn.Linear(10, 10)), "(2, 10) on cpu"),
        (nn.Softmax(1), "no logits: leave out the softmax at the end"),
        (nn.Softmax(0), "no logits: leave out the softmax at the end"),
        (nn.Sigmoid(), "no logits: leave out the sigmoid at the end"),
        (nn.Sequential(nn.ReLU(inplace=True), nn.Flatten()), "no logits: leave out the relu at"),
    ],
)
def test_an_activation_at_the_end_leaves_no_logits(last, words):
    network = good()
    network.O[2] = nn.Sequential(nn.Linear(8, 10), last)
    first = spec_sheet(network)[0]
    assert first.measured.startswith(words) and first.passed == ("leave" not in words)


def test_a_network_that_has_diverged():
    network = good()
    nn.init.constant_(network.C4[1][0][0].weight, float("nan"))
    assert spec_sheet(network)[0].measured.startswith("not a number: this network's weights")


def test_what_looks_at_a_map_changes_no_verdict():
    network, kept = good(), []
    for look in (
        lambda _, __, out: kept.append(out),  # as a Grad-CAM keeps it
        lambda _, __, out: kept.append(out.detach().cpu().numpy()),
        lambda _, __, out: kept.append(out.isnan().any() + (out > 0).float().mean()),
        Keeper().keep,
    ):
        network.C4.register_forward_hook(look)
    network(torch.randn(2, 3, 32, 32))
    assert str(spec_sheet(network)) == str(spec_sheet(good()))


class Keeper:
    def keep(self, module, images, out):
        self.out = out  # has a graph: torch refuses to copy it


def test_a_network_that_cannot_be_copied():
    network = good()
    network.log = open(__file__, encoding="utf-8")
    with network.log:
        words = "ValueError: the network can't be copied (cannot pickle '_io.TextIOWrapper' object)"
        assert spec_sheet(network)[0].measured.startswith(words)


def test_lazy_layers_run_first():
    network = nn.Sequential(nn.LazyConv2d(10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match="lazy layers have no weights yet; run it on images once"):
        spec_sheet(network)
    network(torch.zeros(1, 3, 32, 32))
    assert "logits" in str(spec_sheet(network))


def test_what_is_no_network():
    traced = torch.jit.trace(good().eval(), torch.zeros(2, 3, 32, 32))
    for wrong in (nn.Sequential, None, good, traced):
        with pytest.raises(ValueError, match=r"expected a network, such as Net\(\), that is not"):
            spec_sheet(wrong)


@pytest.mark.parametrize("name", ["tutorial", "s7", "s7_dilated"])
def test_it_is_at_most_100_characters_wide(name):
    sheet = spec_sheet(create_model(name), AUGMENTATION, accuracy=0.9)
    assert max(map(len, str(sheet).splitlines())) <= 100
    long = SpecSheet([Rule("1", "a rule", "much", "many words " * 30, False)])
    assert max(map(len, str(long).splitlines())) <= 100
    assert str(long).count("many") == 30


def test_html_has_every_rule_and_no_markup_of_others():
    html = spec_sheet(good())._repr_html_()
    assert html.count("<tr>") == 15 and html.count(">-<") == 5 and "FAIL" not in html
    html = SpecSheet([Rule("1", "<b>", "a & b", "<script>", None)])._repr_html_()
    assert "&lt;script&gt;" in html and "<script>" not in html and "a &amp; b" in html


def test_a_compiled_network_is_the_one_inside():
    assert spec_sheet(torch.compile(good())).passed


@pytest.mark.parametrize("measure", [spec_sheet, draw_network, receptive_fields])
def test_the_network_is_left_alone(measure):
    network = good().half().train()
    before = copy.deepcopy(network.state_dict())
    measure(network)
    assert network.training and next(network.parameters()).dtype is torch.float16
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_grading_knows_nothing_of_training():
    code = "import sys, utils.grading; print([m for m in sys.modules if 'utils.training' in m])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


# --- the rules for a run ---


@pytest.fixture
def run_dir(tmp_path):
    for name, epochs in (("best", 3), ("last", 5)):
        run = {"history": [{"epoch": epoch} for epoch in range(1, epochs + 1)]}
        torch.save({"network": good().state_dict(), "run": run}, tmp_path / f"{name}.pt")
    return tmp_path


def checkpoints(run_dir):
    rule = run_rules(good(), None, run_dir)[1]
    return rule.measured, rule.passed


def test_both_are_there(run_dir):
    assert checkpoints(run_dir) == ("best: epoch 3, last: epoch 5", True)
    assert checkpoints(str(run_dir))[1]


def test_weights_alone_are_a_checkpoint_too(run_dir):
    torch.save(good().state_dict(), run_dir / "best.pt")
    torch.save({"model_state_dict": good().state_dict(), "epoch": 3}, run_dir / "last.pt")
    assert checkpoints(run_dir) == ("best: weights, last: weights", True)


def test_weights_of_a_wrapped_network(run_dir):
    torch.save(torch.compile(good()).state_dict(), run_dir / "best.pt")
    torch.save(nn.DataParallel(good()).state_dict(), run_dir / "last.pt")
    assert checkpoints(run_dir) == ("best: weights, last: weights", True)
    own = nn.Sequential()
    own.module = nn.Linear(2, 2)  # a name of its own
    assert find_weights(own.state_dict(), own).keys() == own.state_dict().keys()


def test_more_than_weights(run_dir):
    torch.save({"net": good().state_dict(), "args": Namespace(lr=0.1)}, run_dir / "last.pt")
    reason = "last.pt holds more than weights: save network.state_dict() alone"
    assert checkpoints(run_dir) == (reason, False)


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
