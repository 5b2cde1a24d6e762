"""The spec sheet tells look-alikes apart."""
import warnings

import albumentations as A
import pytest
import torch.nn.functional as F
from torch import nn

from models import create_model
from models.layers import ConvNormAct, SeparableConv
from utils.augment import MEAN_PIXEL, make_policy
from utils.recipes import RECIPES
from utils.measure import measure_policy
from utils.spec import spec_sheet
from utils.summary import format_stages, layer_table, stage_table

SETTINGS = RECIPES["s7"].policy


def failed(network, **kwargs):
    return {f"{rule.number} {rule.rule}" for rule in spec_sheet(network, **kwargs) if rule.passed is False}


class Block(nn.Sequential):
    """Runs a function behind its layers: what a forward method can hide."""
    extra = None

    def forward(self, x):
        x = super().forward(x)
        return self.extra(x) if self.extra else x


def good():
    """The smallest network that satisfies every rule; each test below spoils one thing in it."""
    network = nn.Sequential()
    network.C1 = Block(ConvNormAct(3, 8), ConvNormAct(8, 8, dilation=2))
    network.C2 = Block(ConvNormAct(8, 8, stride=2), ConvNormAct(8, 8), ConvNormAct(8, 8))
    network.C3 = Block(ConvNormAct(8, 8, stride=2), ConvNormAct(8, 8), ConvNormAct(8, 8))
    network.C4 = Block(SeparableConv(8, 8, stride=2), SeparableConv(8, 8))
    network.O = Block(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    return network


def test_a_good_network_passes():
    sheet = spec_sheet(good(), make_policy(**SETTINGS), accuracy=0.85)
    assert sheet.passed, str(sheet)
    assert {rule.number for rule in sheet} == set("123456789")
    assert [rule.rule for rule in sheet if rule.passed is None] == ["checkpoints"]


def test_s7_passes_and_the_tutorial_fails():
    assert not failed(create_model("s7")) and not failed(create_model("s7_deep"))
    assert failed(create_model("tutorial")) == {
        "2 blocks", "2 downsampling", "2 pooling besides global average", "3 receptive field", "4 depthwise separable convolution",
        "5 dilated convolution", "6 global average pooling"}


def test_separable_with_one_group():
    network = good()
    for block in (network.C4[0], network.C4[1]):
        block.depthwise.conv = nn.Conv2d(8, 8, 3, block.depthwise.conv.stride, 1, groups=1)
    assert failed(network) == {"4 depthwise separable convolution"}


def test_depthwise_without_its_pointwise():
    network = good()
    network.C4[0].pointwise = ConvNormAct(8, 8)
    network.C4[1].pointwise = ConvNormAct(8, 8)
    assert failed(network) == {"4 depthwise separable convolution"}


@pytest.mark.parametrize("separable", [True, False])
def test_what_makes_a_convolution_separable_is_the_way_of_the_data(separable):
    class Gated(SeparableConv):  # its pointwise convolution runs right behind the depthwise one, whatever it takes
        def forward(self, x):
            wide = F.layer_norm(self.depthwise(x).permute(0, 2, 3, 1), (8,)).permute(0, 3, 1, 2)
            gate = wide.mean((2, 3), keepdim=True).sigmoid()
            return self.pointwise(wide * gate) if separable else wide + self.pointwise(x)

    network = good()
    network.C4[0] = ConvNormAct(8, 8, stride=2)
    network.C4[1] = Gated(8, 8)
    assert failed(network) == (set() if separable else {"4 depthwise separable convolution"})


def test_max_pooling_as_a_module():
    network = good()
    network.C1.append(nn.MaxPool2d(3, 1, padding=1))
    assert failed(network) == {"2 pooling besides global average"}


@pytest.mark.parametrize("extra", [lambda x: F.max_pool2d(x, 2), lambda x: F.avg_pool2d(x, 2), lambda x: x[:, :, ::2, ::2],
                                   lambda x: F.interpolate(x, scale_factor=0.5)])
def test_pooling_hidden_in_forward(extra):
    network = good()
    network.C1.extra = extra
    assert failed(network) == {"2 pooling besides global average"}


def test_a_crop_is_no_pooling():
    network = good()
    network.C1.extra = lambda x: x[:, :, 1:-1, 1:-1]
    assert not failed(network)


def test_strided_shortcut():
    class Strided(nn.Module):
        def __init__(self, block):
            super().__init__()
            self.block, self.shortcut = block, nn.Conv2d(8, 8, 1, stride=2)

        def forward(self, x):
            return self.block(x) + self.shortcut(x)

    network = good()
    network.C2 = Strided(network.C2)
    assert failed(network) == {"2 downsampling"}


@pytest.mark.parametrize("change", [{"stride": 1}, {"kernel_size": 5}])
def test_not_three_strided_3x3(change):
    network = good()
    network.C2[0] = ConvNormAct(8, 8, **({"stride": 2} | change))
    assert "2 downsampling" in failed(network)


def test_average_pooling_that_is_not_global():
    network = good()
    network.O[0] = nn.AvgPool2d(3)
    assert {"6 global average pooling", "2 pooling besides global average"} == failed(network)


@pytest.mark.parametrize("gap", [nn.AvgPool2d(4), nn.Sequential(nn.Flatten(2), nn.AdaptiveAvgPool1d(1))])
def test_other_forms_of_global_pooling(gap):
    network = good()
    network.O[0] = gap
    assert "2 pooling besides global average" not in failed(network)


def test_mean_is_global_pooling():
    network = good()
    network.O = Block(nn.Identity(), nn.Linear(8, 10))
    network.O[0].register_forward_hook(lambda module, inputs, output: output.mean((2, 3)))
    assert not failed(network)


def test_global_max_pooling_is_not_average():
    network = good()
    network.O[0] = nn.AdaptiveMaxPool2d(1)
    assert "6 global average pooling" in failed(network)


def test_dilated_layer_that_is_never_called():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.never = ConvNormAct(8, 8), ConvNormAct(8, 8, dilation=2)

        def forward(self, x):
            return self.conv(x)

    network = good()
    network.C1[1] = Unused()
    assert failed(network) == {"5 dilated convolution"}


def test_dilated_kernels_in_place_of_strides():
    network = good()
    for block in (network.C2, network.C3):
        block[0] = ConvNormAct(8, 8, dilation=6)
    network.C4[0] = SeparableConv(8, 8, dilation=6)
    assert not failed(network) and "dilation alone" in str(spec_sheet(network))


def test_small_view_and_too_many_parameters():
    network = good()
    network.C2[1] = network.C2[2] = network.C3[1] = network.C3[2] = nn.Identity()
    network.C1[1] = ConvNormAct(8, 8, dilation=2)
    assert failed(network) == {"3 receptive field"}
    assert failed(create_model("s7", width=1.1)) == {"8 parameters"}


def test_accuracy_and_a_network_that_does_not_run():
    assert failed(good(), accuracy=0.8499) == {"8 test accuracy"}
    broken = nn.Sequential(nn.Linear(5, 5))
    assert {"1 runs on cuda, else mps, else cpu", "3 receptive field"} <= failed(broken)
    without_maps = spec_sheet(nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)))
    assert next(rule for rule in without_maps if rule.rule == "receptive field").measured == "0"


@pytest.mark.parametrize("wrap", [lambda x: (x, x), lambda x: {"logits": x}])
def test_a_network_that_returns_no_tensor(wrap):
    network = good()
    network.O.extra = wrap
    rule = spec_sheet(network)[0]
    assert not rule.passed and "not a tensor" in rule.measured


def test_a_network_that_takes_one_size_only():
    network = good()
    network.C1.extra = lambda x: x.reshape(-1, 8, 32, 32)  # a larger probe becomes several images
    network.register_forward_pre_hook(lambda module, inputs: inputs[0].reshape(1 if len(inputs[0]) == 1 else 2, 3, 32, 32))
    rule = next(rule for rule in spec_sheet(network) if rule.rule == "receptive field")
    assert not rule.passed and rule.measured.startswith("not to be had: RuntimeError")


# --- the policy ---------------------------------------------------------------------------------------------------------

STEPS = [A.HorizontalFlip(p=0.5), A.Affine(translate_percent=0.1, scale=0.9, rotate=10, p=0.5)]
HOLE = {"num_holes_range": (1, 1), "hole_height_range": (16, 16), "hole_width_range": (16, 16), "p": 0.5}


def hole(*steps):
    return next(rule for rule in measure_policy(A.Compose([*STEPS, *steps])) if rule.rule == "coarse dropout")


def test_a_right_hole_passes_before_normalize_too():
    assert hole(A.CoarseDropout(**HOLE, fill=MEAN_PIXEL)).passed
    assert hole(A.CoarseDropout(**HOLE, fill=MEAN_PIXEL), A.Normalize(), A.ToTensorV2()).passed


def test_other_random_steps_do_not_disturb():
    assert hole(A.PadIfNeeded(40, 40), A.RandomCrop(32, 32), A.CoarseDropout(**HOLE, fill=MEAN_PIXEL)).passed
    half = hole(A.Sequential([A.CoarseDropout(**HOLE, fill=MEAN_PIXEL)], p=0.5))
    assert half.passed and half.measured.endswith("p = 0.25")


def test_two_dropouts_and_what_is_no_policy():
    dropout = A.CoarseDropout(**HOLE, fill=MEAN_PIXEL)
    assert hole(dropout, dropout).measured.startswith("2 of them") and not hole(dropout, dropout).passed
    with pytest.raises(ValueError, match="expected an albumentations Compose, got list"):
        measure_policy([dropout])


def test_wrong_holes_fail():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        literal = A.CoarseDropout(max_holes=1, max_height=16, max_width=16, min_holes=1, min_height=16, min_width=16,
                                  fill_value=MEAN_PIXEL, mask_fill_value=None)
    assert not hole(literal).passed  # the assignment's own words
    assert "of (0, 0, 0)" in hole(A.CoarseDropout(**HOLE, fill=(0.49, 0.48, 0.45))).measured
    assert not hole(A.CoarseDropout(**HOLE, fill=(0.49, 0.48, 0.45))).passed
    assert not hole(A.Normalize(), A.CoarseDropout(**HOLE, fill=(0.49, 0.48, 0.45))).passed
    assert not hole(A.CoarseDropout(**HOLE | {"hole_width_range": (8, 8)}, fill=MEAN_PIXEL)).passed
    assert not hole(A.CoarseDropout(**HOLE | {"num_holes_range": (2, 2)}, fill=MEAN_PIXEL)).passed
    assert hole().measured.startswith("none")


def test_steps_that_do_nothing_fail():
    rules = {rule.rule: rule for rule in measure_policy(make_policy(**SETTINGS | {"rotate": 0}))}
    assert rules["shift-scale-rotate"].measured == "±3 pixels, ±10%, ±0°, p = 0.5"
    assert not rules["shift-scale-rotate"].passed and rules["horizontal flip"].passed
    assert all(rule.passed for rule in measure_policy(make_policy(**SETTINGS)))


def test_missing_steps_fail():
    rules = {rule.rule: rule.passed for rule in measure_policy(A.Compose([A.VerticalFlip(p=0.5)]))}
    assert rules == {"horizontal flip": False, "shift-scale-rotate": False, "coarse dropout": False}


# --- the summary --------------------------------------------------------------------------------------------------------

def test_stage_table_adds_up():
    network = create_model("s7")
    rows = stage_table(network)
    assert [row.name for row in rows] == ["C1", "C2", "C3", "C4", "O"]
    assert rows[3].shape == (96, 4, 4) and rows[4].receptive_field is None
    assert sum(row.parameters for row in rows) == sum(parameter.numel() for parameter in network.parameters())
    assert rows[4].multiply_adds == 960 and "196,314" in format_stages(rows)
    network.O[2] = nn.Linear(96, 10, bias=False)
    assert stage_table(network)[4].multiply_adds == 960


def test_layer_table_leaves_the_network_alone_and_refuses_a_miscount():
    network = create_model("s7").train()
    assert "Total params: 196,314" in layer_table(network)
    assert network.training and network.C1[0].norm.num_batches_tracked == 0
    twice = nn.Conv2d(3, 3, 3, padding=1)
    with pytest.raises(ValueError, match="miscounts"):
        layer_table(nn.Sequential(twice, nn.ReLU(), twice))
    with pytest.raises(ValueError, match="torchsummary cannot read this network"):
        layer_table(nn.Conv2d(3, 3, 1))
