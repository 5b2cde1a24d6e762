"""What a network does when it runs: the operations of its forward pass, and how far each output sees."""
import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Operation", "receptive_fields", "stages", "trace"]

LARGEST_SIDE = 1024  # pixels; a network that sees farther is taken to see everything


@dataclass(frozen=True)
class Operation:
    """One ATen operation: what ran, whether a module, a function or a method asked for it."""
    name: str
    args: tuple
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    stage: str | None  # the direct child of the network in which it ran

    @property
    def is_conv(self) -> bool:
        return self.name == "convolution" and len(self.in_shape) == 4

    # aten::convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)
    kernel = property(lambda self: tuple(self.args[1][2:]))
    stride = property(lambda self: tuple(self.args[3]))
    dilation = property(lambda self: tuple(self.args[5]))
    groups = property(lambda self: self.args[8])


class _Recorder(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.operations, self.stage = [], None

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        flat = (item for arg in args for item in (arg if isinstance(arg, (list, tuple)) else (arg,)))  # cat takes a list
        first = next((item for item in flat if isinstance(item, torch.Tensor)), None)
        result = out[0] if isinstance(out, (tuple, list)) and out else out
        if first is not None and isinstance(result, torch.Tensor):
            plain = tuple(tuple(arg.shape) if isinstance(arg, torch.Tensor) else arg for arg in args)
            self.operations.append(Operation(func.overloadpacket.__name__, plain, tuple(first.shape),
                                             tuple(result.shape), self.stage))
        return out


def stages(network: nn.Module) -> dict[str, nn.Module]:
    """The network's blocks: its direct children or, where it is wrapped in one container, that one's."""
    children = dict(network.named_children())
    while len(children) == 1 and (inner := dict(next(iter(children.values())).named_children())):
        children = inner
    return children


def trace(network: nn.Module, images: torch.Tensor) -> list[Operation]:
    """Every operation of ``network(images)`` in the order in which it ran. What is defined and never called is not in it."""
    recorder, handles = _Recorder(), []
    for name, child in stages(network).items():
        handles.append(child.register_forward_pre_hook(lambda *_, name=name: setattr(recorder, "stage", name)))
        handles.append(child.register_forward_hook(lambda *_: setattr(recorder, "stage", None)))
    try:
        with torch.no_grad(), recorder:
            network(images)
    finally:
        for handle in handles:
            handle.remove()
    return recorder.operations


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
