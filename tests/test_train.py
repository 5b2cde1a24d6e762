"""The loop: its schedule, its figures, and runs that are stopped and go on."""
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import train as script
from models import create_model, list_models
from utils.checkpoint import load_checkpoint, save_checkpoint, ship
from utils.device import amp_dtype, get_device
from utils.loaders import Loader, make_loaders
from utils.plot import caption
from utils.recipes import NETWORKS, RECIPES, get_recipe
from utils.train import Mirrored, evaluate, predict, print_row, train, train_epoch, training_parts

RECIPE = replace(RECIPES["quick"], epochs=3, batch_size=16, lr=0.05, held_out=6)
CPU = torch.device("cpu")


def tiny(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.1),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


def run(images, folder, network=None, seed=0, recipe=RECIPE, workers=0, **kwargs):
    network = network or tiny(seed)
    loaders = make_loaders(images, images, recipe, CPU, seed=seed, num_workers=workers)
    return network, train(network, loaders, recipe, folder, device=CPU, seed=seed, progress=False,
                          about={"model": "tiny", "dataset": "noise", "command": "pytest"}, **kwargs)


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def figures(history):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


class After:
    """A criterion that raises an error at its n-th training batch."""

    def __init__(self, batches, error):
        self.left, self.error = batches, error

    def __call__(self, logits, labels):
        if torch.is_grad_enabled():
            self.left -= 1
            if self.left < 0:
                raise self.error
        return F.cross_entropy(logits, labels)


def test_it_learns_and_the_schedule_reaches_the_optimizer(images, tmp_path):
    recipe, rates = replace(RECIPE, epochs=5), []
    seen = torch.optim.SGD.step

    def step(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return seen(self, *args, **kwargs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", step)
        _, history = run(images, tmp_path, recipe=recipe)
    assert len(rates) == 5 * 4 and rates[0] == pytest.approx(0.05 / 10)
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.05, rel=0.02) and 2 <= top <= 6  # a fifth of the way
    assert rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] < 0.05 / 50
    assert [row["lr"] for row in history] == rates[::4]
    assert history[-1]["train_loss"] < history[0]["train_loss"]


def test_metrics_weigh_every_image_the_same(images):
    network, data = tiny().eval(), images.take(slice(0, 7))
    whole = evaluate(network, Loader(data, 7, CPU))
    assert torch.allclose(evaluate(network, Loader(data, 5, CPU)), whole, rtol=1e-5) and whole[2] == 7
    probabilities, labels = predict(network, Loader(data, 5, CPU))
    assert probabilities.shape == (7, 3) and labels.tolist() == data.labels.tolist()
    assert (probabilities.argmax(1) == labels).sum() == whole[1]


def test_mirror_averaging():
    class Left(nn.Module):  # class 0 if the left column is bright, with odds of e to its brightness
        def forward(self, x):
            return torch.stack([x[:, 0, 0, 0], torch.zeros(len(x))], 1)

    image = torch.zeros(1, 3, 2, 2)
    image[0, 0, 0, 0], image[0, 0, 0, 1] = 3, -1
    expected = (torch.tensor([3.0, 0]).softmax(0) + torch.tensor([-1.0, 0]).softmax(0)) / 2
    assert torch.allclose(Mirrored(Left())(image).exp()[0], expected)


def test_a_seed_decides_everything(images, tmp_path):
    first, history = run(images, tmp_path / "a", seed=1)
    again, repeated = run(images, tmp_path / "b", seed=1)
    other, _ = run(images, tmp_path / "c", seed=2)
    assert same(first, again) and figures(history) == figures(repeated) and not same(first, other)


@pytest.mark.parametrize("batches", [4, 6, 9])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_ends_with_the_same_weights(images, tmp_path, batches, workers):
    whole, history = run(images, tmp_path / "whole")
    with pytest.raises(RuntimeError, match="killed"):
        run(images, tmp_path / "killed", criterion=After(batches, RuntimeError("killed")))
    resumed, continued = run(images, tmp_path / "killed", network=tiny(seed=9), workers=workers)
    assert same(whole, resumed) and figures(history) == figures(continued)


def test_kill_minus_nine(images, tmp_path):
    code = textwrap.dedent(f"""
        import os, signal, sys
        import numpy as np, torch
        sys.path[:0] = ["tests", "."]
        torch.set_num_threads(1)
        from test_train import run
        from conftest import images
        images = images.__wrapped__() if hasattr(images, "__wrapped__") else images.__pytest_wrapped__.obj()
        def kill(row, epochs):
            if row["epoch"] == 2:
                os.kill(os.getpid(), signal.SIGKILL)
        run(images, {str(tmp_path / "killed")!r}, on_epoch=kill)
    """)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert len(load_checkpoint(tmp_path / "killed" / "last.pt")["history"]) == 2
    whole, _ = run(images, tmp_path / "whole")
    resumed, _ = run(images, tmp_path / "killed")
    assert same(whole, resumed)


def test_ctrl_c_keeps_the_last_whole_epoch_and_goes_on(images, tmp_path, capsys):
    whole, _ = run(images, tmp_path / "whole")
    network, history = run(images, tmp_path / "run", criterion=After(6, KeyboardInterrupt()))
    assert len(history) == 1 and "Stopped after 1 of 3 epochs" in capsys.readouterr().out
    kept = load_checkpoint(tmp_path / "run" / "last.pt")["network"]
    assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())
    network, history = run(images, tmp_path / "run", network=network)
    assert len(history) == 3 and same(network, whole)


def test_ctrl_c_before_the_first_epoch_is_over(images, tmp_path):
    network, history = run(images, tmp_path, criterion=After(2, KeyboardInterrupt()))
    assert history == [] and not (tmp_path / "last.pt").exists()
    assert same(network, tiny())  # so that running the cell again starts where this one did


def test_workers_that_ctrl_c_killed_are_started_anew(images, tmp_path):
    whole, _ = run(images, tmp_path / "whole")
    network, loaders = tiny(), make_loaders(images, images, RECIPE, CPU, seed=0, num_workers=2)
    arguments = {"device": CPU, "seed": 0, "about": {}, "progress": False}

    def stop(row, epochs):
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGINT)
        raise KeyboardInterrupt
    assert len(train(network, loaders, RECIPE, tmp_path / "run", on_epoch=stop, **arguments)) == 1
    assert len(train(network, loaders, RECIPE, tmp_path / "run", **arguments)) == 3 and same(network, whole)


def test_a_run_goes_on_where_mixed_precision_differs(images, tmp_path):
    run(images, tmp_path, criterion=After(5, KeyboardInterrupt()))
    state = load_checkpoint(tmp_path / "last.pt")
    assert state["scaler"] == {} and state["optimizer"]["param_groups"][0]["fused"]
    state["optimizer"]["param_groups"][0]["fused"] = False  # as a T4, which scales float16, would have saved it
    state["scaler"] = {"scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000, "_growth_tracker": 0}
    save_checkpoint(tmp_path / "last.pt", state)
    assert len(run(images, tmp_path)[1]) == 3
    assert load_checkpoint(tmp_path / "last.pt")["optimizer"]["param_groups"][0]["fused"]


def test_a_run_goes_on_where_the_memory_format_differs(images, tmp_path):
    whole, _ = run(images, tmp_path / "whole")
    run(images, tmp_path / "cut", criterion=After(5, KeyboardInterrupt()))
    state = load_checkpoint(tmp_path / "cut" / "last.pt")
    for past in state["optimizer"]["state"].values():
        past["momentum_buffer"] = past["momentum_buffer"].contiguous()
    save_checkpoint(tmp_path / "cut" / "last.pt", state)
    network, _ = run(images, tmp_path / "cut")
    assert same(network, whole)


def test_a_finished_run_shows_its_history(images, tmp_path):
    network, history = run(images, tmp_path)
    rows = []
    shown, again = run(images, tmp_path, network=tiny(5), criterion=After(0, AssertionError("trained again")),
                       on_epoch=lambda row, epochs: rows.append(row))
    assert rows == again == history and same(network, shown)


def test_a_loss_that_is_not_finite(images, tmp_path):
    def explode(logits, labels):
        return F.cross_entropy(logits, labels) * (float("nan") if torch.is_grad_enabled() else 1)
    run(images, tmp_path / "kept", criterion=After(5, KeyboardInterrupt()))
    with pytest.raises(FloatingPointError, match=r"the loss is nan in epoch 2, .* rate of 0\.0\d+ \(peak 0\.05\)"):
        run(images, tmp_path / "kept", criterion=explode)
    assert len(load_checkpoint(tmp_path / "kept" / "last.pt")["history"]) == 1
    network = tiny()
    with pytest.raises(FloatingPointError):
        run(images, tmp_path / "new", network=network, criterion=explode)
    assert same(network, tiny())  # not left with what the explosion made of it


def test_held_out_images_choose_the_best(images, tmp_path):
    _, history = run(images, tmp_path, recipe=replace(RECIPE, epochs=5))
    best = load_checkpoint(tmp_path / "best.pt")["history"]
    assert best[-1]["val_acc"] == max(row["val_acc"] for row in history) and best == history[:len(best)]
    _, history = run(images, tmp_path / "none", recipe=replace(RECIPE, held_out=0))
    assert not (tmp_path / "none" / "best.pt").exists() and "val_acc" not in history[-1]


def test_another_run_is_refused(images, tmp_path):
    run(images, tmp_path)
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(ValueError, match="belongs to another run, with seed = 0 and not 1"):
        run(images, tmp_path, seed=1)
    with pytest.raises(ValueError, match=r"with recipe = {'lr': 0.05} and not {'lr': 0.01}"):
        run(images, tmp_path, recipe=replace(RECIPE, lr=0.01))
    with pytest.raises(ValueError, match="holds another network"):
        run(images, tmp_path, network=nn.Sequential(nn.Flatten(), nn.Linear(3072, 3)))
    assert (tmp_path / "last.pt").read_bytes() == before


def test_the_printed_line(images, tmp_path, capsys):
    _, history = run(images, tmp_path, on_epoch=print_row)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(history) == 3 and len({line.index("test") for line in lines}) == 1


def training_epoch(images, device):
    """One epoch's steps with the policy on the device, as a function of the batches; and those batches."""
    parts = training_parts(tiny(), RECIPE, device, steps=100)
    loader = make_loaders(images, images, replace(RECIPE, on_device=True), device, seed=0)[0]
    return lambda batches: train_epoch(batches, F.cross_entropy, device, parts["network"], **parts), loader


def test_no_item_is_read_from_the_device_inside_an_epoch(images, monkeypatch):
    class Watched(TorchDispatchMode):  # for each of these, Python waits until a GPU has come so far
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            name = operation._schema.name.removeprefix("aten::")
            mask = name in ("index", "index_put", "index_put_") and any(index is not None and index.dtype is torch.bool for index in args[1])
            assert not mask and name not in ("_local_scalar_dense", "equal", "nonzero", "masked_select")
            return operation(*args, **kwargs or {})

    def waits(*args, **kwargs):
        raise AssertionError("this waits for the device")

    steps, loader = training_epoch(images, CPU)
    with Watched(), monkeypatch.context() as patched:
        for method in ("cpu", "item", "numpy", "tolist"):  # on the CPU some of them pass the dispatcher by
            patched.setattr(torch.Tensor, method, waits)
        totals = steps(loader)
        for wait in (lambda: bool(totals[0] > 0), lambda: totals[totals > 0]):
            with pytest.raises(AssertionError):
                wait()
    assert totals[2] == len(loader.data)


@pytest.mark.skipif(not torch.cuda.is_available() or amp_dtype(torch.device("cuda")) is torch.float16,
                    reason="needs a CUDA device with bfloat16: float16's scaler waits")
def test_no_step_waits_for_the_gpu(images):
    steps, loader = training_epoch(images, torch.device("cuda"))
    steps(loader)  # the first epoch allocates and chooses kernels
    batches = iter(loader)
    next(batches)
    torch.cuda.set_sync_debug_mode("error")
    try:
        steps(batches)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def compile_with(monkeypatch, backend):
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network, **options: real(network, backend=backend, **options))


def test_every_step_goes_through_the_compiled_network(images, tmp_path, monkeypatch):
    steps = []
    compile_with(monkeypatch, lambda graph, inputs: lambda *args: steps.append(graph) or graph(*args))
    plain, history = run(images, tmp_path / "plain")
    network, repeated = run(images, tmp_path / "compiled", compile=True)
    assert same(plain, network) and figures(history) == figures(repeated)  # the trial leaves no trace
    assert len(steps) == 2 + 3 * 4 and len(set(steps)) == 2  # two trials, three epochs of four batches; the last one is smaller
    run(images, tmp_path / "compiled", compile=True)
    assert len(steps) == 2 + 3 * 4  # nothing is left to do in a finished run


@pytest.mark.parametrize("works", [0, 1])  # so many times: the last batch of an epoch is compiled for itself
def test_a_compiler_that_is_missing_is_one_sentence(images, tmp_path, monkeypatch, capsys, works):
    tries = []

    def backend(graph, inputs):
        tries.append(graph)
        if len(tries) <= works:
            return graph
        raise RuntimeError("no C++ compiler\nand a page of other things")

    compile_with(monkeypatch, backend)
    plain, _ = run(images, tmp_path / "plain")
    network, _ = run(images, tmp_path / "failed", compile=True)
    said = capsys.readouterr().err
    assert same(plain, network) and said.startswith("torch.compile does not work here (") and "no C++ compiler" in said
    assert said.endswith("): going on without it\n") and said.count("\n") == 1


def test_ctrl_c_while_it_compiles(images, tmp_path, monkeypatch, capsys):
    def backend(graph, inputs):
        raise KeyboardInterrupt

    compile_with(monkeypatch, backend)
    network, history = run(images, tmp_path, compile=True)
    assert history == [] and same(network, tiny()) and "Stopped after 0 of 3 epochs" in capsys.readouterr().out


def test_devices():
    assert get_device("cpu") == CPU and amp_dtype(CPU) in (None, torch.bfloat16)
    with pytest.raises(ValueError, match="there is no device 'tpu' here"):
        get_device("tpu")
    with pytest.raises(ValueError, match="there is no device 'cpu:x' here"):
        get_device("cpu:x")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="there is no device 'cuda' here; choose one of: auto"):
            get_device("cuda")


def test_recipes():
    assert NETWORKS.keys() == RECIPES.keys() and set(NETWORKS.values()) <= set(list_models())
    with pytest.raises(ValueError, match="unknown recipe 'slow'; choose one of: s7, s7_dilated, analysis, fast, best, tutorial, quick"):
        get_recipe("slow")


@pytest.mark.parametrize("setting, words", [
    ({"epochs": 2.5}, "a whole number from 1 up"), ({"batch_size": 0}, "a whole number from 1 up"),
    ({"held_out": -1}, "a whole number from 0 up"), ({"lr": "x"}, "a number from 0 up"), ({"lr": float("nan")}, "a number from 0 up"),
    ({"images": 60_000}, "a whole number from 1 to 50000"), ({"hole_prob": 2}, "a number from 0 to 1"),
    ({"rotate": 200}, "a number from 0 to 180"), ({"on_device": 1}, "True or False")])
def test_settings_of_no_sense(setting, words):
    ((name, value),) = setting.items()
    with pytest.raises(ValueError, match=f"a recipe's {name} is {words}, not {value!r}"):
        get_recipe("quick", **setting)


def test_at_most_a_tenth_is_held_out():
    with pytest.raises(ValueError, match="held_out is at most a tenth of its 6000 images, not 601"):
        get_recipe("quick", held_out=601)


def test_a_run_of_four_steps(images, tmp_path):
    assert len(run(images, tmp_path, recipe=replace(RECIPE, epochs=1))[1]) == 1


def test_every_call_that_had_a_part_in_a_run_is_named(images, tmp_path, monkeypatch):
    run(images, tmp_path, criterion=After(6, KeyboardInterrupt()))
    first = load_checkpoint(tmp_path / "last.pt")["about"]
    assert "calls" not in first
    monkeypatch.setattr("utils.train.machine", lambda device: first["machine"] | {"device": "another"})
    _, history = run(images, tmp_path)
    about = load_checkpoint(tmp_path / "last.pt")["about"]
    assert [call["machine"]["device"] for call in about["calls"]] == [first["machine"]["device"], "another"]
    assert "(the last of 2 calls)" in caption(about | {"model": "s7", "dataset": "noise", "command": "python train.py"}, history)


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("kind", ["cpu", "cuda", "mps"])
def test_on_every_device(images, tmp_path, kind, on_device):
    if not {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}[kind]:
        pytest.skip(f"needs {kind}")
    device, recipe = get_device(kind), replace(RECIPE, on_device=on_device)

    def go_on(criterion):
        torch.manual_seed(0)
        return train(create_model("s7"), make_loaders(images, images, recipe, device, seed=0), recipe, tmp_path, device=device,
                     seed=0, about={}, criterion=criterion, progress=False)
    assert len(go_on(After(6, KeyboardInterrupt()))) == 1 and len(go_on(F.cross_entropy)) == 3


# --- train.py -----------------------------------------------------------------------------------------------------------

def call(*arguments, **environment):
    return subprocess.run([sys.executable, "train.py", *arguments], capture_output=True, text=True,
                          env=os.environ | environment)


@pytest.mark.parametrize("arguments, words", [
    (["--model", "s8"], "unknown model 's8'"),
    (["--flags", "deep=True"], "'s7' has no flag deep"),
    (["--recipe", "slow"], "unknown recipe 'slow'"),
    (["--set", "rate=0.1"], "a recipe has no setting rate; it has: epochs, batch_size, lr"),
    (["--epochs", "0"], "a recipe's epochs is a whole number from 1 up, not 0"),
    (["--device", "tpu"], "there is no device 'tpu'"),
    (["--flags", "width=1e999"], "'s7' can't be built with {'width': inf}"),
    (["--flags", "width=0.7", "--ship"], "--ship takes no --flags"),
    (["--recipe", "quick", "--ship"], "needs a recipe with all 50,000 images"),
    (["--root", "/nowhere"], "/nowhere holds no cifar-10-batches-py"),
])
def test_bad_arguments_are_one_sentence(arguments, words, tmp_path):
    result = call("--out", str(tmp_path / "run"), *arguments)
    assert result.returncode == 1 and result.stderr.startswith("train.py: ") and words in result.stderr
    assert "Traceback" not in result.stderr and not (tmp_path / "run").exists()


@pytest.mark.parametrize("arguments", [["--seed", "-1"], ["--seed", "9" * 30]])
def test_numbers_out_of_range(arguments, capsys):
    with pytest.raises(SystemExit):
        script.parse(arguments)
    assert f"{arguments[0]} has to be" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["dilation", "dilation=false", "width=", "width=0.7)"])
def test_flags_that_are_no_values(flag, capsys):
    with pytest.raises(SystemExit):
        script.parse(["--flags", flag])
    assert f"{flag!r} is not of the form dilation=False or width=0.7" in capsys.readouterr().err


def test_the_script_trains_resumes_and_refuses(images, tmp_path, monkeypatch):
    ten = replace(images, name="CIFAR-10", classes=tuple("0123456789"))
    monkeypatch.setattr(script, "load_cifar10", lambda root: (ten, ten))
    arguments = ["--recipe", "tutorial", "--set", "held_out=6", "--out", str(tmp_path), "--device", "cpu"]
    script.main(arguments)
    state = load_checkpoint(tmp_path / "last.pt")
    assert state["about"]["model"] == "tutorial"  # the recipe's network
    assert state["about"]["command"].startswith("python train.py --recipe tutorial") and len(state["history"]) == 1
    with pytest.raises(ValueError, match="holds a run already; add --resume"):
        script.main(arguments)
    script.main([*arguments, "--resume"])


def test_flags_reach_the_network_and_belong_to_the_run(images, tmp_path, monkeypatch):
    ten = replace(images, name="CIFAR-10", classes=tuple("0123456789"))
    monkeypatch.setattr(script, "load_cifar10", lambda root: (ten, ten))
    arguments = ["--recipe", "quick", "--epochs", "1", "--out", str(tmp_path), "--device", "cpu", "--resume"]
    script.main([*arguments, "--flags", "dilation=False", "width=0.5"])
    state = load_checkpoint(tmp_path / "last.pt")
    assert state["about"]["flags"] == {"dilation": False, "width": 0.5}
    assert state["network"]["C1.0.conv.weight"].shape[0] == 8
    with pytest.raises(ValueError, match="belongs to another run, with flags = {'dilation': False, 'width': 0.5} and not None"):
        script.main(arguments)
    state["about"]["recipe"]["images"] = 50_000
    save_checkpoint(tmp_path / "last.pt", state)
    with pytest.raises(ValueError, match="does not ship: s7, flags {'dilation': False, 'width': 0.5}"):
        ship(tmp_path, "s7", tmp_path)
