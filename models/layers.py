"""The building blocks of the networks. Shapes are (N, C, H, W)."""

import torch
from torch import nn

__all__ = [
    "ConvNormAct",
    "DepthwiseConv",
    "Head",
    "ResidualPair",
    "SeparableConv",
    "scale_channels",
]


class ConvNormAct(nn.Sequential):
    """Convolution → batch norm → SiLU; padded so that stride 1 keeps H and W.

    Without padding (``padded=False``) H and W each lose dilation·(kernel_size − 1) pixels.
    ``act=False`` leaves SiLU out. SiLU is smooth, and its gradient below 0 is not zero (Elfwing et
    al. 2018, https://arxiv.org/abs/1702.03118).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        padded: bool = True,
        act: bool = True,
    ) -> None:
        super().__init__()
        padding = dilation * (kernel_size // 2) if padded else 0
        # No bias: the batch norm that follows has one.
        conv = DepthwiseConv if 1 < groups == in_channels else nn.Conv2d
        self.conv = conv(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias=False
        )
        self.norm = nn.BatchNorm2d(out_channels)
        if act:
            self.act = nn.SiLU()


class DepthwiseConv(nn.Conv2d):
    """One kernel for each channel. A strided or dilated one computes in float32 on a CPU.

    There the gradient of a strided one takes 80 times as long in bfloat16: 75 ms instead of 0.9 ms
    for (256, 80, 8, 8), measured on an EPYC with avx512_bf16 and torch 2.15. That of a dilated one
    takes twice as long.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.stride == self.dilation == (1, 1) or x.device.type != "cpu":
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.to(self.weight.dtype))


class SeparableConv(nn.Sequential):
    """Depthwise separable convolution (Chollet 2017, https://arxiv.org/abs/1610.02357).

    One 3×3 kernel for each channel (groups = in_channels), then a 1×1 convolution that mixes the
    channels: 9·C + C·C' weights where a dense 3×3 convolution has 9·C·C'. The options stride,
    dilation and padded are those of `ConvNormAct`, for the 3×3.
    """

    def __init__(self, in_channels: int, out_channels: int, **options: int) -> None:
        super().__init__()
        # No activation between the two: it would cut the response of single channels before the
        # 1×1 convolution has combined them.
        self.depthwise = ConvNormAct(
            in_channels, in_channels, groups=in_channels, act=False, **options
        )
        self.pointwise = ConvNormAct(in_channels, out_channels, kernel_size=1)


class ResidualPair(nn.Sequential):
    """x + f(x), where f is two convolutions of the same class, each with its own dilation.

    Source: He et al. 2016, https://arxiv.org/abs/1512.03385. There ReLU follows the sum; here SiLU
    comes before it, and the shortcut carries x on unchanged (He et al. 2016b,
    https://arxiv.org/abs/1603.05027).
    """

    def __init__(
        self,
        channels: int,
        conv: type[nn.Module] = ConvNormAct,
        *,
        dilations: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__(*(conv(channels, channels, dilation=dilation) for dilation in dilations))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + super().forward(x)


class Head(nn.Sequential):
    """Global average pooling, then one linear layer: (N, C, H, W) to (N, num_classes) logits."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


def scale_channels(channels: tuple[int, ...], width: float) -> list[int]:
    """Numbers of channels times `width`, rounded to multiples of 4; with ``width=1`` as they are.

    Raises ValueError for a width that is not above 0.
    """
    if not width > 0:
        raise ValueError(f"width has to be above 0, not {width!r}")
    return [max(4, 4 * round(width * c / 4)) if width != 1 else c for c in channels]
