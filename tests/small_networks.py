"""The smallest network that satisfies every rule; each test spoils one thing in it."""

from torch import nn


def conv(inputs, outputs, kernel=3, *, padded=True, groups=1, stride=1, dilation=1, **more):
    padding = dilation * (kernel // 2) if padded else 0
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, **more)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.SiLU(inplace=True))


def separable(channels=8, **more):
    return nn.Sequential(
        conv(channels, channels, groups=channels, **more), conv(channels, channels, 1)
    )


class Block(nn.Sequential):
    """Runs a function behind its layers: what a forward method can hide."""

    extra = None

    def forward(self, x):
        x = super().forward(x)
        return self.extra(x) if self.extra else x


class Shortcut(nn.Module):
    """Halves the maps on two ways and adds them, as residual networks do."""

    def __init__(self, way):
        super().__init__()
        self.way, self.shortcut = way, nn.Conv2d(8, 8, 1, stride=2)

    def forward(self, x):
        return self.way(x) + self.shortcut(x)


def channels_last(function):
    """A function of maps (N, H, W, C), as norms of channels want them, for maps (N, C, H, W)."""
    return lambda x: function(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def good():
    network = nn.Sequential()
    network.C1 = Block(conv(3, 8), conv(8, 8, dilation=2))
    network.C2 = Block(conv(8, 8, stride=2), conv(8, 8), conv(8, 8))
    network.C3 = Block(conv(8, 8, stride=2), conv(8, 8), conv(8, 8))
    network.C4 = Block(separable(stride=2), separable())
    network.O = Block(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    return network


def total(network):
    return sum(parameter.numel() for parameter in network.parameters())
