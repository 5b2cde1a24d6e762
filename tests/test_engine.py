"""A step, an epoch and evaluation."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from tiny_runs import CPU, RECIPE, STEPS, same, tiny
from torch.utils._python_dispatch import TorchDispatchMode

from utils.data import BatchAugment, DeviceLoader
from utils.training import Learner, evaluate, predict, train_epoch
from utils.training.device import amp_dtype
from utils.training.distillation import DistillationLoader, distillation_loss
from utils.training.optimizer import OTHERS_LR, Muon


def augmented(images, device=CPU):
    augmentation = BatchAugment(**RECIPE.augmentation)
    return DeviceLoader(images.take(slice(54)), 16, device, augmentation=augmentation)


def test_the_schedule_reaches_both_groups(images, monkeypatch):
    rates, step = [], Muon.step

    def watch(self):
        rates.append([group["lr"] for group in self.param_groups])
        return step(self)

    monkeypatch.setattr(Muon, "step", watch)
    learner = Learner(tiny(), RECIPE, CPU, steps=10 * STEPS)
    for _ in range(10):
        train_epoch(augmented(images), F.cross_entropy, learner)
    assert len(rates) == 40
    for group, peak in zip(zip(*rates, strict=True), (RECIPE.lr, OTHERS_LR), strict=True):
        top = group.index(max(group))
        assert max(group) == pytest.approx(peak) and top == 8  # a fifth of 40
        assert group[0] == pytest.approx(peak / 10) and group[-1] < peak / 20
        for part in (group[:top], group[top + 1 :]):
            changes = [after - before for before, after in zip(part, part[1:], strict=False)]
            assert changes == pytest.approx([changes[0]] * len(changes), rel=1e-3)  # straight


def test_it_learns(images):
    recipe = replace(RECIPE, lr=0.05)
    learner, losses = Learner(tiny(), recipe, CPU, steps=20 * STEPS), []
    for _ in range(20):
        loss, _, count = train_epoch(augmented(images), F.cross_entropy, learner).tolist()
        losses.append(loss / count)
    assert count == 54 and losses[-1] < 0.5 * losses[0]
    _, correct, count = evaluate(learner.network, DeviceLoader(images, 30, CPU)).tolist()
    assert correct / count > 0.9


@pytest.mark.parametrize("ema", [0.9, 0.2, 0.0])
def test_the_network_is_the_average_of_the_raw_weights(images, ema):
    network = tiny()
    learner = Learner(network, replace(RECIPE, ema=ema), CPU, steps=STEPS)
    average = [value.clone() for value in tiny().state_dict().values()]
    batches = iter(augmented(images))
    for step in range(1, STEPS + 1):
        pictures, labels = next(batches)
        learner.raw.train()
        learner.step(pictures, F.cross_entropy, labels)
        decay = min(ema, (1 + step) / (10 + step))
        for past, value in zip(average, learner.raw.state_dict().values(), strict=True):
            if value.is_floating_point():
                past.lerp_(value, 1 - decay)
    assert learner.network is network and (learner.raw is network) == (ema == 0)
    for past, value in zip(average, network.state_dict().values(), strict=True):
        assert not value.is_floating_point() or torch.allclose(value, past, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*weight_norm")
def test_weights_that_are_computed_at_each_call(images):
    network = tiny()
    network[3] = torch.nn.utils.weight_norm(network[3])
    learner = Learner(network, RECIPE, CPU, steps=STEPS)
    before = network[3].weight_v.detach().clone()
    train_epoch(augmented(images), F.cross_entropy, learner)
    assert not torch.equal(network[3].weight_v, before)


def test_whatever_follows_the_images_reaches_the_criterion(images):
    seen = []

    def criterion(logits, labels, answers):
        seen.append((logits.dtype, len(labels), answers))
        return F.cross_entropy(logits, labels)

    batches = [(*batch, "answers") for batch in augmented(images)]
    train_epoch(batches, criterion, Learner(tiny(), RECIPE, CPU, steps=STEPS))
    assert seen == [(torch.float32, size, "answers") for size in (16, 16, 16, 6)]


def test_a_very_short_run_has_a_schedule(images):
    for steps in (1, 4, 5):
        learner = Learner(tiny(), RECIPE, CPU, steps=steps)
        for _ in range(steps):
            assert 0 < learner.lr <= RECIPE.lr
            learner.step(torch.zeros(4, 3, 32, 32), F.cross_entropy, torch.zeros(4).long())
        assert learner.lr == 0
        learner.step(torch.zeros(4, 3, 32, 32), F.cross_entropy, torch.zeros(4).long())
        assert learner.lr == 0  # also after a step too many


def test_metrics_weigh_every_image_the_same(images):
    network, data = tiny().train(), images.take(slice(0, 7))
    whole = evaluate(network, DeviceLoader(data, 7, CPU))
    assert not network.training and same(network, tiny()) and whole[2] == 7  # nothing moves
    assert torch.allclose(evaluate(network, DeviceLoader(data, 5, CPU)), whole, rtol=1e-5)
    probabilities, labels = predict(network, DeviceLoader(data, 5, CPU))
    assert probabilities.shape == (7, 3) and labels.tolist() == data.labels.tolist()
    assert torch.allclose(probabilities.sum(1), torch.ones(7))
    assert (probabilities.argmax(1) == labels).sum() == whole[1]


def test_training_metrics_weigh_every_image_the_same(images):
    class Still(Learner):
        def step(self, pictures, criterion, labels):
            return torch.tensor(float(len(labels))), F.one_hot(0 * labels, 3).float()

    totals = train_epoch(augmented(images), F.cross_entropy, Still(tiny(), RECIPE, CPU, 4))
    first = (images.labels[:54] == 0).sum()
    assert totals.tolist() == [3 * 16 * 16 + 6 * 6, first, 54]


def taught_epoch(images, device):
    """An epoch's steps with augmentation, a teacher, Muon and averages, on a device."""
    loader = DistillationLoader(
        augmented(images, device), [tiny(1).to(device).eval()], 2.0, cycle=1
    )
    learner = Learner(tiny(), RECIPE, device, steps=10 * STEPS)

    def criterion(logits, labels, answers):
        return distillation_loss(logits, labels, answers, 2.0)

    return lambda batches: train_epoch(batches, criterion, learner), loader


class Watched(TorchDispatchMode):
    """Fails at every operation for which Python waits until a GPU has come so far."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = operation._schema.name.removeprefix("aten::")
        if name in ("index", "index_put", "index_put_"):
            assert not any(index is not None and index.dtype is torch.bool for index in args[1])
        assert name not in ("_local_scalar_dense", "equal", "nonzero", "masked_select")
        return operation(*args, **kwargs or {})


def test_nothing_is_read_from_the_device_inside_an_epoch(images, monkeypatch):
    def waits(*args, **kwargs):
        raise AssertionError("this waits for the device")

    epoch, loader = taught_epoch(images, CPU)
    with Watched(), monkeypatch.context() as patched:
        for method in ("cpu", "item", "numpy", "tolist"):  # some pass the dispatcher by on the CPU
            patched.setattr(torch.Tensor, method, waits)
        totals = epoch(loader)
        for wait in (lambda: bool(totals[0] > 0), lambda: totals[totals > 0]):
            with pytest.raises(AssertionError):
                wait()
    assert totals[2] == 54


@pytest.mark.skipif(
    not torch.cuda.is_available() or amp_dtype(torch.device("cuda")) is torch.float16,
    reason="needs a CUDA device with bfloat16: float16's scaler waits",
)
def test_no_step_waits_for_the_gpu(images):
    epoch, loader = taught_epoch(images, torch.device("cuda"))
    epoch(loader)  # the first epoch allocates, chooses kernels and records the graph
    batches = iter(loader)
    next(batches)
    torch.cuda.set_sync_debug_mode("error")
    try:
        epoch(batches)
    finally:
        torch.cuda.set_sync_debug_mode("default")
