"""The network that the assignment starts from."""

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["Tutorial"]


class Tutorial(nn.Module):
    """PyTorch's CIFAR-10 tutorial: two 5×5 convolutions, max-pooling, three linear layers.

    Input (N, 3, 32, 32), output (N, num_classes) logits. The first linear layer takes 5×5 maps,
    which images of 32 to 35 pixels give.
    Source: https://pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(F.relu(self.conv1(x)))  # (N, 6, 14, 14)
        x = self.pool(F.relu(self.conv2(x)))  # (N, 16, 5, 5)
        x = F.relu(self.fc1(x.flatten(1)))  # (N, 120)
        x = F.relu(self.fc2(x))  # (N, 84)
        return self.fc3(x)
