"""What a network does when it runs: the operations of its forward pass."""
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Operation", "stages", "trace"]


@dataclass(frozen=True, eq=False)
class Operation:
    """One ATen operation: what ran, whether a module, a function or a method asked for it."""
    name: str
    args: tuple
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    stage: str | None  # the direct child of the network in which it ran
    source: "Operation | None" = field(default=None, repr=False)  # the convolution whose output it takes, see `_Recorder`

    @property
    def is_conv(self) -> bool:
        return self.name == "convolution" and len(self.in_shape) == 4

    # aten::convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)
    kernel = property(lambda self: tuple(self.args[1][2:]))
    stride = property(lambda self: tuple(self.args[3]))
    dilation = property(lambda self: tuple(self.args[5]))
    groups = property(lambda self: self.args[8])


class _Recorder(TorchDispatchMode):
    """Records operations, and follows a convolution's output through all that keeps the number of its values (norm, activation,
    gate) up to the next convolution. Where two such paths are added, neither goes on.
    """

    def __init__(self):
        super().__init__()
        self.operations, self.stage = [], None
        self.sources = {}  # id: (tensor, the convolution it comes from); a tensor that is kept keeps its id

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        flat = (item for arg in args for item in (arg if isinstance(arg, (list, tuple)) else (arg,)))  # cat takes a list
        tensors = [item for item in flat if isinstance(item, torch.Tensor)]
        first = tensors[0] if tensors else None
        result = out[0] if isinstance(out, (tuple, list)) and out else out
        if first is not None and isinstance(result, torch.Tensor):
            plain = tuple(tuple(arg.shape) if isinstance(arg, torch.Tensor) else arg for arg in args)
            came_from = self.sources.get(id(first), (None, None))[1]
            operation = Operation(func.overloadpacket.__name__, plain, tuple(first.shape), tuple(result.shape), self.stage, came_from)
            self.operations.append(operation)
            paths = {self.sources[id(item)][1] for item in tensors if id(item) in self.sources and item.numel() == result.numel()}
            goes_on = operation if operation.is_conv else paths.pop() if len(paths) == 1 else None
            self.sources[id(result)] = result, goes_on
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
