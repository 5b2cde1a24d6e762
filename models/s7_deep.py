"""S7 made deeper: more operations at high resolution, paid with separable convolutions where maps are small."""
from functools import partial

import torch
from torch import nn

from . import layers
from .layers import Residual, check_images

__all__ = ["S7Deep"]


class S7Deep(nn.Sequential):
    """Four convolution blocks and an output block; three 3×3 stride-2 convolutions, no pooling but GAP.

    From `S7` by three changes. Two residual pairs more in C2, where 16×16 pixels use each weight. C3's dense pair, two fifths of
    all parameters, becomes three separable ones, a seventh of them. And SiLU, which is smooth and lets
    something of every negative value through, in place of ReLU (Elfwing et al. 2018, https://arxiv.org/abs/1702.03118);
    ``smooth=False`` brings ReLU back.

    Input (N, 3, H, W), normalised; output (N, num_classes) logits. Any H and W from 8 up work; the shapes below are for
    32×32. Raises ValueError for anything but a batch of three-channel images.
    """

    def __init__(self, num_classes=10, *, smooth=True):
        super().__init__()
        conv, separable = (partial(kind, act=nn.SiLU if smooth else nn.ReLU) for kind in (layers.ConvNormAct, layers.SeparableConv))

        def plain(channels):
            return Residual(conv(channels, channels), conv(channels, channels))

        def cheap(channels):
            return Residual(separable(channels, channels), separable(channels, channels, dilation=2))

        #                                                         output shape      receptive field
        self.C1 = nn.Sequential(
            conv(3, 16),                                        # (N, 16, 32, 32)     3
            *(plain(16) for _ in range(3)),                     # (N, 16, 32, 32)    15
        )
        self.C2 = nn.Sequential(
            conv(16, 32, stride=2),                             # (N, 32, 16, 16)    17
            *(plain(32) for _ in range(5)),                     # (N, 32, 16, 16)    57
        )
        self.C3 = nn.Sequential(
            conv(32, 64, stride=2),                             # (N, 64, 8, 8)      61
            *(cheap(64) for _ in range(3)),                     # (N, 64, 8, 8)     133
        )
        self.C4 = nn.Sequential(
            separable(64, 96, stride=2),                        # (N, 96, 4, 4)     141
            cheap(96),                                          # (N, 96, 4, 4)     189
        )
        self.O = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),                            # (N, 96, 1, 1)    the whole image
            nn.Flatten(),
            nn.Linear(96, num_classes),                         # (N, 10)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(check_images(x))
