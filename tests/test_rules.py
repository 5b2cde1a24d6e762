"""Each rule for a network tells look-alikes apart, and nothing but its own subject."""

import pytest
import torch
import torch.nn.functional as F
from small_networks import Block, Shortcut, channels_last, conv, good, separable
from torch import nn

from models import create_model
from utils.grading import spec_sheet
from utils.report import stage_table

DOWN, POOLING, GAP = "2 downsampling", "2 pooling besides GAP", "6 global average pooling"
SEPARABLE, DILATED = "4 depthwise separable", "5 dilated convolution"


def failed(network):
    return {f"{rule.number} {rule.name}" for rule in spec_sheet(network) if rule.passed is False}


def measured(network, name):
    return next(rule.measured for rule in spec_sheet(network) if rule.name == name)


def test_good_networks_pass():
    assert not failed(good()) and not failed(create_model("s7"))
    dilated = create_model("s7_dilated")
    assert not failed(dilated)
    assert measured(dilated, "downsampling") == "dilation alone: 32→26→16→10 (+200 points)"


def test_the_flags_of_s7_cost_their_own_rule():
    assert failed(create_model("s7", dilation=False)) == {DILATED}
    assert SEPARABLE in failed(create_model("s7", depthwise=False))


def test_the_tutorial_fails_rule_by_rule():
    fails = {"2 blocks", DOWN, POOLING, "3 receptive field", SEPARABLE, DILATED, GAP}
    assert failed(create_model("tutorial")) == fails
    pools = "max_pool2d 28→14, max_pool2d 10→5"
    assert measured(create_model("tutorial"), "pooling besides GAP") == pools


# --- 2 blocks, downsampling, pooling ---


def test_a_fifth_block():
    network = good()
    network.C4.append(conv(8, 8, stride=2))
    assert failed(network) == {DOWN}  # it is within C4
    children = [*good()[:4], conv(8, 8, stride=2), good().O]
    assert failed(nn.Sequential(*children)) == {"2 blocks", DOWN}
    assert failed(nn.Sequential(*good())) == set()  # without names: by resolution


def test_a_network_that_ends_in_a_map_has_no_output_block():
    network = good()
    network.O = nn.Identity()
    assert "2 blocks" in failed(network)


@pytest.mark.parametrize("change", [{"stride": 1}, {"kernel": 5}, {"kernel": 1}, {"stride": 4}])
def test_not_three_strided_3x3(change):
    network = good()
    network.C2[0] = conv(8, 8, **({"stride": 2} | change))
    assert failed(network) - {"3 receptive field"} == {DOWN}


def test_a_transposed_convolution_is_no_downsampling():
    network = good()
    network.C2.append(nn.ConvTranspose2d(8, 8, 3, stride=2, padding=1))  # 16→31
    assert DOWN not in failed(network)
    network.C3[0] = nn.Sequential(nn.ConvTranspose2d(8, 8, 3, stride=2, padding=1), conv(8, 8, 1))
    assert DOWN in failed(network)


def test_a_strided_shortcut():
    network = good()
    network.C2 = Shortcut(network.C2)
    assert failed(network) == {DOWN}


@pytest.mark.parametrize(
    "extra",
    [
        nn.MaxPool2d(3, 1, padding=1),  # as a module it becomes a layer
        lambda x: F.max_pool2d(x, 2),
        lambda x: F.avg_pool2d(x, 2),
        lambda x: F.adaptive_avg_pool2d(x, 16),
        lambda x: x[:, :, ::2, ::2],
        lambda x: F.interpolate(x, scale_factor=0.5),
        lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear"),
    ],
)
def test_pooling_also_in_forward_or_without_a_stride(extra):
    network = good()
    network.C1.extra = extra
    assert failed(network) == {POOLING}


@pytest.mark.parametrize(
    "extra",
    [
        lambda x: x[:, :, 1:-1, 1:-1],
        lambda x: F.pad(x, (-1, -1, -1, -1)),
        lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
        lambda x: x * F.adaptive_avg_pool2d(x, 1).sigmoid(),
        lambda x: x * F.adaptive_max_pool2d(x, 1).sigmoid(),
        lambda x: x * x.mean(1, keepdim=True).sigmoid(),
        lambda x: x / x.var((2, 3), keepdim=True).add(1e-5).sqrt(),
        lambda x: x * x.norm(dim=(2, 3), keepdim=True).sigmoid(),
        lambda x: x * x.amax((2, 3), keepdim=True).sigmoid(),
        lambda x: x / (1 + x.abs().max()),
        lambda x: torch.cat(x.chunk(2, 2), 2),
        channels_last(lambda y: y * y.norm(dim=(1, 2), keepdim=True).sigmoid()),
    ],
)
def test_crops_statistics_and_gates_are_no_pooling(extra):
    network = good()
    network.C1.extra = extra
    assert not failed(network)


@pytest.mark.parametrize("mode", ["replicate", "reflect", "circular"])
def test_padding_modes(mode):
    strided = [conv(8, 8, stride=2, padding_mode=mode) for _ in range(3)]
    network = good()
    network.C2[0], network.C3[0] = strided[:2]
    assert not failed(network)
    assert measured(network, "downsampling") == "3×3 32→16, 3×3 16→8, 3×3 8→4"
    layers = [conv(8, 8, dilation=2, padding_mode=mode) for _ in range(3)]
    never_shrinks = nn.Sequential(conv(3, 8), *layers, good().O)
    assert measured(never_shrinks, "downsampling") == "none"


# --- 200 points: dilation alone ---


def test_unpadded_dilated_kernels_in_place_of_strides():
    network = good()
    network.C2[0] = conv(8, 8, dilation=3, padded=False)
    network.C3[0] = conv(8, 8, dilation=5, padded=False)
    network.C4[0] = separable(dilation=3, padded=False)
    network.C3.append(conv(8, 8, dilation=5))  # a small network needs the wider view
    network.C2.append(conv(8, 8, dilation=4))
    assert not failed(network)
    assert measured(network, "downsampling") == "dilation alone: 32→26→16→10 (+200 points)"
    network.C1.extra = lambda x: F.max_pool2d(x, 3, 1, 1)
    assert failed(network) == {DOWN, POOLING}
    network.C2[0] = conv(8, 8)  # two are not enough
    assert measured(network, "downsampling") == "3×3 dilated 32→22, 3×3 dilated 22→16"


@pytest.mark.parametrize("count", [1, 4])
def test_no_claim_where_maps_never_shrink(count):
    layers = [conv(8, 8, dilation=6) for _ in range(count)]
    assert measured(nn.Sequential(conv(3, 8), *layers, good().O), "downsampling") == "none"


# --- 3 receptive field ---


def test_a_small_view():
    network = good()
    network.C2[1] = network.C2[2] = network.C3[1] = network.C3[2] = nn.Identity()
    assert failed(network) == {"3 receptive field"}


def test_a_network_that_takes_one_size_only():
    network = good()
    network.C1.extra = lambda x: x.reshape(-1, 8, 32, 32)  # larger images become several

    def keep_size(module, inputs):
        return inputs[0].reshape(1 if len(inputs[0]) == 1 else 2, 3, 32, 32)

    network.register_forward_pre_hook(keep_size)
    assert failed(network) == {"3 receptive field"}
    assert measured(network, "receptive field").startswith("not to be had: RuntimeError")


def test_a_network_that_keeps_its_maps():
    network = good()
    network.maps = {}
    network.C1.register_forward_hook(lambda module, inputs, output: network.maps.update(C1=output))
    network(torch.zeros(2, 3, 32, 32))
    assert not failed(network)


# --- 4 depthwise separable, 5 dilated ---


def test_separable_with_one_group():
    network = good()
    for block in network.C4:
        block[0][0] = nn.Conv2d(8, 8, 3, block[0][0].stride, 1, groups=1)
    assert failed(network) == {SEPARABLE}


@pytest.mark.parametrize("second", [conv(8, 8), conv(8, 8, 1, groups=8), nn.Identity()])
def test_depthwise_without_its_pointwise(second):
    network = good()
    network.C4[0][1] = network.C4[1][1] = second
    assert failed(network) == {SEPARABLE}


@pytest.mark.parametrize("takes_it, spread", [(True, False), (True, True), (False, False)])
def test_what_makes_a_convolution_separable_is_the_way_of_the_data(takes_it, spread):
    class Gated(nn.Module):  # the 1×1 runs right behind the depthwise one, whatever it takes
        def __init__(self):
            super().__init__()
            self.depthwise, self.pointwise = separable()

        def forward(self, x):
            wide = F.layer_norm(self.depthwise(x).permute(0, 2, 3, 1), (8,)).permute(0, 3, 1, 2)
            gate = wide.mean((2, 3), keepdim=True).sigmoid()
            gate = gate.expand_as(wide) if spread else gate
            return self.pointwise(wide * gate) if takes_it else wide + self.pointwise(x)

    network = good()
    network.C4 = Block(conv(8, 8, stride=2), Gated())
    assert failed(network) == (set() if takes_it else {SEPARABLE})


def test_repeats_are_counted():
    network = good()
    assert measured(network, "depthwise separable") == "8→8 ×2"
    network.C2[1] = conv(8, 8, dilation=2)
    assert measured(network, "dilated convolution") == "3×3 dilation 2 ×2"


def test_dilation_of_1_of_a_1x1_and_of_a_layer_that_is_never_called():
    network = good()
    network.C1[1] = conv(8, 8)
    assert failed(network) == {DILATED}
    network.C2.append(conv(8, 8, 1, dilation=2))
    network.C1[1].never = conv(8, 8, dilation=2)
    network.C1[1].forward = network.C1[1][0].forward
    assert failed(network) == {DILATED}


# --- 6 global average pooling ---


def ending(function):
    network = good()
    network.O[0] = Block()
    network.O[0].extra = function  # a module becomes its only layer
    return network


@pytest.mark.parametrize(
    "gap",
    [
        nn.AvgPool2d(4),
        nn.Sequential(nn.Flatten(2), nn.AdaptiveAvgPool1d(1)),
        nn.Sequential(nn.Flatten(2), nn.AvgPool1d(16)),
        lambda x: x.mean((2, 3)),
        lambda x: x.mean((2, 3), keepdim=True).permute(0, 2, 3, 1),
        lambda x: x.mean(-1).mean(-1),
        lambda x: x.mean(3, keepdim=True).mean(2, keepdim=True),
        lambda x: x.sum((2, 3)) / 16,
        lambda x: x.flatten(2).mean(-1),
        lambda x: torch.einsum("nchw->nc", x) / 16,
        lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (8,)).mean((1, 2)),
    ],
)
def test_ways_to_write_global_average_pooling(gap):
    network = ending(gap)
    assert not failed(network)
    assert measured(network, "global average pooling") == "mean of 4×4, 8 channels"


@pytest.mark.parametrize(
    ("function", "fails"),
    [
        (nn.AvgPool2d(3), {GAP, POOLING}),
        (nn.AdaptiveMaxPool2d(1), {GAP, POOLING}),
        (nn.MaxPool2d(4), {GAP, POOLING}),
        (lambda x: x.amax((2, 3)), {GAP}),
        (lambda x: x[:, :, 1, 1], {GAP}),
        (lambda x: x.sum((2, 3)), {GAP}),
    ],
)
def test_what_is_not_global_average_pooling(function, fails):
    assert failed(ending(function)) == fails


def test_a_window_that_is_too_small_is_named():
    words = "avg_pool2d of 3×3: 4×4→1×1"
    assert measured(ending(nn.AvgPool2d(3)), "global average pooling") == words


def test_dilated_kernels_that_shrink_maps_stand_beside_strides():
    network = good()
    network.C3[0] = conv(8, 8, padded=False, dilation=2)
    words = "3×3 32→16, 3×3 dilated 16→12, 3×3 12→6"
    assert measured(network, "downsampling") == words and DOWN in failed(network)


def test_a_maximum_of_maps_that_hardly_vary_is_no_mean():
    levels = torch.arange(8.0).view(8, 1, 1)
    assert failed(ending(lambda x: (0.01 * x + levels).amax((2, 3)))) == {GAP}
    assert not failed(ending(lambda x: (0.01 * x + levels).mean((2, 3))))


def test_what_follows_may_write_into_the_average():
    network = good()
    network.O.insert(1, nn.ReLU(inplace=True))
    assert not failed(network)


def test_a_last_convolution_to_the_classes_may_come_before_the_pooling():
    network = good()
    network.O = Block(conv(8, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert not failed(network)


# --- 1 runs, 8 parameters ---


def test_weights_that_are_all_zero_have_a_mean_too():
    network = good()
    for weight in network.parameters():
        nn.init.zeros_(weight)
    assert not failed(network)


def test_too_many_parameters():
    network = good()
    network.C1[0].never = nn.Linear(1000, 200)
    network.C1[0].forward = network.C1[0][0].forward
    assert failed(network) == {"8 parameters"}


def test_a_network_that_does_not_run_or_has_no_map():
    assert {"1 runs on GPU or CPU", "2 blocks", POOLING, GAP} <= failed(nn.Linear(5, 5))
    assert measured(nn.Linear(5, 5), "runs on GPU or CPU").startswith("RuntimeError")
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    assert measured(flat, "receptive field") == "0"


@pytest.mark.parametrize("wrap", [lambda x: (x, x), lambda x: {"logits": x}])
def test_a_network_that_returns_no_tensor(wrap):
    network = good()
    network.O.extra = wrap
    assert failed(network) == {"1 runs on GPU or CPU"}
    assert "not a tensor" in measured(network, "runs on GPU or CPU")


@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.spectral_norm])
def test_weights_that_are_computed_at_each_call(norm):
    for seed in range(3):
        torch.manual_seed(seed)
        network = good()
        for layers in list(network.modules()):
            if isinstance(layers, nn.Sequential) and isinstance(layers[0], nn.Conv2d):
                layers[0] = norm(layers[0])
        assert not failed(network)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_precision_is_measured(dtype):
    network = good().to(dtype)
    assert not failed(network) and stage_table(network) == stage_table(good())
