"""One training step, one epoch, and evaluation."""

from collections.abc import Callable, Iterable
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from ..grading import copy_network
from .device import StepGraph, amp_dtype, memory_format
from .optimizer import make_optimizer
from .recipes import Recipe

__all__ = ["Learner", "evaluate", "predict", "train_epoch"]

# The share of all steps in which the rate climbs, from a tenth of its peak. Then it falls straight
# to zero. Nearly as in Page's fast CIFAR-10 training (https://github.com/davidcpage/cifar10-fast).
# Not tuned.
WARM_UP = 0.2


class Learner:
    """All that a training step changes: weights, their average, optimizer, schedule and scaler.

    `raw` is the network whose weights the steps move. `network` is their moving average over the
    steps: it is what is evaluated, saved and shipped. With ``recipe.ema == 0`` both are the
    same. The network given moves to the device and becomes `network`. `steps` are those of the
    whole run, for the schedule.
    """

    _parts = ("network", "raw", "optimizer", "schedule", "scaler")  # what a checkpoint holds

    def __init__(
        self, network: nn.Module, recipe: Recipe, device: torch.device, steps: int
    ) -> None:
        self.device, self.dtype, self.ema = device, amp_dtype(device), recipe.ema
        self.network = network.to(device, memory_format=memory_format(device))
        self.raw = copy_network(network) if recipe.ema else network
        self.optimizer = make_optimizer(self.raw, recipe)
        peak = WARM_UP * steps  # the step with the full rate
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda step: max(0, min(0.1 + 0.9 * step / peak, (steps - step) / (steps - peak))),
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype is torch.float16)
        # torch's SGD makes the rate a plain number at each step: a graph would keep the first one.
        graphed = (
            device.type == "cuda" and recipe.optimizer == "muon" and not self.scaler.is_enabled()
        )
        self.graph = StepGraph(device) if graphed else None
        self._rates_on_device()
        self._averages, self._weights = _float_tensors(self.network), _float_tensors(self.raw)

    @property
    def lr(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def step(
        self, images: torch.Tensor, criterion: Callable, *targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One step on a batch; (loss, logits). Only float16's scaler waits for the device."""
        inputs = images.contiguous(memory_format=memory_format(self.device)), *targets
        step = partial(self._step, criterion)
        loss, logits = self.graph(step, inputs) if self.graph else step(*inputs)
        self.schedule.step()
        if self.ema:
            done = self.schedule.last_epoch
            # A short memory at first, as in TensorFlow's: it starts from untrained weights.
            decay = min(self.ema, (1 + done) / (10 + done))
            torch._foreach_lerp_(self._averages, self._weights, 1 - decay)
        return loss, logits

    def _step(
        self, criterion: Callable, images: torch.Tensor, *targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            logits = self.raw(images)
        loss = criterion(logits.float(), *targets)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach(), logits.detach()

    def state_dict(self) -> dict[str, dict]:
        return {name: getattr(self, name).state_dict() for name in self._parts}

    def load_state_dict(self, state: dict[str, dict]) -> None:
        """Take up a saved state, before the first step.

        Raises RuntimeError, ValueError or KeyError for another network's.
        """
        if not state["scaler"]:  # from a device that needed none
            state["scaler"] = self.scaler.state_dict()
        for name in self._parts:
            getattr(self, name).load_state_dict(state[name])
        self._rates_on_device()

    def _rates_on_device(self) -> None:
        """A graph would keep a plain number for ever; a tensor's value is read at every step."""
        for group in self.optimizer.param_groups:
            rate = float(group["lr"])
            group["lr"] = torch.tensor(rate, device=self.device) if self.graph else rate


def _float_tensors(network: nn.Module) -> list[torch.Tensor]:
    """Parameters and running statistics, without the batches that norms count."""
    return [value for value in network.state_dict().values() if value.is_floating_point()]


def train_epoch(batches: Iterable, criterion: Callable, learner: Learner) -> torch.Tensor:
    """A step for each batch (images, labels, …); returns sums of (loss, correct, 1), shape (3,).

    They are of augmented images, while the weights still move. Labels and what follows them
    (teachers' answers) go to the criterion.
    """
    learner.raw.train()
    totals = torch.zeros(3, device=learner.device)
    for images, labels, *answers in batches:
        loss, logits = learner.step(images, criterion, labels, *answers)
        totals += _totals(loss, logits, labels)
    return totals


@torch.no_grad()
def evaluate(network: nn.Module, loader: Iterable) -> torch.Tensor:
    """Sums over all images of (loss, correct, 1), shape (3,).

    So a smaller last batch weighs what it should. In eval mode and in float32 (TF32 on a GPU that
    has it), so that machines with other half-width types nearly agree.
    """
    network.eval()
    totals = 0
    for images, labels in loader:
        logits = network(images)
        totals += _totals(F.cross_entropy(logits, labels), logits, labels)
    return totals


@torch.no_grad()
def predict(network: nn.Module, loader: Iterable) -> tuple[torch.Tensor, torch.Tensor]:
    """Class probabilities (N, num_classes) and labels (N,) of a loader's images, on the CPU."""
    network.eval()
    batches = [(network(images).softmax(1).cpu(), labels.cpu()) for images, labels in loader]
    return tuple(torch.cat(part) for part in zip(*batches, strict=True))


def _totals(loss: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    correct = (logits.argmax(1) == labels).sum()
    return torch.stack([loss * len(labels), correct, torch.full_like(correct, len(labels))])
