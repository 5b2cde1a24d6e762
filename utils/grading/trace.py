"""What a network does when it runs: the operations of its forward pass."""

from dataclasses import dataclass, field
from functools import partial
from math import prod

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

__all__ = ["CallCounter", "Operation", "trace"]


@dataclass(frozen=True, eq=False)
class Operation:
    """One ATen operation on the images' data: a module, a function or a method asked for it.

    A tensor among `args` is kept as its shape. `inputs` are the operations whose results this one
    takes, `parameters` the names of the parameters. `module` is the path of the innermost module
    that ran, as in ``named_modules()``. `call` is the number of the torch function that ran it,
    counted from the start: another run makes the same calls, so it finds the same map there.
    """

    func: object
    args: tuple
    in_shape: tuple[int, ...]
    output: torch.Tensor = field(repr=False)
    inputs: tuple["Operation", ...] = field(repr=False)
    module: str
    parameters: frozenset[str]
    call: int

    @property
    def name(self) -> str:
        return self.func.__name__

    @property
    def out_shape(self) -> tuple[int, ...]:
        return tuple(self.output.shape)

    @property
    def is_conv(self) -> bool:
        return self.name == "convolution" and len(self.in_shape) == 4

    @property
    def is_map(self) -> bool:
        """Whether it puts out a feature map (N, C, H, W) of more than one position.

        A mean or sum of rows or columns is on its way to global pooling and no map any more.
        """
        positions = prod(self.out_shape[2:]) if len(self.out_shape) == 4 else 0
        reduced = self.name in ("mean", "sum") and positions < prod(self.in_shape[-2:])
        return positions > 1 and not reduced

    # aten::convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding,
    # groups): the places of its arguments.
    kernel = property(lambda self: tuple(self.args[1][2:]))
    stride = property(lambda self: tuple(self.args[3]))
    dilation = property(lambda self: tuple(self.args[5]))
    groups = property(lambda self: self.args[8])

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of a convolution or a matrix product, by torch's own formulas; else 0."""
        formula = flop_registry.get(self.func)
        return formula(*self.args, out_val=self.output) // 2 if formula else 0


class CallCounter(TorchFunctionMode):
    """Counts the torch functions and methods that a network calls, not those inside of them."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        return self.run(func, args, kwargs or {})

    def run(self, func, args: tuple, kwargs: dict):
        return func(*args, **kwargs)


class _Recorder(TorchDispatchMode):
    """Records operations on the images' data, and which earlier ones their arguments come from.

    Operations on weights alone (a transposed matrix, a normalised kernel) are not recorded; their
    results stand for the parameters that went into them.
    """

    def __init__(self, network: nn.Module, images: torch.Tensor, counter: CallCounter):
        super().__init__()
        self.operations, self.counter, self.modules = [], counter, [""]
        # {id of a tensor: (tensor, the operation that made it)}; what is kept here keeps its id.
        self.made = {id(images): (images, None)}
        # The same by memory, for a tensor that was written into, or rewrapped, behind torch's back.
        self.made_at = {images.untyped_storage().data_ptr(): None}
        self.names = {  # by memory too, since a transposed weight is another tensor
            parameter.data_ptr(): frozenset([name])
            for name, parameter in network.named_parameters()
        }
        self.kept = []  # as long as results are kept, no memory is used twice

    def enter(self, name: str, *_) -> None:
        self.modules.append(name)

    def leave(self, *_) -> None:
        self.modules.pop()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        results = [item for item in _flat([out]) if isinstance(item, torch.Tensor)]
        makers, names = [], frozenset()
        tensors = [item for item in _flat(args) if isinstance(item, torch.Tensor)]
        for item in tensors:
            memory = item.untyped_storage().data_ptr()
            if id(item) in self.made:
                makers.append((item, self.made[id(item)][1]))
            elif item.data_ptr() in self.names:
                names |= self.names[item.data_ptr()]
            elif memory in self.made_at:
                makers.append((item, self.made_at[memory]))
        self.kept += results
        if results and makers:
            self._record(func, args, makers, names, results)
        elif names:
            self.names |= {item.data_ptr(): names for item in results}
        return out

    def _record(self, func, args, makers, names, results) -> None:
        shapes = tuple(tuple(a.shape) if isinstance(a, torch.Tensor) else a for a in args)
        operation = Operation(
            func=func.overloadpacket,
            args=shapes,
            in_shape=tuple(makers[0][0].shape),
            output=results[0],
            inputs=tuple(maker for _, maker in makers if maker),
            module=self.modules[-1],
            parameters=names,
            call=self.counter.calls,
        )
        self.operations.append(operation)
        for item in results:
            self.made[id(item)] = item, operation
            self.made_at[item.untyped_storage().data_ptr()] = operation


def _flat(items):
    for item in items:
        if isinstance(item, (list, tuple)):  # cat takes a list, split returns one
            yield from _flat(item)
        else:
            yield item


def trace(network: nn.Module, images: torch.Tensor) -> list[Operation]:
    """Every operation that ``network(images)`` does on its images, in the order in which it ran.

    What is defined and never called is not in it. Run it in eval mode: it changes nothing then.
    """
    counter = CallCounter()
    recorder = _Recorder(network, images, counter)
    handles = []
    for name, module in network.named_modules():
        handles.append(module.register_forward_pre_hook(partial(recorder.enter, name)))
        handles.append(module.register_forward_hook(recorder.leave))
    try:
        with torch.no_grad(), counter, recorder:
            network(images)
    finally:
        for handle in handles:
            handle.remove()
    return recorder.operations
