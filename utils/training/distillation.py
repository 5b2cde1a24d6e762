"""A student that learns from teachers: their answers for the very image that the student sees."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn

from ..data import DeviceLoader
from .device import amp_dtype

__all__ = ["DistillationLoader", "distillation_loss"]


class DistillationLoader:
    """A training loader whose batches are (images, labels, soft targets).

    Soft targets are a teacher's answers (Hinton et al. 2015, https://arxiv.org/abs/1503.02531). A
    cutout or a rotation can hide what the label names; a teacher that sees the same picture says so
    (Beyer et al. 2022, https://arxiv.org/abs/2106.05237). Beyer et al. never repeat a picture. Here
    the augmentation repeats after `cycle` epochs (0: never), to save time: each soft target is
    computed once and kept in float16, 1 MB for an epoch of 50,000 images. They are the
    log-probabilities (n, num_classes) of the teachers' mean logits, softened by `temperature`, see
    `distillation_loss`.
    """

    def __init__(
        self, loader: DeviceLoader, teachers: list[nn.Module], temperature: float, cycle: int
    ) -> None:
        self.loader, self.teachers = loader, teachers
        self.temperature, self.cycle = temperature, cycle
        self.epoch, self.soft_targets = 0, {}

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch % self.cycle if self.cycle else epoch
        self.loader.set_epoch(self.epoch)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        soft_targets = self.soft_targets.setdefault(self.epoch, []) if self.cycle else []
        for batch, (images, labels) in enumerate(self.loader):
            if batch == len(soft_targets):
                soft_targets.append(self._soft_targets(images))
            yield images, labels, soft_targets[batch].float()

    @torch.no_grad()
    def _soft_targets(self, images: torch.Tensor) -> torch.Tensor:
        dtype = amp_dtype(images.device)
        with torch.autocast(images.device.type, dtype, enabled=dtype is not None):
            logits = torch.stack([teacher(images).float() for teacher in self.teachers]).mean(0)
        return (logits / self.temperature).log_softmax(1).half()


def distillation_loss(
    logits: torch.Tensor, labels: torch.Tensor, soft_targets: torch.Tensor, temperature: float
) -> torch.Tensor:
    """T²·KL(teachers ‖ student) of their distributions, in nats, the mean over the batch.

    The temperature T softens both. So the loss also says which wrong classes are nearly right; T²
    keeps the gradient's size (Hinton et al., section 2). The labels are not used; every
    criterion gets them.
    """
    student = (logits / temperature).log_softmax(1)
    return temperature**2 * F.kl_div(student, soft_targets, log_target=True, reduction="batchmean")
