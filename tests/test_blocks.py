"""Blocks are what lies between two changes of resolution, however a network is written."""

import pytest
import torch
import torch.nn.functional as F
from small_networks import Shortcut, conv, good, separable, total
from torch import nn

from utils.grading import blocks, trace
from utils.report.summary import stage_table


def names(network):
    return [block.name for block in blocks(trace(network.eval(), torch.zeros(2, 3, 32, 32)))]


FOUR = ["C1", "C2", "C3", "C4", "O"]


class Flat(nn.Module):
    """conv0, norm0, conv1, … and gap and fc as direct children; `plan` is the strides."""

    def __init__(self, plan):
        super().__init__()
        for i, stride in enumerate(plan):
            setattr(self, f"conv{i}", nn.Conv2d(8 if i else 3, 8, 3, stride, 1))
            setattr(self, f"norm{i}", nn.BatchNorm2d(8))
        self.depth, self.gap, self.fc = len(plan), nn.AdaptiveAvgPool2d(1), nn.Linear(8, 10)

    def forward(self, x):
        for i in range(self.depth):
            x = F.relu(getattr(self, f"norm{i}")(getattr(self, f"conv{i}")(x)))
        return self.fc(self.gap(x).flatten(1))


@pytest.mark.parametrize("plan", ["1121212", "1212121", "121212", "2121211", "1222", "11121122"])
def test_flat_layers_with_three_strides_are_four_blocks(plan):
    assert names(Flat([int(stride) for stride in plan])) == FOUR


@pytest.mark.parametrize(
    ("plan", "count"), [("1111", 1), ("121", 2), ("12121", 3), ("12121212", 5)]
)
def test_other_numbers_of_strides_are_not(plan, count):
    assert len(names(Flat([int(stride) for stride in plan]))) == count + 1


@pytest.mark.parametrize("mode", ["replicate", "reflect", "circular", "zeros"])
def test_padding_before_a_strided_layer_is_no_map(mode):
    first, *others = [conv(3, 8), *(conv(8, 8, stride=2, padding_mode=mode) for _ in range(3))]
    if mode == "zeros":
        for layer in others:
            layer[0].padding = (0, 0)
            layer.insert(0, nn.ZeroPad2d(1))
    network = nn.Sequential(first, *others, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    found = blocks(trace(network.eval(), torch.zeros(2, 3, 32, 32)))
    assert [block.out_shape[2:] for block in found[:4]] == [(n, n) for n in (32, 16, 8, 4)]


def test_transition_layers_belong_to_a_neighbour():
    network = nn.Sequential()
    for i in (1, 2, 3):
        network.add_module(f"convblock{i}", conv(8 if i > 1 else 3, 8))
        network.add_module(f"trans{i}", conv(8, 8, stride=2))
        network.add_module(f"squeeze{i}", conv(8, 8, 1))
    network.convblock4 = separable()
    network.gap, network.flat, network.fc = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    assert names(network) == FOUR


def test_a_residual_networks_strided_shortcuts_are_no_changes_of_their_own():
    downs = [Shortcut(conv(8, 8, stride=2)) for _ in range(3)]
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    assert names(nn.Sequential(conv(3, 8), *downs, *head)) == FOUR


def test_unpadded_dilated_kernels_change_the_resolution_where_nothing_else_does():
    dilations = (conv(8, 8, dilation=d, padded=False) for d in (3, 5, 3))
    layers = [layer for dilated in dilations for layer in (dilated, conv(8, 8))]
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    assert names(nn.Sequential(conv(3, 8), *layers, *head)) == FOUR
    strided = [conv(8, 8, stride=2) for _ in range(3)]
    unpadded = conv(8, 8, dilation=2, padded=False)
    assert names(nn.Sequential(conv(3, 8), unpadded, *strided, *head)) == FOUR


def test_gap_and_fc_may_be_children_of_their_own():
    network = good()
    del network.O
    network.gap, network.flat, network.fc = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    assert names(network) == FOUR


def test_names_c1_to_c4_are_taken_where_they_exist():
    network = good()
    network.C2[0] = conv(8, 8)
    assert names(network) == FOUR  # three resolutions only
    network = nn.Sequential(network)  # wrapped
    assert names(network) == FOUR
    network[0].C4 = nn.Identity()
    assert names(network) == ["C1", "C2", "O"]


class Calls(nn.Sequential):
    """Its own hooks never fire."""

    def __call__(self, x):
        for layer in self:
            x = layer(x)
        return x


class Loops(nn.Module):
    def __init__(self, network, call):
        super().__init__()
        self.C1, self.C2, self.C3, self.C4, self.O = network
        self.call = call

    def forward(self, x):
        for block in (self.C1, self.C2, self.C3, self.C4, self.O):
            x = self.call(block, x)
        return x


def by_weights(block, x):
    """No hook of any module fires."""
    for layer in block:
        x = (
            by_weights(layer, x)
            if isinstance(layer, nn.Sequential)
            else type(layer).forward(layer, x)
        )
    return x


def test_a_block_that_never_runs_is_not_made_up():
    network = good()
    network.C4 = nn.Sequential(separable(stride=2), conv(8, 8, stride=2))
    network.forward = lambda x: network.O(network.C4(network.C2(network.C1(x))))
    assert names(network) == ["C1", "C2", "C4", "O"]


@pytest.mark.parametrize("call", [Calls.__call__, nn.Sequential.forward, by_weights])
def test_a_block_whose_hooks_never_fire_is_seen(call):
    network = Loops(good(), call)
    rows = stage_table(network)
    assert [row.name for row in rows] == names(network) == FOUR
    assert sum(row.parameters for row in rows) == total(network)
    assert rows == stage_table(good())


def test_a_wrapper_that_defines_call():
    network = Calls(*good())
    assert names(network) == FOUR
    assert sum(row.parameters for row in stage_table(network)) == total(network)
