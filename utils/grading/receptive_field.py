"""How far an output sees: what a topology allows, and what the weights make of it."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map_only

from .blocks import blocks, final_map
from .trace import CallCounter, Operation, copy_network, trace

__all__ = ["effective_field", "receptive_field", "receptive_fields", "side_that_holds"]

LARGEST_SIDE = 512  # pixels; a network that sees farther is taken to see everything
# Of the probe image: positive for ReLU, and so small that no activation saturates.
PROBE_LEVEL = 1e-6
DRAWS = 20  # noise images for an effective field


def receptive_field(network: nn.Module) -> torch.Tensor:
    """What one position of the last feature map sees, as a bool mask of pixels.

    The last map is the one that global pooling or flattening ends, for images of 32 pixels. The
    mask is cut to the pixels seen: the receptive field is its larger side, and False inside of it
    is a hole. A network without any map gives a mask of no pixels. Raises ValueError where no
    gradient arrives.

    A gradient from the middle of the map, through constant positive weights, reaches exactly the
    pixels that have a path to it, whatever the topology (residual branches, dense connections).
    Weights are 1/fan-in so that nothing overflows, in float64 so that nothing vanishes; max-pooling
    becomes a mean, since it passes its gradient to one pixel only. The image grows until the field
    ends inside of it. The network itself is left as it is.

    Positive weights can stop a gradient: in a network that subtracts a mean, for example. Then the
    network's own weights and images of noise take their place.
    """
    masks = _masks(network, lambda operations: {"": final_map(operations)})
    return masks.get("", torch.zeros(0, 0, dtype=torch.bool))


def receptive_fields(network: nn.Module) -> dict[str, torch.Tensor]:
    """The same for the last map of each block that puts out a map: {"C1": mask, "C2": mask, …}."""
    return _masks(network, lambda ops: {block.name: block.map for block in blocks(ops)})


def effective_field(network: nn.Module, side: int) -> torch.Tensor:
    """Mean size of the gradient from the middle of the last map to the image, its largest value 1.

    Of shape (side, side), over 20 images of noise, the same each time, in eval mode, with the
    weights as they are: how much each pixel counts, where the receptive field says whether it can
    count at all (Luo et al. 2016, https://arxiv.org/abs/1701.04128). As in `receptive_field`,
    max-pooling is a mean, and norms and gates of the image's own statistics are left out. The field
    lies in the middle if `side` is odd and side − 1 a multiple of twice the product of the strides.
    Raises ValueError for a network without any map.
    """
    network, generator = _own(network), torch.Generator().manual_seed(0)
    last = final_map(trace(network, torch.zeros(1, 3, 32, 32)))
    if not last:
        raise ValueError("this network puts out no map of which a field could be measured")
    field = torch.zeros(side, side)
    for _ in range(DRAWS):
        image = torch.randn(1, 3, side, side, generator=generator).requires_grad_()
        middle = _middle(network, image, last.call)
        # Signs at random: a plain sum would let channels cancel what they see alike.
        signs = torch.randint(0, 2, middle.shape, generator=generator) * 2.0 - 1
        field += torch.autograd.grad((signs * middle).sum(), image)[0][0].abs().sum(0)
    return field / field.max()


def side_that_holds(field: torch.Tensor, share: float) -> int:
    """Side of the smallest square around the middle of `field` that holds this share of its sum.

    `field` is (side, side), side odd; `share` a fraction 0–1.
    """
    for cut in reversed(range(len(field) // 2 + 1)):
        square = field[cut : len(field) - cut, cut : len(field) - cut]
        if square.sum() >= share * field.sum():
            break
    return len(square)


def _masks(
    network: nn.Module, find: Callable[[list[Operation]], dict[str, Operation | None]]
) -> dict[str, torch.Tensor]:
    """The pixels seen from each map that `find` names among the network's operations."""
    for probe, images in ((_positive(network), _level), (_own(network), _noise)):
        try:
            maps = find(trace(probe, images(32)[0]))
            return {name: _mask(probe, op.call, images) for name, op in maps.items() if op}
        except Exception as error:
            failure = error
    raise failure


def _level(side: int) -> list[torch.Tensor]:
    return [torch.full((1, 3, side, side), PROBE_LEVEL, dtype=torch.float64)]


def _noise(side: int) -> list[torch.Tensor]:
    # ReLU lets no image through everywhere. Pairs, for batch norm in training mode.
    generator = torch.Generator().manual_seed(0)
    return list(torch.randn(8, 2, 3, side, side, generator=generator))


def _own(network: nn.Module) -> nn.Module:
    return copy_network(network).cpu().float().eval().requires_grad_(False)


def _positive(network: nn.Module) -> nn.Module:
    network = _own(network).double()
    for name, parameter in network.named_parameters():
        # A single number a may mix two ways, a·x + (1 − a)·y: at 1/2 both are seen.
        single = 2 if parameter.numel() == 1 else 1
        fan_in = parameter[0].numel() if parameter.ndim > 1 else single
        parameter.fill_(0 if name.endswith("bias") else 1 / fan_in)
    for name, buffer in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.fill_(name.endswith("running_var"))
        elif name.endswith(("_u", "_v")):  # a spectral norm's vectors
            buffer.abs_()
    return network


def _mask(
    network: nn.Module, call: int, images: Callable[[int], list[torch.Tensor]]
) -> torch.Tensor:
    """The pixels seen from the map that this call puts out, in images that hold them all."""
    side = 64  # in 32 pixels a dilated kernel in the middle of a 4×4 map may see padding only
    while True:
        seen = torch.zeros(side, side, dtype=torch.bool)
        for image in images(side):
            image.requires_grad_()
            middle = _middle(network, image, call)
            # Not a plain sum, which is 0 where a mean was taken off. With `0 * image.sum()` a map
            # that is detached has a gradient, of 0.
            total = (middle * torch.linspace(1, 2, len(middle))).sum() + 0 * image.sum()
            seen |= torch.autograd.grad(total, image)[0][0].abs().sum(0) > 0
        if not seen.any():
            raise ValueError("no gradient reaches the image: is it detached on the way?")
        rows, columns = seen.any(1).nonzero().flatten(), seen.any(0).nonzero().flatten()
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        if side >= LARGEST_SIDE or (min(top, left) > 0 and max(bottom, right) < side):
            return seen[top:bottom, left:right]
        side *= 2


def _middle(network: nn.Module, image: torch.Tensor, call: int) -> torch.Tensor:
    """The channels in the middle of the map that this call puts out, (C,)."""
    probe = _Probe(call)
    try:
        with probe:
            network(image)
    except Exception:  # after the map: a linear layer behind it takes one size only
        if probe.map is None:
            raise
    maps = probe.map
    if maps.shape[1] == maps.shape[2] != maps.shape[3]:  # (N, H, W, C) of a square image
        maps = maps.permute(0, 3, 1, 2)
    return maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2]


class _Probe(CallCounter):
    """Keeps the map of one call; turns max-pooling into a mean, leaves out norms and gates.

    A norm over the image's own statistics does see all of it, and so does a gate made from a global
    mean, but that is not what a receptive field means.
    """

    def __init__(self, call: int) -> None:
        super().__init__()
        self.wanted, self.map = call, None

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func.__name__ == "max_pool2d":
            func = _mean_pool
        elif func.__name__ in ("group_norm", "instance_norm", "layer_norm") or (
            func.__name__ == "batch_norm" and (kwargs or {}).get("training")
        ):
            func = _same
        result = super().__torch_function__(func, types, args, kwargs)
        if self.calls == self.wanted and self.map is None:
            self.map = next(one for one in tree_leaves(result) if isinstance(one, torch.Tensor))
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
        if tensors and tensors[0].ndim > 2 and tensors[0][0, 0].numel() > 1:
            return tree_map_only(torch.Tensor, _without_statistic, result)
        return result


def _without_statistic(result: torch.Tensor) -> torch.Tensor:
    """Detached where it is one number for each channel, (N, C, 1, 1) or (N, 1, 1, C).

    A global mean on its way to a gate is: that is no map.
    """
    last = result.ndim == 4 and result.shape[1:3] == (1, 1)
    return result.detach() if last or result.shape[:2].numel() == result.numel() else result


def _same(input, *_, **__):
    return input.clone()


def _mean_pool(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """A mean over the same windows, with the names of ``torch.nn.functional.max_pool2d``.

    The pixels that a dilated window leaves out count as well.
    """
    window = (torch.tensor(dilation) * (torch.tensor(kernel_size) - 1) + 1).tolist()
    return F.avg_pool2d(input, window, stride or kernel_size, padding, ceil_mode)
