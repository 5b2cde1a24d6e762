"""Networks: shapes, flags, names, and the shipped weights."""
import hashlib

import pytest
import torch

import models
from models import create_model, list_models, model_card
from utils.loaders import Loader
from utils.train import evaluate


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("size", [(32, 32), (48, 40), (64, 64)])
def test_any_side_gives_logits(name, size):
    assert create_model(name).eval()(torch.zeros(2, 3, *size)).shape == (2, 10)


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("shape", [(3, 32, 32), (2, 1, 32, 32), (2, 32, 32, 3)])
def test_wrong_shapes_are_named(name, shape):
    with pytest.raises(ValueError, match=r"expected a batch of colour images \(N, 3, H, W\), got"):
        create_model(name)(torch.zeros(shape))


def test_images_that_unpadded_kernels_would_use_up():
    assert create_model("s7_dilated").eval()(torch.zeros(1, 3, 21, 21)).shape == (1, 10)
    with pytest.raises(ValueError, match="expected images of at least 21×21 pixels, got 32×20"):
        create_model("s7_dilated")(torch.zeros(1, 3, 32, 20))


def test_parameters():
    assert parameters(create_model("tutorial")) == 62_006  # PyTorch's tutorial
    assert 150_000 < parameters(create_model("s7")) < 200_000
    assert parameters(create_model("s7_dilated")) < 200_000
    assert parameters(create_model("s7_deep")) == parameters(create_model("s7_deep", silu=False)) < 200_000


def test_flags():
    dilations = {m.dilation for m in create_model("s7", dilation=False).modules() if isinstance(m, torch.nn.Conv2d)}
    assert dilations == {(1, 1)}
    groups = {m.groups for m in create_model("s7", depthwise=False).modules() if isinstance(m, torch.nn.Conv2d)}
    assert groups == {1}
    assert parameters(create_model("s7", dilation=False)) == parameters(create_model("s7"))
    assert parameters(create_model("s7", depthwise=False)) > parameters(create_model("s7"))
    assert parameters(create_model("s7", width=0.5)) < parameters(create_model("s7")) / 3
    activations = [{type(m) for m in create_model("s7_deep", silu=silu).modules()} for silu in (True, False)]
    assert [torch.nn.SiLU in kinds for kinds in activations] == [torch.nn.ReLU not in kinds for kinds in activations] == [True, False]


def test_unknown_names():
    with pytest.raises(ValueError, match="unknown model 's8'; choose one of: tutorial, s7, s7_dilated, s7_deep"):
        create_model("s8")
    with pytest.raises(ValueError, match="'s7' has no flag deep, wide; it has: num_classes, dilation, depthwise, width"):
        create_model("s7", wide=2, deep=3)
    with pytest.raises(ValueError, match="'s7' can't be built with {'width': 'x'}"):
        create_model("s7", width="x")
    with pytest.raises(ValueError, match="no pretrained weights for 'tutorial'"):
        create_model("tutorial", pretrained=True)


@pytest.mark.parametrize("name", list_models(pretrained=True))
def test_pretrained_weights_are_those_of_the_card(name):
    card = model_card(name)
    assert hashlib.sha256((models.WEIGHTS / f"{name}.pt").read_bytes()).hexdigest() == card["sha256"]
    assert (models.WEIGHTS / f"{name}.pt").stat().st_size < 1_000_000
    assert card["test_accuracy"] == card["history"][-1]["test_acc"] and len(card["history"]) == card["epochs"]
    network = create_model(name, pretrained=True)
    assert not network.training and not torch.equal(network.O[2].weight, create_model(name).O[2].weight)


@pytest.mark.parametrize("name, flag", [("s7", {"depthwise": False}), ("s7", {"dilation": False}), ("s7_deep", {"silu": False})])
def test_pretrained_weights_fit_the_default_flags_only(name, flag):
    with pytest.raises(ValueError, match="fit its default flags only"):  # also where the shapes would fit
        create_model(name, pretrained=True, **flag)
    create_model("s7", pretrained=True, dilation=True)


def test_altered_weights_are_refused(tmp_path, monkeypatch):
    for suffix in ("pt", "json"):
        (tmp_path / f"s7.{suffix}").write_bytes((models.WEIGHTS / f"s7.{suffix}").read_bytes())
    (tmp_path / "s7.pt").write_bytes((tmp_path / "s7.pt").read_bytes()[:-1])
    monkeypatch.setattr(models, "WEIGHTS", tmp_path)
    with pytest.raises(ValueError, match="not the file that its card describes"):
        create_model("s7", pretrained=True)


@pytest.mark.parametrize("name", list_models(pretrained=True))
def test_torch_hub(name):
    network = torch.hub.load(".", name, source="local", pretrained=True)
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


@pytest.mark.parametrize("name", list_models(pretrained=True))
def test_shipped_accuracy_is_what_the_card_says(name, cifar10):
    test_images = cifar10[1].take(slice(0, 2000))
    _, correct, count = evaluate(create_model(name, pretrained=True), Loader(test_images, 500, "cpu")).tolist()
    # 2,000 of the 10,000 images: three standard errors around the card's figure
    assert abs(correct / count - model_card(name)["test_accuracy"]) < 0.02
