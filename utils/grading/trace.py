"""What a network does when it runs: the operations of its forward pass."""

import copy
from dataclasses import dataclass, field
from math import prod

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from torch.utils.module_tracker import ModuleTracker

__all__ = ["STATISTICS", "CallCounter", "Operation", "copy_network", "trace"]

# ATen's operations that make one number of whole axes.
STATISTICS = set(
    "mean sum var std var_mean std_mean linalg_vector_norm amax amin max min logsumexp".split()
)


@dataclass(frozen=True, eq=False)
class Operation:
    """One ATen operation on the images' data: a module, a function or a method asked for it.

    A tensor among `args` is kept as its shape. `inputs` are the operations whose results this one
    takes, `parameters` the names of the parameters. `module` is the path of the innermost module
    that ran, behind the class of the network: "Net.C1.0". `call` is the number of the torch
    function that ran it, counted from the start: another run makes the same calls, so it finds the
    same map there.
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

        A statistic of rows or columns is on its way to global pooling and no map any more, and
        (N, 1, 1, C) is one number for each channel.
        """
        positions = prod(self.out_shape[2:]) if len(self.out_shape) == 4 else 0
        reduced = self.name in STATISTICS and positions < prod(self.in_shape[-2:])
        return positions > 1 and not reduced and self.out_shape[1:3] != (1, 1)

    # aten::convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding,
    # groups): the places of its arguments.
    kernel = property(lambda self: tuple(self.args[1][2:]))
    stride = property(lambda self: tuple(self.args[3]))
    dilation = property(lambda self: tuple(self.args[5]))
    transposed = property(lambda self: self.args[6])
    groups = property(lambda self: self.args[8])

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of a convolution or a matrix product, by torch's own formulas; else 0."""
        formula = flop_registry.get(self.func)
        return formula(*self.args, out_val=self.output) // 2 if formula else 0


class CallCounter(TorchFunctionMode):
    """Counts the torch functions and methods that a network calls, not those inside of them."""

    calls = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.calls += func.__name__ != "__get__"  # attributes: hooks read them too
        return func(*args, **(kwargs or {}))


class _Recorder(TorchDispatchMode):
    """Records operations on the images' data, and which earlier ones their arguments come from.

    Operations on weights alone (a transposed matrix, a normalised kernel) are not recorded; their
    results stand for the parameters that went into them.
    """

    def __init__(self, network: nn.Module, images: torch.Tensor) -> None:
        super().__init__()
        self.operations, self.counter, self.modules = [], CallCounter(), ModuleTracker()
        # Where tensors come from: an operation, None for the images, or names of parameters. By id,
        # and by memory for one that was written into, or rewrapped, behind torch's back.
        self.origins = {}
        # Of each operation those before it; of each memory the last one that wrote into it.
        self.before, self.writers = {}, {}
        self.kept = []  # as long as results are kept, no id and no memory is used twice
        for name, parameter in network.named_parameters():
            self._remember(parameter, frozenset([name]))
        self._remember(images, None)

    def _remember(self, tensor: torch.Tensor, origin: Operation | frozenset[str] | None) -> None:
        self.origins[id(tensor)] = self.origins[tensor.untyped_storage().data_ptr()] = origin

    def _origin(self, tensor: torch.Tensor) -> Operation | frozenset[str] | None:
        of_memory = self.origins.get(tensor.untyped_storage().data_ptr(), frozenset())
        return self.origins.get(id(tensor), of_memory)

    def _writer(self, tensor: torch.Tensor) -> Operation | None:
        return self.writers.get(tensor.untyped_storage().data_ptr())

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        with torch._C.DisableTorchFunction():  # or the counter would count what is done here
            out = func(*args, **(kwargs or {}))
            self._record(func, args, out)
        return out

    def _record(self, func: object, args: tuple, out: object) -> None:
        results = [item for item in tree_leaves(out) if isinstance(item, torch.Tensor)]
        self.kept += results
        data, makers, names = [], [], frozenset()
        for item in tree_leaves(args):
            maker = self._origin(item) if isinstance(item, torch.Tensor) else frozenset()
            if isinstance(maker, frozenset):  # a weight, or no tensor at all
                names |= maker
            else:  # the images (None), or what an operation made of them
                data.append(item)
                makers.append(maker)
        made_by = names
        if data and results:
            made_by = Operation(
                func=func.overloadpacket,
                args=tuple(tuple(a.shape) if isinstance(a, torch.Tensor) else a for a in args),
                in_shape=tuple(data[0].shape),
                output=results[0].clone(),  # what follows may write into it
                inputs=tuple(filter(None, makers)),
                module=max(self.modules.parents - {"Global"}, key=len, default=""),
                parameters=names,
                call=self.counter.calls,
            )
            self.operations.append(made_by)
            self.before[made_by] = [*makers, *map(self._writer, data)]
            if func._schema.is_mutable:
                self.writers[results[0].untyped_storage().data_ptr()] = made_by
        if made_by:
            for item in results:
                self._remember(item, made_by)

    def on_the_way_to(self, out: object) -> list[Operation]:
        """The operations that the output depends on. A hook that keeps a map is none of them."""
        results = [item for item in tree_leaves(out) if isinstance(item, torch.Tensor)]
        todo = [find(item) for item in results for find in (self._origin, self._writer)]
        found = set()
        while todo:
            op = todo.pop()
            if op in self.before and op not in found:
                found.add(op)
                todo += self.before[op]
        return [op for op in self.operations if op in found]


class _CopyAnyTensor(TorchFunctionMode):
    """Lets `copy.deepcopy` copy what torch refuses: computed weights, maps that a hook kept."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.__deepcopy__ and not args[0].is_leaf:
            return args[0].detach().clone()
        return func(*args, **(kwargs or {}))


def copy_network(network: nn.Module) -> nn.Module:
    """A deep copy, with all tensors. Raises ValueError for a network that holds, say, a file."""
    try:
        with _CopyAnyTensor():
            return copy.deepcopy(network)
    except Exception as error:
        raise ValueError(
            f"the network can't be copied ({error}): keep files, writers and locks outside of it"
        ) from error


def trace(network: nn.Module, images: torch.Tensor) -> list[Operation]:
    """The operations that lead from the images to ``network(images)``, in the order they ran.

    What is never called, or does not reach the output, is not among them. Run it in eval mode: it
    changes nothing then.
    """
    recorder = _Recorder(network, images)
    with torch.no_grad(), recorder.counter, recorder.modules, recorder:
        out = network(images)
    return recorder.on_the_way_to(out)
