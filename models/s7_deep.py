"""S7 made deeper: more operations on maps of 16×16, paid with separable convolutions on smaller ones."""
from functools import partial

import torch
from torch import nn

from .layers import ConvNormAct, ReLU, Residual, SeparableConv, check_images

__all__ = ["S7Deep"]


class S7Deep(nn.Sequential):
    """Four convolution blocks and an output block; three 3×3 stride-2 convolutions, no pooling but GAP.

    What differs from `S7`: C2 has two residual pairs more, where each weight is used for 256 positions. C3's dense
    pair of 74 thousand parameters makes room for them, as three separable pairs of 30 thousand together. Only the second
    convolution of a separable pair is dilated. And SiLU, smooth and not flat below 0, takes the place of ReLU
    (Elfwing et al. 2018, https://arxiv.org/abs/1702.03118); ``silu=False`` brings ReLU back.

    Input (N, 3, H, W), normalised; output (N, num_classes) logits. Any H and W from 8 up work; the shapes below are for
    32×32. Raises ValueError for anything but a batch of three-channel images.
    """

    def __init__(self, num_classes=10, *, silu=True):
        super().__init__()
        act = nn.SiLU if silu else ReLU
        conv, separable = partial(ConvNormAct, act=act), partial(SeparableConv, act=act)

        def pair(channels):
            return Residual(conv(channels, channels), conv(channels, channels))

        def separable_pair(channels):
            return Residual(separable(channels, channels), separable(channels, channels, dilation=2))

        #                                                         output shape      receptive field
        self.C1 = nn.Sequential(
            conv(3, 16),                                        # (N, 16, 32, 32)     3
            *(pair(16) for _ in range(3)),                      # (N, 16, 32, 32)    15
        )
        self.C2 = nn.Sequential(
            conv(16, 32, stride=2),                             # (N, 32, 16, 16)    17
            *(pair(32) for _ in range(5)),                      # (N, 32, 16, 16)    57
        )
        self.C3 = nn.Sequential(
            conv(32, 64, stride=2),                             # (N, 64, 8, 8)      61
            *(separable_pair(64) for _ in range(3)),            # (N, 64, 8, 8)     133
        )
        self.C4 = nn.Sequential(
            separable(64, 96, stride=2),                        # (N, 96, 4, 4)     141
            separable_pair(96),                                 # (N, 96, 4, 4)     189
        )
        self.O = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),                            # (N, 96, 1, 1)    the whole image
            nn.Flatten(),
            nn.Linear(96, num_classes),                         # (N, 10)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(check_images(x))
