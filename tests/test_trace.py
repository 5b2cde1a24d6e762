"""The receptive field: the gradient probe against the textbook's recurrence."""
import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models import create_model
from models.layers import Residual
from utils.receptive_field import effective_field, receptive_fields, side_that_holds
from utils.trace import trace


def field(network):
    return max(receptive_fields(network)[""].shape)


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
            layers += [nn.Conv2d(channels, 4, kernel, stride, dilation * (kernel // 2), dilation),
                       nn.BatchNorm2d(4), nn.ReLU(inplace=True)]
            channels = 4
        reach += (kernel - 1) * dilation * jump
        jump *= stride
    assert field(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))) == reach


def test_a_residual_branch_counts_once():
    network = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), Residual(nn.Conv2d(3, 3, 3, padding=1)),
                            Residual(nn.Conv2d(3, 3, 5, padding=2)))
    assert field(network) == 1 + 2 + 2 + 4


def test_functional_pooling_is_seen():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return F.max_pool2d(F.relu(self.conv(x)), 2).mean((2, 3))

    assert field(Net()) == 4


def test_deep_networks_neither_overflow_nor_vanish():
    assert field(nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(40)))) == 81


def test_norms_of_the_images_own_statistics_do_not_count():
    assert field(nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.SiLU(), nn.InstanceNorm2d(8))) == 3


def test_pooling_with_ceil_mode():
    assert field(nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(4, 4, 1))) == 7


def test_bad_dilations_leave_holes():
    gridded = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=2, dilation=2) for _ in range(3)))
    mask = receptive_fields(gridded)[""]
    assert mask.shape == (13, 13) and mask.sum() == 49


def test_known_networks():
    assert field(create_model("tutorial")) == 16
    sides = {name: max(mask.shape) for name, mask in receptive_fields(create_model("s7")).items()}
    assert sides == {"C1": 15, "C2": 41, "C3": 77, "C4": 149, "": 149}  # the comments in models/s7.py
    assert receptive_fields(create_model("s7"))[""].all()
    sides = {name: max(mask.shape) for name, mask in receptive_fields(create_model("s7_deep")).items()}
    assert sides == {"C1": 15, "C2": 57, "C3": 133, "C4": 189, "": 189}  # the comments in models/s7_deep.py
    assert field(create_model("s7", dilation=False)) == 101


def test_the_dilated_network_has_no_holes():
    masks = receptive_fields(create_model("s7_dilated"))
    assert {name: max(mask.shape) for name, mask in masks.items()} == {"C1": 7, "C2": 19, "C3": 43, "C4": 63, "": 63}  # the comments in models/s7_dilated.py
    assert all(mask.all() for mask in masks.values())  # every pixel inside of it reaches the output


def test_effective_field_lies_inside_of_the_receptive_field_and_shows_its_holes():
    torch.manual_seed(0)
    gridded = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=2, dilation=2) for _ in range(3)))
    effective, mask = effective_field(gridded, 21), receptive_fields(gridded)[""]
    assert effective.shape == (21, 21) and effective.max() == 1
    assert torch.equal(effective[4:17, 4:17] > 0, mask) and (effective > 0).sum() == mask.sum()
    assert torch.equal(effective, effective_field(gridded, 21))  # the draws are the same each time


def test_the_square_that_holds_a_share():
    field = torch.zeros(9, 9)
    field[4, 4], field[3, 4], field[0, 0] = 5, 4, 1
    assert [side_that_holds(field, share) for share in (0.4, 0.5, 0.6, 0.9, 0.95, 1)] == [1, 1, 3, 3, 9, 9]


def test_a_network_without_maps_has_no_effective_field():
    with pytest.raises(ValueError, match="no map of which a field could be measured"):
        effective_field(nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)), 21)


def test_the_network_is_left_alone():
    network = create_model("s7").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    receptive_fields(network)
    trace(network.eval(), torch.zeros(1, 3, 32, 32))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_what_is_never_called_is_not_traced():
    network = create_model("tutorial")
    network.never = nn.Conv2d(3, 6, 5, dilation=2)
    assert [op.name for op in trace(network, torch.zeros(1, 3, 32, 32))].count("convolution") == 2
