"""What a network does when it runs: the operations of its forward pass."""
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Operation", "stages", "trace"]


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
