"""A larger network, bound by no rule of the assignment: it teaches S7."""

from torch import nn

from .layers import ConvNormAct, Head, ResidualPair

__all__ = ["Teacher"]


class Teacher(nn.Sequential):
    """Dense residual pairs at three resolutions, 3.3 million parameters.

    Input (N, 3, H, W), normalised; output (N, num_classes) logits. The shapes below are for 32×32.
    """

    def __init__(self, num_classes: int = 10) -> None:
        # fmt: off
        super().__init__(
            #                                           output shape      receptive field
            ConvNormAct(3, 48),                       # (N, 48, 32, 32)     3
            ResidualPair(48),                         # (N, 48, 32, 32)     7
            ConvNormAct(48, 128, stride=2),           # (N, 128, 16, 16)    9
            *(ResidualPair(128) for _ in range(2)),   # (N, 128, 16, 16)   25
            ConvNormAct(128, 256, stride=2),          # (N, 256, 8, 8)     29
            *(ResidualPair(256) for _ in range(2)),   # (N, 256, 8, 8)     61
            Head(256, num_classes),                   # (N, 10)            the image
        )
        # fmt: on
