"""S7 without stride, and without pooling but GAP: the assignment's 200 extra points."""

from torch import nn

from .layers import ConvNormAct, Head, ResidualPair, SeparableConv, scale_channels

__all__ = ["S7Dilated"]


class S7Dilated(nn.Sequential):
    """Four convolution blocks and an output block; dilated kernels replace strides and pooling.

    The kernel that opens C2, C3 or C4 is dilated and not padded: with dilation d, H and W each lose
    2·d pixels. So maps and work shrink, and the positions that remain are still neighbours in the
    image. With a stride of 2 they would be every second pixel.

    Dilated kernels can leave holes: pixels inside the receptive field that never reach the output.
    Here every pixel counts: no dilation is larger than the field of all kernels with smaller ones
    (compare hybrid dilated convolution, Wang et al. 2018, https://arxiv.org/abs/1702.08502).

    Input (N, 3, H, W), normalised; output (N, num_classes) logits. Every H and W from 23 up works;
    the shapes below are for 32×32. `width` is that of `S7`.
    """

    def __init__(self, num_classes: int = 10, *, width: float = 1.0) -> None:
        super().__init__()
        c1, c2, c3, c4 = scale_channels((32, 40, 80, 128), width)
        # fmt: off
        #                                                         output shape      receptive field
        self.C1 = nn.Sequential(
            ConvNormAct(3, c1),                                 # (N, 32, 32, 32)     3
            ResidualPair(c1),                                   # (N, 32, 32, 32)     7
        )
        self.C2 = nn.Sequential(
            ConvNormAct(c1, c2, dilation=3, padded=False),      # (N, 40, 26, 26)    13
            ResidualPair(c2, dilations=(1, 2)),                 # (N, 40, 26, 26)    19
            ResidualPair(c2, dilations=(1, 2)),                 # (N, 40, 26, 26)    25
        )
        self.C3 = nn.Sequential(
            ConvNormAct(c2, c3, dilation=5, padded=False),      # (N, 80, 16, 16)    35
            ResidualPair(c3, SeparableConv),                    # (N, 80, 16, 16)    39
            ResidualPair(c3, SeparableConv),                    # (N, 80, 16, 16)    43
        )
        self.C4 = nn.Sequential(
            SeparableConv(c3, c4, dilation=3, padded=False),    # (N, 128, 10, 10)   49
            ResidualPair(c4, SeparableConv),                    # (N, 128, 10, 10)   53
        )
        self.O = Head(c4, num_classes)                          # (N, 10)           the image
        # fmt: on
