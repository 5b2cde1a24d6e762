"""How far an output sees: the receptive field that a topology allows, and the effective one that weights make of it."""
import copy

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from .trace import stages

__all__ = ["effective_field", "receptive_fields", "side_that_holds"]

LARGEST_SIDE = 1024  # pixels; a network that sees farther is taken to see everything


def receptive_fields(network: nn.Module, side=32) -> dict[str, torch.Tensor]:
    """What one position of each feature map sees, as a bool mask of pixels, cut to the square that holds them all.

    One mask for each stage that puts out a map, under its name, and one for the last map of all (for images of `side`
    pixels), the one that global pooling or flattening ends, under "". The receptive field is the mask's larger side; a
    mask with False inside has holes. A network without any map gives {}. Raises ValueError where no gradient arrives.

    A gradient from the middle of the map, through constant positive weights, reaches exactly the pixels that have a path
    to it, whatever the topology (residual branches, dense connections). Weights are 1/fan-in so that nothing overflows,
    in float64 so that nothing vanishes; max-pooling becomes a mean, since it passes its gradient to one pixel only.
    The image grows until the field ends inside of it. The network itself is left as it is.
    """
    network = _positive(network)
    with torch.no_grad():
        last = _maps(network, torch.full((1, 3, side, side), 1e-6, dtype=torch.float64), None)
    if not last:
        return {}
    size = side
    while True:
        image = torch.full((1, 3, size, size), 1e-6, dtype=torch.float64, requires_grad=True)
        masks, complete = {}, True
        for name, output in _maps(network, image, last[""][0]).items():
            middle = output[1][0, :, output[1].shape[2] // 2, output[1].shape[3] // 2].sum()
            seen = torch.autograd.grad(middle, image, retain_graph=True)[0][0].abs().sum(0) > 0
            if not seen.any():
                raise ValueError(f"no gradient reaches the image from the map {name or 'before the end'}")
            rows, columns = seen.any(1).nonzero().flatten(), seen.any(0).nonzero().flatten()
            top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
            complete &= bool(min(top, left) > 0 and max(bottom, right) < size)
            masks[name] = seen[top:bottom, left:right]
        if complete or size >= LARGEST_SIDE:
            return masks
        size *= 2


def effective_field(network: nn.Module, side: int, *, draws=20, seed=0) -> torch.Tensor:
    """Mean size of the gradient from the middle of the last map to the image, (side, side), its largest value 1.

    Over `draws` images of noise, in eval mode, with the weights as they are: how much each pixel counts, where the
    receptive field says whether it can count at all (Luo et al. 2016, https://arxiv.org/abs/1701.04128). As in
    `receptive_fields`, max-pooling is a mean and norms of the image's own statistics are left out. The field lies in
    the middle if `side` is odd and side − 1 a multiple of twice the product of the strides.
    Raises ValueError for a network without any map.
    """
    network = copy.deepcopy(network).cpu().float().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        last = _maps(network, torch.zeros(1, 3, 32, 32), None)
    if not last:
        raise ValueError("this network puts out no map of which a field could be measured")
    field = torch.zeros(side, side)
    for _ in range(draws):
        image = torch.randn(1, 3, side, side, generator=generator).requires_grad_()
        _, output = _maps(network, image, last[""][0])[""]
        middle = output[0, :, output.shape[2] // 2, output.shape[3] // 2]
        # Signs at random: a plain sum would let channels cancel what they see alike.
        signs = torch.randint(0, 2, middle.shape, generator=generator) * 2.0 - 1
        field += torch.autograd.grad((signs * middle).sum(), image)[0][0].abs().sum(0)
    return field / field.max()


def side_that_holds(field: torch.Tensor, share: float) -> int:
    """Side of the smallest square around the middle of `field` (side, side), side odd, that holds this share of its sum."""
    middle = len(field) // 2
    sums = (field[middle - half:middle + half + 1, middle - half:middle + half + 1].sum() for half in range(middle + 1))
    return next((2 * half + 1 for half, held in enumerate(sums) if held >= share * field.sum()), len(field))


def _positive(network: nn.Module) -> nn.Module:
    network = copy.deepcopy(network).cpu().double().eval()
    for name, parameter in network.named_parameters():
        value = 1 / parameter[0].numel() if parameter.ndim > 1 else 0 if name.endswith("bias") else 1
        nn.init.constant_(parameter, value)
        parameter.requires_grad_(False)
    for name, buffer in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.fill_(name.endswith("running_var"))
    return network


class _Maps(TorchFunctionMode):
    """Collects every 4-D result in order; turns max-pooling into a mean of the same geometry, and leaves out norms.

    A norm over the image's own statistics does see all of it, but that is not what a receptive field means; batch norm
    in eval mode has no such statistics.
    """

    def __init__(self):
        super().__init__()
        self.results = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in NORMS:
            result = (args[0] if args else kwargs["input"]).clone()
        else:
            result = _mean_pool(*args, **kwargs) if func in MAX_POOLS else func(*args, **kwargs)
        if isinstance(result, torch.Tensor) and result.ndim == 4:
            self.results.append(result)
        return result


MAX_POOLS = (F.max_pool2d, F._max_pool2d, torch.max_pool2d)
NORMS = (F.group_norm, F.layer_norm, F.instance_norm, torch.group_norm, torch.layer_norm, torch.instance_norm)


def _mean_pool(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    if ceil_mode and dilation in (1, (1, 1)):
        return F.avg_pool2d(x, kernel_size, stride, padding, ceil_mode=True)
    # A depthwise convolution, because avg_pool2d knows no dilation.
    rows, columns = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    weight = x.new_full((x.shape[1], 1, rows, columns), 1 / (rows * columns))
    return F.conv2d(x, weight, None, stride or kernel_size, padding, dilation, groups=x.shape[1])


def _maps(network, image, index) -> dict[str, tuple[int, torch.Tensor]]:
    """{stage: (index, map)} and the last map under ""; `index` names the latter, None looks for it."""
    found, mode = {}, _Maps()

    def keep(name):
        def hook(module, inputs, output):
            if isinstance(output, torch.Tensor) and output.ndim == 4 and output[0, 0].numel() > 1:
                found[name] = (len(mode.results) - 1, output)
        return hook

    handles = [child.register_forward_hook(keep(name)) for name, child in stages(network).items()]
    try:
        with mode:
            network(image)
    except RuntimeError:  # a linear layer behind a flattened map takes one size only; the maps come before it
        if index is None or index >= len(mode.results):
            raise
    finally:
        for handle in handles:
            handle.remove()
    if index is None:
        index = next((i for i in reversed(range(len(mode.results))) if mode.results[i][0, 0].numel() > 1), None)
    if index is None:
        return {}
    found = {name: entry for name, entry in found.items() if entry[0] <= index}
    return found | {"": (index, mode.results[index])}
