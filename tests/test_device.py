"""Devices, and a training step as a CUDA graph."""

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from tiny_runs import CPU, RECIPE, stopped_after, tiny
from torch import nn

from models import create_model
from utils.training import Learner, Run, get_device, machine, train
from utils.training.device import StepGraph, amp_dtype, memory_format


def test_devices():
    assert get_device("cpu") == CPU and amp_dtype(CPU) in (None, torch.bfloat16)
    assert get_device() in (torch.device("cuda"), torch.device("mps"), CPU)
    assert memory_format(CPU) is torch.channels_last
    assert memory_format(torch.device("mps")) is torch.contiguous_format


@pytest.mark.parametrize("name", ["tpu", "cpu:x", "cuda:99", "", "meta"])
def test_devices_that_are_not_there(name):
    with pytest.raises(ValueError, match=f"no device '{name}' here; choose one of: auto, .*cpu"):
        get_device(name)


def test_the_machine_in_words():
    about = machine(CPU)
    assert about["torch"] == torch.__version__ and "cpu" in about["device"]
    assert all(type(value) is str for value in about.values())
    assert {"device", "precision", "python", "torchvision", "albumentations"} <= about.keys()


class Recorder:
    """Stands in for torch.cuda: notes what is recorded and replayed."""

    def __init__(self):
        self.captured, self.replayed = [], 0

    def CUDAGraph(self):  # noqa: N802, torch's name
        return SimpleNamespace(replay=self.replay)

    def replay(self):
        self.replayed += 1

    @contextmanager
    def graph(self, graph, stream):
        self.captured.append(graph)
        yield

    @contextmanager
    def stream(self, stream):
        yield

    def Stream(self, device):  # noqa: N802, torch's name
        assert device == CPU
        return SimpleNamespace(wait_stream=lambda other: None, device=device)

    current_stream = Stream


def graphed_steps(monkeypatch, sizes):
    """For batches of these sizes: what was recorded, and the sizes of the steps that ran."""
    cuda, ran = Recorder(), []
    for name in ("CUDAGraph", "Stream", "current_stream", "graph", "stream"):
        monkeypatch.setattr(torch.cuda, name, getattr(cuda, name))
    learner = Learner(tiny(), replace(RECIPE, ema=0.0), CPU, steps=len(sizes))
    learner.graph = StepGraph(CPU)

    def step(criterion, images, labels):
        ran.append(len(images))
        learner.optimizer.step()
        return images.sum(), images

    learner._step = step
    for size in sizes:
        learner.step(torch.zeros(size, 3, 32, 32), F.cross_entropy, torch.zeros(size).long())
    return cuda, ran, learner


def test_a_step_is_recorded_once_when_it_is_warm(monkeypatch):
    cuda, ran, _ = graphed_steps(monkeypatch, [16] * 2)
    assert cuda.captured == [] and ran == [16] * 2
    cuda, ran, learner = graphed_steps(monkeypatch, [16] * 8)
    assert len(cuda.captured) == 1 and cuda.replayed == 5
    assert ran == [16] * (StepGraph.EAGER_STEPS + 1)  # one more to record it
    assert learner.schedule.last_epoch == 8  # which moves at every step


def test_batches_of_another_size_run_as_usual(monkeypatch):
    cuda, ran, _ = graphed_steps(monkeypatch, [16, 16, 16, 6, 16, 6])
    assert len(cuda.captured) == 1 and cuda.replayed == 1 and ran == [16, 16, 16, 16, 6, 6]


def test_a_replay_works_on_the_new_batch(monkeypatch):
    cuda, _, learner = graphed_steps(monkeypatch, [4] * 3)
    images = torch.rand(4, 3, 32, 32)
    learner.step(images, F.cross_entropy, torch.ones(4).long())
    assert cuda.replayed == 1
    assert torch.equal(learner.graph.inputs[0], images)
    assert learner.graph.inputs[1].tolist() == [1] * 4


def test_a_graph_reads_the_rates_of_a_loaded_state(monkeypatch):
    _, _, learner = graphed_steps(monkeypatch, [4])
    learner.load_state_dict(learner.state_dict())
    assert all(torch.is_tensor(group["lr"]) for group in learner.optimizer.param_groups)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_graphed_step_does_what_a_plain_one_does():
    device, networks = torch.device("cuda"), []
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(16, 3, 32, 32, generator=generator).to(device) for _ in range(8)]
    labels = torch.arange(16, device=device) % 3
    for graphed in (True, False):
        network = tiny()
        network[4] = nn.Identity()  # dropout: a graph draws from a stream of its own
        learner = Learner(network, RECIPE, device, steps=len(batches))
        if not learner.graph:
            pytest.skip("needs a CUDA device with bfloat16")
        if not graphed:
            learner.graph = None
            learner._rates_on_device()
        for batch in batches:
            learner.step(batch, F.cross_entropy, labels)
        networks.append(network)
        assert not graphed or learner.graph.graph
    for graphed, plain in zip(*(network.parameters() for network in networks), strict=True):
        assert torch.allclose(graphed, plain, atol=1e-3)


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("kind", ["cpu", "cuda", "mps"])
def test_on_every_device(images, tmp_path, kind, on_device):
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(kind, True):
        pytest.skip(f"needs {kind}")
    device, recipe = get_device(kind), replace(RECIPE, on_device=on_device, images=40, val_images=4)

    def go_on():
        torch.manual_seed(0)
        run, network = Run(recipe, 0, "noise", "pytest"), create_model("s7", num_classes=3)
        return train(network, images, images, run, tmp_path, device=device)

    with stopped_after(4, KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        go_on()
    assert len(go_on()) == 3
