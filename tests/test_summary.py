"""The tables add up, and leave the network alone."""

import pytest
from small_networks import good, total
from torch import nn

from models import create_model
from utils.report import stage_table, stages_table


@pytest.mark.parametrize("name", ["tutorial", "s7", "s7_dilated"])
def test_stage_table_adds_up(name):
    network = create_model(name)
    rows = stage_table(network)
    assert rows[-1].name == "O" and rows[-1].receptive_field is None
    assert sum(row.parameters for row in rows) == total(network)
    assert f"| total |  | {total(network):,} |" in stages_table(network)


def test_what_a_row_says():
    rows = stage_table(good())
    assert [row.name for row in rows] == ["C1", "C2", "C3", "C4", "O"]
    assert [row.receptive_field for row in rows] == [7, 17, 37, 61, None]
    assert (rows[3].shape, rows[4].shape) == ((8, 4, 4), (10,))
    # 3·8 and 8·8 kernels of 3×3 on 32×32
    assert rows[0].multiply_adds == 1024 * 9 * (24 + 64)
    # two depthwise kernels of 8 channels and two 1×1 of 8·8 on 4×4
    assert rows[3].multiply_adds == 16 * 2 * (9 * 8 + 64)
    assert rows[4].multiply_adds == 80
    network = good()
    network.O[2] = nn.Linear(8, 10, bias=False)
    assert stage_table(network)[4].multiply_adds == 80


def test_parameters_that_never_run_have_a_row():
    network = good()
    network.C1[0].never = nn.Linear(5, 5)
    network.C1[0].forward = network.C1[0][0].forward
    rows = stage_table(network)
    assert rows[-1].name == "never run" and rows[-1].parameters == 30 + 16  # and the batch norm
    assert sum(row.parameters for row in rows) == total(network)
    assert "| never run |  | 46 | 0.00 M |  |" in stages_table(network)


def test_a_layer_used_twice_counts_once():
    layer = nn.Conv2d(3, 3, 3, padding=1)
    assert sum(row.parameters for row in stage_table(nn.Sequential(layer, nn.ReLU(), layer))) == 84
