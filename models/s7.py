"""S7: the assignment's C1 C2 C3 C4 O in under 200,000 parameters."""

from torch import nn

from .layers import ConvNormAct, Head, ResidualPair, SeparableConv, scale_channels

__all__ = ["S7"]


class S7(nn.Sequential):
    """Four convolution blocks and an output block; three strides of 2 replace max-pooling.

    The number of parameters is limited, the number of operations is not. So dense 3×3 convolutions
    stand where maps are large and channels few, and depthwise separable ones where maps are small
    and channels many.

    Input (N, 3, H, W), normalised; output (N, num_classes) logits. Every H and W works; the
    shapes below are for 32×32.

    Flags: ``dilation=False`` sets every dilation to 1. ``depthwise=False`` makes every separable
    convolution a dense 3×3 one. `pairs` says how many residual pairs follow the first convolution
    of C1 to C4, `widths` how many channels these blocks have; the studies try others. `width`
    scales all four numbers of channels, rounded to multiples of 4. Raises ValueError for numbers
    that can't be built.
    """

    def __init__(
        self,
        num_classes: int = 10,
        *,
        dilation: bool = True,
        depthwise: bool = True,
        pairs: tuple[int, int, int, int] = (2, 2, 2, 1),
        widths: tuple[int, int, int, int] = (32, 40, 80, 96),
        width: float = 1.0,
    ) -> None:
        super().__init__()
        if min(pairs) < 0 or min(widths) < 1:
            raise ValueError(f"blocks of {pairs} pairs and {widths} channels can't be built")
        c1, c2, c3, c4 = scale_channels(widths, width)
        p1, p2, p3, p4 = pairs
        separable = SeparableConv if depthwise else ConvNormAct
        d2 = (1, 2) if dilation else (1, 1)

        # fmt: off
        #                                                           output shape    receptive field
        self.C1 = nn.Sequential(
            ConvNormAct(3, c1),                                   # (N, 32, 32, 32)   3
            *(ResidualPair(c1) for _ in range(p1)),               # (N, 32, 32, 32)  11
        )
        self.C2 = nn.Sequential(
            ConvNormAct(c1, c2, stride=2),                        # (N, 40, 16, 16)  13
            *(ResidualPair(c2, dilations=d2) for _ in range(p2)), # (N, 40, 16, 16)  37
        )
        self.C3 = nn.Sequential(
            ConvNormAct(c2, c3, stride=2),                        # (N, 80, 8, 8)    41
            *(ResidualPair(c3, separable) for _ in range(p3)),    # (N, 80, 8, 8)    73
        )
        self.C4 = nn.Sequential(
            separable(c3, c4, stride=2),                          # (N, 96, 4, 4)    81
            *(ResidualPair(c4, separable) for _ in range(p4)),    # (N, 96, 4, 4)   113
        )
        self.O = Head(c4, num_classes)                            # (N, 10)         the image
        # fmt: on
