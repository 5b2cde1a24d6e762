"""Muon: orthogonal updates for the kernels, plain momentum for all else."""

from dataclasses import replace

import pytest
import torch
from tiny_runs import RECIPE, tiny
from torch import nn

from models import create_model
from utils.training.optimizer import (
    OTHERS_LR,
    Muon,
    _orthogonal_updates,
    make_optimizer,
    orthogonalize,
)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("shape", [(3, 8, 40), (3, 40, 8), (3, 12, 24)])
@pytest.mark.parametrize("scale", [1e-4, 1, 1e4])
def test_singular_values_become_about_one(shape, scale):
    matrices = torch.randn(shape) * scale
    values = torch.linalg.svdvals(orthogonalize(matrices))
    assert values.shape == (3, min(shape[1:])) and 0.6 < values.min() and values.max() < 1.3
    before = torch.linalg.svdvals(matrices)
    assert before.max() > 1.5 * before.min()


def test_directions_stay():
    matrix = torch.randn(1, 6, 20)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    inner = left.mT @ orthogonalize(matrix) @ right.mT  # diagonal in the matrix's own directions
    off = inner - torch.diag_embed(inner.diagonal(dim1=1, dim2=2))
    assert off.abs().max() < 1e-4 and inner.diagonal(dim1=1, dim2=2).min() > 0.6
    assert torch.equal(orthogonalize(torch.zeros(2, 4, 9)), torch.zeros(2, 4, 9))


def test_kernels_of_equal_shape_together_are_as_one_by_one():
    updates = [torch.randn(shape) for shape in ((8, 4, 3, 3), (6, 8, 1, 1), (8, 4, 3, 3))]
    together = _orthogonal_updates(list(updates))
    for update, result in zip(updates, together, strict=True):
        (alone,) = _orthogonal_updates([update])
        assert result.shape == update.shape and torch.allclose(result, alone, atol=1e-5)
    assert not torch.allclose(together[0], together[2], atol=0.1)


def test_tall_kernels_change_each_output_as_much():
    wide, tall = (
        _orthogonal_updates([torch.randn(rows, columns, 1, 1)])[0].flatten(1)
        for rows, columns in ((8, 32), (32, 8))
    )
    assert wide.norm(dim=1).mean() == pytest.approx(1, abs=0.2)
    assert tall.norm(dim=1).mean() == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("name", ["s7", "s7_dilated", "teacher"])
def test_what_muon_takes(name):
    network = create_model(name)
    kernels, others = make_optimizer(network, RECIPE).param_groups
    names = {id(weight): name for name, weight in network.named_parameters()}
    first, *left_out = [names[id(weight)] for weight in others["params"] if weight.ndim == 4]
    assert "depthwise" not in first and all("depthwise" in name for name in left_out)
    taken = [names[id(weight)] for weight in kernels["params"]]
    assert all(weight.ndim == 4 for weight in kernels["params"])
    assert not any("depthwise" in name for name in taken)
    assert len(taken) + len(others["params"]) == len(names)
    assert kernels["orthogonal"] and not others["orthogonal"]
    assert (kernels["lr"], others["lr"]) == (RECIPE.lr, OTHERS_LR)
    assert (kernels["weight_decay"], others["weight_decay"]) == (RECIPE.weight_decay, 0)


def test_recipes_with_sgd():
    optimizer = make_optimizer(tiny(), replace(RECIPE, optimizer="sgd", weight_decay=0.25))
    (group,) = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.SGD) and group["nesterov"]
    assert (group["lr"], group["weight_decay"]) == (RECIPE.lr, 0.25)


def steps(optimizer, weight, gradients):
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
    return weight.detach()


def parameter():
    return nn.Parameter(torch.linspace(-1, 1, 24).reshape(6, 4, 1, 1))


GRADIENTS = torch.randn(4, 6, 4, 1, 1, generator=torch.Generator().manual_seed(0))


def test_the_plain_group_is_torch_s_nesterov_momentum():
    ours, theirs = parameter(), parameter()
    plain = steps(Muon([ours], lr=0.1, orthogonal=False), ours, GRADIENTS)
    sgd = torch.optim.SGD([theirs], lr=0.1, momentum=0.9, nesterov=True)
    assert torch.allclose(plain, steps(sgd, theirs, GRADIENTS), atol=1e-6)


def test_the_other_group_moves_by_orthogonal_matrices():
    weight = parameter()
    moved = steps(Muon([weight], lr=0.1), weight, GRADIENTS[:1]) - parameter().detach()
    expected = -0.1 * (6 / 4) ** 0.5 * orthogonalize(1.9 * GRADIENTS[0].flatten(1)[None])[0]
    assert torch.allclose(moved.flatten(1), expected, atol=1e-5)


@pytest.mark.parametrize("orthogonal", [True, False])
def test_weight_decay_is_decoupled(orthogonal):
    plain, decayed = parameter(), parameter()
    more = {"lr": 0.1, "orthogonal": orthogonal}
    without = steps(Muon([plain], **more), plain, GRADIENTS[:1])
    with_decay = steps(Muon([decayed], weight_decay=0.5, **more), decayed, GRADIENTS[:1])
    # 5 % of the weights go; the gradient's part is as it was
    assert torch.allclose(with_decay, without - 0.05 * parameter(), atol=1e-6)


def test_the_rate_may_be_a_tensor():
    number, tensor = parameter(), parameter()
    expected = steps(Muon([number], lr=0.1, weight_decay=0.5), number, GRADIENTS)
    optimizer = Muon([tensor], lr=0.1, weight_decay=0.5)
    optimizer.param_groups[0]["lr"] = torch.tensor(0.1)
    assert torch.allclose(steps(optimizer, tensor, GRADIENTS), expected, atol=1e-6)


def test_weights_without_a_gradient_stay():
    used, unused = parameter(), parameter()
    optimizer = Muon([used, unused], lr=0.1, weight_decay=0.5)
    steps(optimizer, used, GRADIENTS)
    assert torch.equal(unused, parameter()) and not torch.equal(used, parameter())
