"""Which machine this is, and what makes it fast."""

import platform
from collections.abc import Callable
from importlib.metadata import version

import torch

__all__ = ["StepGraph", "amp_dtype", "get_device", "machine", "memory_format"]


def get_device(name: str = "auto") -> torch.device:
    """cuda, else Apple's mps, else cpu; or the one that is named.

    Raises ValueError if that one is not there.
    """
    there = ["cuda"] if torch.cuda.is_available() else []
    there += ["mps"] if torch.backends.mps.is_available() else []
    there.append("cpu")
    name = there[0] if name == "auto" else name
    try:
        torch.ones(1, device=name).item()  # of "meta" nothing can be read
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:  # such as cuda:9
        raise ValueError(
            f"there is no device {name!r} here; choose one of: auto, {', '.join(there)}"
        ) from error


def amp_dtype(device: torch.device) -> torch.dtype | None:
    """The half-width type of the device's own arithmetic, or None where it would not pay."""
    if device.type == "cuda":
        # A T4 and its elders only emulate bfloat16; float16 needs a GradScaler.
        return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float16
    if device.type == "cpu":
        # With these and channels last an epoch takes a third of the time: see the report, Speed.
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.11 may not have it
        if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"):
            return torch.bfloat16
    return None


def memory_format(device: torch.device) -> torch.memory_format:
    """Channels last, in which convolutions are fastest; but mps' batch norm is wrong with it."""
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


class StepGraph:
    """A training step as a CUDA graph: recorded once, then replayed with a single launch.

    On a fast GPU a step of a small network takes less time than Python needs to launch its 800
    kernels. The first steps run as usual, on a stream of their own as CUDA asks for; batches of
    another size do so always. All calls have to be for the same step, and what Python decides in it
    is decided once.
    See https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs.
    """

    EAGER_STEPS = 3  # libraries choose their kernels, the optimizer makes its buffers

    def __init__(self, device: torch.device) -> None:
        self.steps, self.graph, self.inputs, self.outputs = 0, None, (), ()
        self.stream = torch.cuda.Stream(device)

    def __call__(self, step: Callable, inputs: tuple[torch.Tensor, ...]) -> tuple:
        """What the step makes of these inputs; it holds until the next call."""
        if [x.shape for x in inputs] == [x.shape for x in self.inputs]:
            for static, value in zip(self.inputs, inputs, strict=True):
                static.copy_(value)
            self.graph.replay()
            return self.outputs
        self.steps += 1
        current = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            outputs = step(*inputs)
        current.wait_stream(self.stream)
        if self.graph is None and self.steps >= self.EAGER_STEPS:
            self.inputs, self.graph = tuple(x.clone() for x in inputs), torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, stream=self.stream):  # recorded, not run
                self.outputs = step(*self.inputs)
        return outputs


def machine(device: torch.device) -> dict[str, str]:
    """Device, precision and versions, in words, for the records of a run."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        threads = torch.get_num_threads()
        name = f"{platform.machine()} {device.type}, {threads} thread{'s' * (threads > 1)}"
    return {
        "device": name,
        "precision": str(amp_dtype(device) or torch.float32).removeprefix("torch."),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchvision": version("torchvision"),
        "albumentations": version("albumentations"),
    }
