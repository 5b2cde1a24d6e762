"""The three bricks of the networks. Shapes are (N, C, H, W)."""
from functools import partial

import torch
from torch import nn

__all__ = ["ConvNormAct", "SeparableConv", "Residual", "check_images"]

ReLU = partial(nn.ReLU, inplace=True)


class ConvNormAct(nn.Sequential):
    """Convolution → batch norm → activation (None: none); padded so that stride 1 keeps H and W.

    Unpadded (``padded=False``) it takes dilation·(kernel_size − 1) from H and from W.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size=3, *, stride=1, dilation=1, groups=1,
                 padded=True, act=ReLU):
        super().__init__()
        padding = dilation * (kernel_size // 2) if padded else 0
        # No bias: the batch norm that follows has one.
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        if act:
            self.act = act()


class SeparableConv(nn.Sequential):
    """Depthwise separable convolution (Chollet 2017, https://arxiv.org/abs/1610.02357).

    One 3×3 kernel for each channel (groups = in_channels), then a 1×1 convolution that mixes the channels:
    9·C + C·C' weights where a dense 3×3 convolution has 9·C·C'.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride=1, dilation=1, padded=True, act=ReLU):
        super().__init__()
        # No activation between the two: it would cut a single channel's response before anything has combined them.
        self.depthwise = ConvNormAct(in_channels, in_channels, stride=stride, dilation=dilation,
                                     groups=in_channels, padded=padded, act=None)
        self.pointwise = ConvNormAct(in_channels, out_channels, kernel_size=1, act=act)


class Residual(nn.Sequential):
    """x + f(x): the layers given must keep the shape (He et al. 2016, https://arxiv.org/abs/1512.03385)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + super().forward(x)


def check_images(x: torch.Tensor, smallest=1) -> torch.Tensor:
    """Return x if it is a batch of colour images (N, 3, H, W), H and W at least `smallest`; otherwise raise ValueError."""
    if x.ndim != 4 or x.shape[1] != 3:
        raise ValueError(f"expected a batch of colour images (N, 3, H, W), got {tuple(x.shape)}; "
                         "a single image needs x.unsqueeze(0), a grey one x.expand(-1, 3, -1, -1)")
    if min(x.shape[2:]) < smallest:
        raise ValueError(f"expected images of at least {smallest}×{smallest} pixels, got {x.shape[2]}×{x.shape[3]}")
    return x
