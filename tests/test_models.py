"""Networks: shapes, parameters, receptive fields, flags, names, and the pretrained weights."""

import hashlib
import inspect
import json
import re
from math import inf, nan
from pathlib import Path

import pytest
import torch
from small_networks import total
from torch import nn

import models
from experiments import read_study
from models import create_model
from models.layers import DepthwiseConv, ResidualPair
from utils.data import CIFAR10_MEAN, CIFAR10_STD, DeviceLoader
from utils.grading import receptive_field
from utils.training import evaluate

SHIPPED = [card.stem for card in models.WEIGHTS.glob("*.json")]


@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), (1, 2)])
def test_a_strided_or_dilated_depthwise_convolution_stays_in_float32_on_a_cpu(stride, dilation):
    depthwise = DepthwiseConv(4, 4, 3, stride, 1, dilation, groups=4)
    plain = nn.Conv2d(4, 4, 3, stride, 1, dilation, groups=4)
    plain.load_state_dict(depthwise.state_dict())
    images = torch.randn(2, 4, 8, 8)
    assert torch.equal(depthwise(images), plain(images))
    assert depthwise.double()(images.double()).dtype is torch.float64
    with torch.autocast("cpu", torch.bfloat16):
        output = depthwise.float()(images.bfloat16())
    assert output.dtype is (torch.bfloat16 if stride == dilation else torch.float32)


# --- shapes, parameters, receptive fields ---------------------------------------------------------


@pytest.mark.parametrize("name, smallest", [("s7", 1), ("s7_dilated", 23), ("teacher", 1)])
def test_every_size_gives_logits(name: str, smallest: int):
    network, seven = create_model(name).eval(), create_model(name, num_classes=7).eval()
    for size in ((smallest, smallest), (23, 23), (32, 32), (48, 40), (64, 64)):
        assert network(torch.zeros(2, 3, *size)).shape == (2, 10)
        assert seven(torch.zeros(1, 3, *size)).shape == (1, 7)


@pytest.mark.parametrize("name", ["s7", "s7_dilated", "teacher"])
def test_the_comments_give_shapes_and_receptive_fields_which_have_no_holes(name: str):
    network, layers, measured, edges = create_model(name).eval(), [], [], set()
    parts = list(network)[:-1]
    for stage in [parts] if name == "teacher" else parts:
        layers += stage
        for end in range(len(measured) + 1, len(layers) + 1):
            part = nn.Sequential(*layers[:end])
            shape = part(torch.zeros(1, 3, 32, 32)).shape[1:]
            field = receptive_field(part)
            assert field.all()
            measured.append((*shape, max(field.shape)))
        edges |= {measured[-len(stage)], measured[-1]}
    source = inspect.getsource(type(network))
    comments = re.findall(r"# \(N, (\d+), (\d+), (\d+)\) +(\d+)$", source, re.MULTILINE)
    comments = [tuple(map(int, comment)) for comment in comments]
    remaining = iter(measured)  # a comment stands for one layer or several: some are left out
    assert all(comment in remaining for comment in comments) and edges <= set(comments)


# --- flags ----------------------------------------------------------------------------------------


def channels(**flags) -> list[int]:
    """Of the last convolution of each stage."""
    stages = [stage.modules() for stage in list(create_model("s7", **flags))[:-1]]
    return [[m.out_channels for m in stage if isinstance(m, nn.Conv2d)][-1] for stage in stages]


def test_width_and_widths():
    assert channels() == [32, 40, 80, 96]
    assert channels(width=0.5) == [16, 20, 40, 48]
    assert channels(width=0.9) == [28, 36, 72, 88]  # multiples of 4
    assert channels(width=0.01) == [4, 4, 4, 4]
    assert channels(widths=(8, 13, 18, 20)) == [8, 13, 18, 20]


@pytest.mark.parametrize("pairs", [(2, 2, 2, 1), (0, 1, 2, 3)])
def test_pairs(pairs: tuple[int, int, int, int]):
    network = create_model("s7", pairs=pairs).eval()
    found = [
        sum(isinstance(module, ResidualPair) for module in stage.modules())
        for stage in list(network)[:-1]
    ]
    assert tuple(found) == pairs and network(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


@pytest.mark.parametrize(
    "flags",
    [
        *({"width": value} for value in (-1, 0, "a", inf, nan, None, 1e9)),
        *({"pairs": value} for value in ((2, 2, 2), (2, 2, 2, 1, 1), (1, 1, 1, -1), 5, "abcd")),
        *({"widths": value} for value in ((32, 40), (32, 40, 80, -8), (0,) * 4)),
        {"dilation": "no"},
        {"depthwise": 1},
        {"num_classes": -1},
    ],
    ids=str,
)
def test_invalid_values_are_refused_in_one_sentence(flags: dict):
    with pytest.raises(ValueError, match="^'s7' can't be built with ") as refused:
        create_model("s7", **flags)
    message = str(refused.value)
    assert str(flags) in message and "\n" not in message


def test_unknown_names():
    names = "unknown model 's8'; choose one of: tutorial, s7, s7_dilated"
    with pytest.raises(ValueError, match=names):
        create_model("s8")
    with pytest.raises(ValueError, match="argument 'deep'; its flags are: num_classes, dilation"):
        create_model("s7", deep=3)
    with pytest.raises(ValueError, match="'teacher' can't be built with {'width': 2}"):
        create_model("teacher", width=2)


# --- pretrained weights, made here ----------------------------------------------------------------


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with random weights of s7 and their card, in place of models/weights."""
    torch.save(create_model("s7").state_dict(), tmp_path / "s7.pt")
    card = {"sha256": hashlib.sha256((tmp_path / "s7.pt").read_bytes()).hexdigest(), "note": "→ é"}
    text = json.dumps(card, ensure_ascii=False)
    (tmp_path / "s7.json").write_text(text, encoding="utf-8")
    monkeypatch.setattr(models, "WEIGHTS", tmp_path)
    return tmp_path


def test_pretrained_weights_are_loaded_with_their_card(weights: Path):
    network = create_model("s7", pretrained=True)
    saved = torch.load(weights / "s7.pt", weights_only=True)
    loaded = network.state_dict()
    assert loaded.keys() == saved.keys() and all(torch.equal(loaded[k], saved[k]) for k in saved)
    assert not network.training and create_model("s7").training
    assert network.card["note"] == "→ é"
    assert not hasattr(create_model("s7"), "card")


def test_missing_weights_are_named(weights: Path):
    with pytest.raises(ValueError, match="no pretrained weights for 'teacher' in "):
        create_model("teacher", pretrained=True)


@pytest.mark.parametrize("flags", [{"depthwise": False}, {"dilation": False}, {"num_classes": 9}])
def test_pretrained_weights_fit_the_default_flags_only(weights: Path, flags: dict):
    with pytest.raises(ValueError, match="its default flags; leave out {"):  # even if shapes fit
        create_model("s7", pretrained=True, **flags)


def test_altered_weights_are_refused(weights: Path):
    path = weights / "s7.pt"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="not the file that its card describes"):
        create_model("s7", pretrained=True)
    path.unlink()
    with pytest.raises(ValueError, match="restore it with: git checkout"):
        create_model("s7", pretrained=True)


# --- the weights that ship ------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_are_small_and_fit_their_card(name: str):
    network = create_model(name, pretrained=True)
    card = network.card
    assert network(torch.randn(8, 3, 32, 32)).isfinite().all()
    assert (models.WEIGHTS / f"{name}.pt").stat().st_size < 1_000_000
    # What a user needs.
    assert card["name"] == name and card["parameters"] == total(network)
    assert tuple(card["mean"]) == CIFAR10_MEAN and tuple(card["std"]) == CIFAR10_STD
    assert len(card["classes"]) == 10 and card["classes"][3] == "cat"
    # How it was made; the accuracy is the last epoch's, never the best one on the test set.
    assert card["command"].startswith("python ")
    assert card["recipe"]["model"] == name and card["dataset"] == "CIFAR-10"
    assert card["epochs"] == card["recipe"]["epochs"] and card["test_images"] == 10_000
    (record,) = (
        run
        for run in read_study("results")
        if all(run[key] == card[key] for key in ("recipe", "seed", "calls"))
    )
    assert card["test_accuracy"] == record["history"][-1]["test_acc"]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_accuracy_is_the_cards(name: str, cifar10: tuple):
    part = DeviceLoader(cifar10[1].take(slice(0, 2000)), 500, "cpu")
    network = create_model(name, pretrained=True)
    _, correct, _ = evaluate(network, part).tolist()
    # 2,000 of the 10,000 images: within three standard errors of the card's figure.
    assert abs(correct / 2000 - network.card["test_accuracy"]) < 0.02


def test_a_residual_pair_adds_its_input():
    pair, x = ResidualPair(4).eval(), torch.randn(2, 4, 8, 8)
    for parameter in pair.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(pair(x), x)
