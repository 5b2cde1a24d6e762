"""S7 without stride, and without pooling but GAP: the assignment's 200 extra points."""
import torch
from torch import nn

from .layers import ConvNormAct, Residual, SeparableConv, check_images

__all__ = ["S7Dilated"]


class S7Dilated(nn.Sequential):
    """Four convolution blocks and an output block; dilated kernels take the place of strides and of pooling.

    The kernel that opens C2, C3 or C4 is dilated and unpadded: with dilation d it takes 2·d from H and from W. Maps and work
    shrink, while every position that is left has pixels for neighbours, not every second or fourth one. Compact
    kernels come first, and dilations that follow each other have no common factor, so that their taps leave no holes
    (hybrid dilated convolution, Wang et al. 2018, https://arxiv.org/abs/1702.08502): every pixel inside the receptive
    field reaches the output.

    Input (N, 3, H, W), normalised; output (N, num_classes) logits. Any H and W from 21 up work; the shapes below are for
    32×32. Raises ValueError for anything but a batch of three-channel images, or for smaller ones.
    """

    def __init__(self, num_classes=10):
        super().__init__()

        def pair(channels, *dilations):
            return Residual(*(ConvNormAct(channels, channels, dilation=dilation) for dilation in dilations))

        #                                                         output shape      receptive field
        self.C1 = nn.Sequential(
            ConvNormAct(3, 16),                                 # (N, 16, 32, 32)     3
            pair(16, 1, 1),                                     # (N, 16, 32, 32)     7
        )
        self.C2 = nn.Sequential(
            ConvNormAct(16, 32, dilation=2, padded=False),      # (N, 32, 28, 28)    11
            pair(32, 1, 3),                                     # (N, 32, 28, 28)    19
        )
        self.C3 = nn.Sequential(
            ConvNormAct(32, 48, dilation=5, padded=False),      # (N, 48, 18, 18)    29
            pair(48, 3, 4),                                     # (N, 48, 18, 18)    43
        )
        self.C4 = nn.Sequential(
            SeparableConv(48, 96, dilation=3, padded=False),    # (N, 96, 12, 12)    49
            Residual(SeparableConv(96, 96, dilation=2),
                     SeparableConv(96, 96, dilation=5)),        # (N, 96, 12, 12)    63
        )
        self.O = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),                            # (N, 96, 1, 1)    the whole image
            nn.Flatten(),
            nn.Linear(96, num_classes),                         # (N, 10)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(check_images(x, smallest=21))
