"""How far an output sees: what a topology allows, and what the weights make of it."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from .blocks import blocks, final_map
from .trace import CallCounter, trace

__all__ = ["effective_field", "receptive_field", "receptive_fields", "side_that_holds"]

LARGEST_SIDE = 512  # pixels; a network that sees farther is taken to see everything
# Of the probe image: positive for ReLU, and so small that no activation saturates.
PROBE_LEVEL = 1e-6

MAX_POOLS = (F.max_pool2d, F._max_pool2d, torch.max_pool2d)
NORMS = (
    *(F.group_norm, F.layer_norm, F.instance_norm),
    *(torch.group_norm, torch.layer_norm, torch.instance_norm),
)


def receptive_field(network: nn.Module, side: int = 32) -> torch.Tensor:
    """What one position of the last feature map sees, as a bool mask of pixels.

    The last map is the one that global pooling or flattening ends, for images of `side` pixels. The
    mask is cut to the pixels seen: the receptive field is its larger side, and False inside of it
    is a hole. A network without any map gives a mask of no pixels. Raises ValueError where no
    gradient arrives.

    A gradient from the middle of the map, through constant positive weights, reaches exactly the
    pixels that have a path to it, whatever the topology (residual branches, dense connections).
    Weights are 1/fan-in so that nothing overflows, in float64 so that nothing vanishes; max-pooling
    becomes a mean, since it passes its gradient to one pixel only. The image grows until the field
    ends inside of it. The network itself is left as it is.
    """
    network = _positive(network)
    last = final_map(trace(network, _image(side)))
    return _masks(network, [last.call], side)[0] if last else torch.zeros(0, 0, dtype=torch.bool)


def receptive_fields(network: nn.Module, side: int = 32) -> dict[str, torch.Tensor]:
    """The same for the last map of each block that puts out a map: {"C1": mask, "C2": mask, …}."""
    network = _positive(network)
    found = [block for block in blocks(trace(network, _image(side))) if block.map]
    masks = _masks(network, [block.map.call for block in found], side)
    return {block.name: mask for block, mask in zip(found, masks, strict=True)}


def effective_field(
    network: nn.Module, side: int, *, draws: int = 20, seed: int = 0
) -> torch.Tensor:
    """Mean size of the gradient from the middle of the last map to the image, its largest value 1.

    Of shape (side, side), over `draws` images of noise, in eval mode, with the weights as they are:
    how much each pixel counts, where the receptive field says whether it can count at all (Luo et
    al. 2016, https://arxiv.org/abs/1701.04128). As in `receptive_field`, max-pooling is a mean, and
    norms and gates of the image's own statistics are left out. The field lies in the middle if
    `side` is odd and side − 1 a multiple of twice the product of the strides. Raises ValueError for
    a network without any map.
    """
    network = copy.deepcopy(network).cpu().float().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    last = final_map(trace(network, torch.zeros(1, 3, 32, 32)))
    if not last:
        raise ValueError("this network puts out no map of which a field could be measured")
    field = torch.zeros(side, side)
    for _ in range(draws):
        image = torch.randn(1, 3, side, side, generator=generator).requires_grad_()
        middle = _middles(network, image, [last.call])[0]
        # Signs at random: a plain sum would let channels cancel what they see alike.
        signs = torch.randint(0, 2, middle.shape, generator=generator) * 2.0 - 1
        field += torch.autograd.grad((signs * middle).sum(), image)[0][0].abs().sum(0)
    return field / field.max()


def side_that_holds(field: torch.Tensor, share: float) -> int:
    """Side of the smallest square around the middle of `field` that holds this share of its sum.

    `field` is (side, side), side odd; `share` a fraction 0–1.
    """
    middle = len(field) // 2
    for half in range(middle + 1):
        square = slice(middle - half, middle + half + 1)
        if field[square, square].sum() >= share * field.sum():
            return 2 * half + 1
    return len(field)


def _image(side: int) -> torch.Tensor:
    return torch.full((1, 3, side, side), PROBE_LEVEL, dtype=torch.float64)


def _positive(network: nn.Module) -> nn.Module:
    network = copy.deepcopy(network).cpu().double().eval()
    for name, parameter in network.named_parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
        nn.init.constant_(parameter, 0 if name.endswith("bias") else 1 / fan_in)
        parameter.requires_grad_(False)
    for name, buffer in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.fill_(name.endswith("running_var"))
    return network


def _masks(network: nn.Module, calls: list[int], side: int) -> list[torch.Tensor]:
    """One mask for the map of each call, cut to the pixels seen."""
    while True:
        image = _image(side).requires_grad_()
        masks, complete = [], True
        for middle in _middles(network, image, calls):
            seen = torch.zeros(side, side, dtype=torch.bool)
            if middle.requires_grad:
                gradient = torch.autograd.grad(middle.sum(), image, retain_graph=True)[0]
                seen = gradient[0].abs().sum(0) > 0
            if not seen.any():
                raise ValueError("no gradient reaches the image: is it detached on the way?")
            rows, columns = seen.any(1).nonzero().flatten(), seen.any(0).nonzero().flatten()
            top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
            complete &= bool(min(top, left) > 0 and max(bottom, right) < side)
            masks.append(seen[top:bottom, left:right])
        if complete or side >= LARGEST_SIDE:
            return masks
        side *= 2


def _middles(network: nn.Module, image: torch.Tensor, calls: list[int]) -> list[torch.Tensor]:
    """The channels in the middle of the maps that these calls put out, (C,) each."""
    probe = _Probe(calls)
    try:
        with probe:
            network(image)
    except RuntimeError:  # a linear layer behind a flattened map takes one size; maps come before
        if set(calls) - probe.maps.keys():
            raise
    maps = [probe.maps[call] for call in calls]
    return [found[0, :, found.shape[2] // 2, found.shape[3] // 2] for found in maps]


class _Probe(CallCounter):
    """Keeps the maps of some calls; turns max-pooling into a mean, leaves out norms and gates.

    A norm over the image's own statistics does see all of it, and so does a gate made from a global
    mean, but that is not what a receptive field means.
    """

    def __init__(self, calls: list[int]):
        super().__init__()
        self.wanted, self.maps = set(calls), {}

    def run(self, func, args: tuple, kwargs: dict):
        first = next((item for item in (*args, *kwargs.values()) if _is_tensor(item)), None)
        if func in NORMS:
            result = first.clone()
        else:
            result = (_mean_pool if func in MAX_POOLS else func)(*args, **kwargs)
        if self.calls in self.wanted:
            self.maps[self.calls] = result
        is_map = first is not None and first.ndim == 4 and first[0, 0].numel() > 1
        if is_map and _is_tensor(result) and result.shape[:2].numel() == result.numel():
            result = result.detach()  # one number for each channel, no map
        return result


def _is_tensor(item) -> bool:
    return isinstance(item, torch.Tensor)


def _mean_pool(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """A mean over the same windows; the names are those of ``torch.nn.functional.max_pool2d``."""
    if ceil_mode and dilation in (1, (1, 1)):
        return F.avg_pool2d(input, kernel_size, stride, padding, ceil_mode=True)
    # A depthwise convolution, because avg_pool2d knows no dilation.
    rows, columns = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    channels = input.shape[1]
    weight = input.new_full((channels, 1, rows, columns), 1 / (rows * columns))
    return F.conv2d(input, weight, None, stride or kernel_size, padding, dilation, groups=channels)
