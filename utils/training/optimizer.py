"""Muon for the kernels (each update is an orthogonal matrix), Nesterov momentum for all else."""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import nn

from .recipes import Recipe

__all__ = ["Muon", "make_optimizer", "orthogonalize"]

MOMENTUM = 0.9  # the usual one
# Of norms, biases, the first convolution, depthwise kernels and the classifier beside Muon: a usual
# peak of SGD, not tuned.
OTHERS_LR = 0.1


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer for a network's parameters, the kernels that mix channels first.

    Muon takes those kernels: more than three input channels leaves out the first convolution, which
    has three, and depthwise ones, which have one.
    """
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            network.parameters(),
            recipe.lr,
            momentum=MOMENTUM,
            nesterov=True,
            weight_decay=recipe.weight_decay,
        )
    kernels, others = [], []
    for weight in network.parameters():
        (kernels if weight.ndim == 4 and weight.shape[1] > 3 else others).append(weight)
    groups = [
        {"params": kernels, "lr": recipe.lr, "weight_decay": recipe.weight_decay},
        {"params": others, "lr": OTHERS_LR, "weight_decay": 0.0, "orthogonal": False},
    ]
    return Muon([group for group in groups if group["params"]])


class Muon(torch.optim.Optimizer):
    """Nesterov momentum; with ``orthogonal=True`` a group's updates become orthogonal matrices.

    A gradient mostly points along a few directions, so that plain momentum hardly moves along the
    others. An orthogonal update moves equally far along all of them, which trains kernels in fewer
    epochs (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/). A kernel
    (out, in, k, k) counts as the matrix (out, in·k·k). Weight decay is decoupled: each step takes
    lr·weight_decay of the weights away. A group's lr may be a tensor on the device, so that a CUDA
    graph of the step reads it anew each time.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 0.03,
        momentum: float = MOMENTUM,
        weight_decay: float = 0.0,
        orthogonal: bool = True,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, defaults | {"orthogonal": orthogonal})

    @torch.no_grad()
    def step(self) -> None:
        """Move the weights once."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            gradients = [weight.grad for weight in weights]
            for weight in weights:
                if not self.state[weight]:
                    self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
            momenta = [self.state[weight]["momentum_buffer"] for weight in weights]
            torch._foreach_mul_(momenta, group["momentum"])
            torch._foreach_add_(momenta, gradients)
            updates = list(torch._foreach_add(gradients, momenta, alpha=group["momentum"]))
            if group["orthogonal"]:
                updates = _orthogonal_updates(updates)
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_sub_(weights, torch._foreach_mul(updates, group["lr"]))


def _orthogonal_updates(updates: list[torch.Tensor]) -> list[torch.Tensor]:
    """Kernels of equal shape go together.

    On a GPU a hundred small products would cost more than the network's step.
    """
    places = defaultdict(list)
    for place, update in enumerate(updates):
        places[update.shape].append(place)
    for (rows, *rest), some in places.items():
        matrices = orthogonalize(torch.stack([updates[place] for place in some]).flatten(2))
        # A tall matrix has orthogonal columns, and its rows are short: scaled, each output
        # changes as much.
        matrices *= max(1, rows / matrices.shape[2]) ** 0.5
        for place, matrix in zip(some, matrices, strict=True):
            updates[place] = matrix.view(rows, *rest)
    return updates


def orthogonalize(matrices: torch.Tensor) -> torch.Tensor:
    """Matrices (n, rows, columns) with singular values moved to about 1 (Newton–Schulz iteration).

    About: most end between 0.7 and 1.2.
    The coefficients are those of Muon's author: the fastest growth of small singular values, not
    the nicest limit.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)  # now no singular value is above 1
    for _ in range(5):  # as many as Muon's author takes
        product = x @ x.mT
        x = 3.4445 * x + (-4.7750 * product + 2.0315 * product @ product) @ x
    return x.mT if tall else x
