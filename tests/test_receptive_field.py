"""The receptive field: the gradient probe against the textbook's recurrence."""

import random

import pytest
import torch
import torch.nn.functional as F
from small_networks import Block, channels_last, conv, good
from torch import nn

from models import create_model
from utils.grading import effective_field, receptive_field, receptive_fields, side_that_holds


def field(network):
    return max(receptive_field(network).shape)


@pytest.mark.parametrize("seed", range(8))
def test_chains_follow_the_recurrence(seed):
    choose = random.Random(seed)
    layers, channels, reach, jump = [], 3, 1, 1
    for _ in range(choose.randint(2, 6)):
        kernel, dilation = choose.choice([1, 3, 5]), choose.choice([1, 2])
        stride = 2 if jump < 8 and kernel > 1 and choose.random() < 0.4 else 1
        if kernel > 1 and choose.random() < 0.3:
            pool = choose.choice([nn.MaxPool2d, nn.AvgPool2d])
            layers.append(pool(3, stride, padding=1))
            kernel, dilation = 3, 1
        else:
            layers.append(conv(channels, 4, kernel, stride=stride, dilation=dilation))
            channels = 4
        reach += (kernel - 1) * dilation * jump
        jump *= stride
    end = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))
    assert field(nn.Sequential(*layers, *end)) == reach


@pytest.mark.parametrize(
    "first",
    [
        lambda x: (x - 0.47) / 0.25,  # normalised inside
        lambda x: x - x.mean(1, keepdim=True),
        lambda x: x.float(),
    ],
)
def test_what_stops_the_gradient_of_positive_weights(first):
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2))
    network.append(nn.Sequential(nn.ReLU(), nn.Conv2d(8, 8, 3, dilation=2, padding=2)))
    network.register_forward_pre_hook(lambda module, inputs: first(inputs[0]))
    assert field(network) == 3 + 2 + 8
    assert max(receptive_fields(network)["C1"].shape) > 0


def test_a_last_map_without_its_mean():
    network = nn.Sequential(conv(3, 8), Block(nn.Conv2d(8, 8, 3, padding=1)))
    network[1].extra = lambda x: x - x.mean(1, keepdim=True)
    assert field(network) == 5


def test_a_last_map_that_comes_with_others():
    maxout = nn.Sequential(conv(3, 8), Block(conv(8, 8)))
    maxout[1].extra = lambda x: x.unflatten(1, (4, 2)).max(2)[0]
    assert field(maxout) == 5


def test_a_check_of_the_size_behind_the_last_map():
    network = nn.Sequential(conv(3, 8), Block(nn.AdaptiveAvgPool2d(1), nn.Flatten()))

    def forward(module, inputs, output):
        if inputs[0].shape[2] != 32:
            raise ValueError("images of 32×32 only")

    network[1].register_forward_hook(forward)
    assert field(network) == 3


class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


class Dense(nn.Sequential):
    def forward(self, x):
        return torch.cat([x, super().forward(x)], 1)


class Mixed(nn.Sequential):
    def __init__(self, *layers):
        super().__init__(*layers)
        self.share = nn.Parameter(torch.tensor(0.3))

    def forward(self, x):
        return self.share * x + (1 - self.share) * self[0](x)


@pytest.mark.parametrize("join", [Residual, Dense, Mixed])
def test_a_branch_counts_once(join):
    channels = 6 if join is Dense else 3
    network = nn.Sequential(conv(3, 3), join(conv(3, 3)), join(conv(channels, channels, 5)))
    assert field(network) == 1 + 2 + 2 + 4


def test_functional_pooling_is_seen():
    network = Block(nn.Conv2d(3, 4, 3), nn.ReLU())
    network.extra = lambda x: F.max_pool2d(x, 2).mean((2, 3))
    assert field(network) == 4


def test_deep_networks_neither_overflow_nor_vanish():
    assert field(nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(40)))) == 81


def test_norms_of_the_images_own_statistics_do_not_count():
    batch = nn.BatchNorm2d(8, track_running_stats=False)
    norms = nn.GroupNorm(2, 8), nn.SiLU(), nn.InstanceNorm2d(8), batch
    assert field(nn.Sequential(nn.Conv2d(3, 8, 3), *norms)) == 3


@pytest.mark.parametrize(
    ("last", "mean"),
    [
        (False, lambda x: x.mean((2, 3), keepdim=True)),
        (False, lambda x: x.mean(-1).mean(-1)[..., None, None]),
        (False, lambda x: x.flatten(2).mean(-1)[..., None, None]),
        (False, lambda x: torch.einsum("nchw->nc", x)[..., None, None]),
        (False, lambda x: torch.var_mean(x, (2, 3), keepdim=True)[0]),
        (False, nn.AdaptiveAvgPool2d(1)),
        (True, lambda y: y.mean((1, 2), keepdim=True)),
        (True, lambda y: y.mean(1, keepdim=True).mean(2, keepdim=True)),
        (True, lambda y: y.norm(dim=(1, 2), keepdim=True)),
    ],
)
def test_gates_of_a_global_mean_do_not_count(last, mean):
    def gate(x):
        return x * mean(x).sigmoid()

    network = good()
    network.C1.extra = channels_last(gate) if last else gate
    assert field(network) == 61


def test_a_last_map_with_channels_last():
    network = good()
    network.C4.extra = lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (8,))
    network.O = nn.Identity()
    assert field(network) == 61


def test_a_wide_kernel_on_a_small_map():
    strided = conv(3, 8, stride=2), conv(8, 8, stride=2), conv(8, 8, stride=2)
    assert field(nn.Sequential(*strided, conv(8, 8, dilation=3))) == 15 + 2 * 3 * 8


def test_pooling_with_ceil_mode():
    layers = nn.Conv2d(3, 4, 3, stride=4), nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(4, 4, 1)
    assert field(nn.Sequential(*layers)) == 7


def test_pooling_of_a_flattened_map_is_no_map():
    pool = nn.Flatten(2), nn.AvgPool1d(1024), nn.Flatten()
    assert field(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *pool)) == 3


def test_known_networks():
    assert field(create_model("tutorial")) == 16
    assert torch.equal(receptive_fields(good())["C4"], receptive_field(good()))


def test_networks_without_a_map_and_without_a_gradient():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    assert field(flat) == 0 and receptive_fields(flat) == {}
    with pytest.raises(ValueError, match="no map of which a field could be measured"):
        effective_field(flat, 21)
    network = good()
    network.C1.extra = torch.Tensor.detach
    with pytest.raises(ValueError, match="no gradient reaches the image"):
        receptive_field(network)


def test_effective_field_lies_inside_of_the_receptive_field_and_shows_its_holes():
    torch.manual_seed(0)
    gridded = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=2, dilation=2) for _ in range(3)))
    effective, mask = effective_field(gridded, 21), receptive_field(gridded)
    assert mask.shape == (13, 13) and mask.sum() == 49
    assert effective.shape == (21, 21) and effective.max() == 1
    assert torch.equal(effective[4:17, 4:17] > 0, mask) and (effective > 0).sum() == mask.sum()
    assert torch.equal(effective, effective_field(gridded, 21))  # the draws are the same


def test_the_square_that_holds_a_share():
    field = torch.zeros(9, 9)
    field[4, 4], field[3, 4], field[0, 0] = 5, 4, 1
    shares = (0.4, 0.5, 0.6, 0.9, 0.95, 1)
    assert [side_that_holds(field, share) for share in shares] == [1, 1, 3, 3, 9, 9]
