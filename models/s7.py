"""S7: the assignment's C1 C2 C3 C4 O in under 200,000 parameters."""
import torch
from torch import nn

from .layers import ConvNormAct, Residual, SeparableConv, check_images

__all__ = ["S7"]


class S7(nn.Sequential):
    """Four convolution blocks and an output block; three 3×3 stride-2 convolutions, no pooling but GAP.

    Operations buy accuracy and parameters are what is rationed, so dense 3×3 convolutions stand where maps are
    large and channels few, and depthwise separable ones where the reverse holds.

    Input (N, 3, H, W), normalised; output (N, num_classes) logits. Any H and W from 8 up work; the shapes below are for
    32×32. ``dilation=False`` makes every kernel compact, ``depthwise=False`` makes every separable convolution a dense
    3×3 one, and ``width`` scales the channels of every block, rounded to multiples of 4.
    Raises ValueError for anything but a batch of three-channel images.
    """

    def __init__(self, num_classes=10, *, dilation=True, depthwise=True, width=1.0):
        super().__init__()
        c1, c2, c3, c4 = (max(4, 4 * round(width * c / 4)) for c in (16, 32, 64, 96))
        wide = 2 if dilation else 1  # a span of 5 pixels, more than a 4×4 map has
        separable = SeparableConv if depthwise else ConvNormAct

        def pair(channels, **kwargs):
            return Residual(ConvNormAct(channels, channels, **kwargs), ConvNormAct(channels, channels, **kwargs))

        #                                                         output shape      receptive field
        self.C1 = nn.Sequential(
            ConvNormAct(3, c1),                                 # (N, 16, 32, 32)     3
            *(pair(c1) for _ in range(3)),                      # (N, 16, 32, 32)    15
        )
        self.C2 = nn.Sequential(
            ConvNormAct(c1, c2, stride=2),                      # (N, 32, 16, 16)    17
            *(pair(c2) for _ in range(3)),                      # (N, 32, 16, 16)    41
        )
        self.C3 = nn.Sequential(
            ConvNormAct(c2, c3, stride=2),                      # (N, 64, 8, 8)      45
            pair(c3, dilation=wide),                            # (N, 64, 8, 8)      77
        )
        self.C4 = nn.Sequential(
            separable(c3, c4, stride=2),                        # (N, 96, 4, 4)      85
            Residual(separable(c4, c4, dilation=wide),
                     separable(c4, c4, dilation=wide)),         # (N, 96, 4, 4)     149
        )
        self.O = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),                            # (N, 96, 1, 1)    the whole image
            nn.Flatten(),
            nn.Linear(c4, num_classes),                         # (N, 10)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(check_images(x))
