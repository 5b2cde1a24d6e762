"""train.py: what the command line asks for is what is trained, saved and shipped."""

import json

import pytest
import torch
from small_networks import total
from tiny_runs import same

import models
import train as script
from models import create_model
from utils.data import CIFAR10_MEAN, CIFAR10_STD
from utils.training import get_recipe, load_checkpoint
from utils.training.checkpoint import save_checkpoint

TINY = ["--recipe", "tutorial", "--set", "val_images=6", "images=60", "--device", "cpu"]


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--recipe", "slow"], "unknown recipe 'slow'"),
        (["--set", "epochs=0"], "a recipe's epochs is from 1 to 10000, not 0"),
        (["--set", "model=s8"], "unknown model 's8'"),
        (["--flags", "pairs={1:2}"], "'s7' can't be built with"),
        (["--device", "tpu"], "there is no device 'tpu'"),
        (["--seed", "-1"], "seed is a whole number from 0 to 2**32 - 1, not -1"),
        (["--flags", "width=0.7", "--ship"], "--ship takes no --flags"),
        (["--recipe", "quick", "--ship"], "needs a recipe with all 50,000 images"),
        (["--recipe", "student", "--teacher", "no/last.pt"], "--seed SEED --out no"),
    ],
)
def test_bad_arguments_are_refused_before_a_folder_is_made(arguments, words, tmp_path):
    with pytest.raises((ValueError, OSError)) as caught:
        script.main(["--out", str(tmp_path / "run"), "--device", "cpu", *arguments])
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["dilation", "=1", ""])
def test_settings_that_are_no_values(text, capsys):
    with pytest.raises(SystemExit):
        script.parse(["--flags", text])
    assert f"{text!r} is not of the form dilation=False or lr=0.02" in capsys.readouterr().err


def test_settings_are_literals_or_words():
    pairs = script.parse(["--set", "lr=0.1", "model=s7", "--set", "pairs=(1, 2)", "a=b=c"]).set
    assert pairs == [("lr", 0.1), ("model", "s7"), ("pairs", (1, 2)), ("a", "b=c")]
    flags = script.parse(["--flags", "dilation=false", "depthwise=true", "a=FALSE"]).flags
    assert flags == [("dilation", False), ("depthwise", True), ("a", "FALSE")]
    assert script.parse([]).set == []


def test_folders_that_cannot_be_written_are_known_before_training(noise, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(script, "WEIGHTS", tmp_path / "file")
    for out, more in (("file", []), ("run", ["--ship"])):
        arguments = ["--recipe", "tutorial", "--out", str(tmp_path / out), *more]
        with pytest.raises(OSError, match="file can't be made or written as a folder .*; choose"):
            script.main(arguments)
    assert not (tmp_path / "run").exists()


def test_it_trains_and_goes_on(noise, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, folder = [*TINY, "--seed", "5"], "runs/tutorial-val_images=6-images=60-5"
    run = script.main(arguments)
    saved = load_checkpoint(tmp_path / folder / "last.pt")["run"]
    assert saved == run.to_dict() and run.finished and run.seed == 5
    assert run.command.startswith("python train.py --recipe tutorial --set val_images=6 images=60")
    assert run.recipe == get_recipe("tutorial", val_images=6, images=60)
    assert "device " in (said := capsys.readouterr().out) and "epoch   1/1" in said
    again = script.main(arguments)
    assert again.history == run.history and again.command == run.command


def test_a_seed_makes_the_network_too(noise, tmp_path):
    weights = []
    for seed in (1, 1, 2):
        torch.rand(1)
        out = tmp_path / str(len(weights))
        script.main([*TINY, "--set", "lr=0.0", "--seed", str(seed), "--out", str(out)])
        weights.append(load_checkpoint(out / "last.pt")["network"]["fc3.weight"])
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    torch.manual_seed(1)
    assert torch.equal(weights[0], create_model("tutorial").fc3.weight)


def test_flags_reach_the_network_and_belong_to_the_run(noise, tmp_path):
    arguments = ["--set", "epochs=1", "images=60", "val_images=6", "--out", str(tmp_path)]
    script.main([*arguments, "--device", "cpu", "--flags", "dilation=False", "width=0.5"])
    saved = load_checkpoint(tmp_path / "last.pt")
    assert saved["run"]["flags"] == {"dilation": False, "width": 0.5}
    assert saved["network"]["C1.0.conv.weight"].shape[0] == 16
    with pytest.raises(ValueError, match="with flags = {'dilation': False, 'width': 0.5} and not"):
        script.main([*arguments, "--device", "cpu"])


def taught(tmp_path):
    settings = ["model=tutorial", "epochs=1", "images=60", "cycle=0"]
    return ["--recipe", "student", "--set", *settings, "--out", str(tmp_path / "student")]


def test_a_teacher_is_a_finished_run(noise, tmp_path, monkeypatch):
    script.main([*TINY, "--out", str(tmp_path / "teacher"), "--seed", "4"])
    path = tmp_path / "teacher" / "last.pt"
    monkeypatch.setattr(script, "TEACHERS", (path, path))
    run = script.main([*taught(tmp_path), "--device", "cpu"])
    assert len(run.teachers) == 2
    described = run.teachers[0]
    assert described["model"] == "tutorial" and described["seed"] == 4
    assert described["command"].startswith("python train.py --recipe tutorial")
    network, _ = script.load_teacher(path)
    saved = load_checkpoint(path)
    assert described["test_accuracy"] == saved["run"]["history"][-1]["test_acc"]
    assert torch.equal(network.fc3.weight, saved["network"]["fc3.weight"])
    with pytest.raises(ValueError, match="a temperature needs a teacher .* and no other recipe"):
        script.main([*TINY, "--out", str(tmp_path / "plain"), "--teacher", str(path)])
    saved["run"]["recipe"]["epochs"] = 2
    save_checkpoint(path, saved)
    with pytest.raises(ValueError, match="holds 1 of 2 epochs; finish it with: python train.py"):
        script.main([*taught(tmp_path), "--teacher", str(path)])
    saved["run"]["recipe"]["epochs"] = 1
    saved["network"].pop("fc3.weight")
    save_checkpoint(path, saved)
    with pytest.raises(ValueError, match="holds an older tutorial; train it anew"):
        script.main([*taught(tmp_path), "--teacher", str(path)])


def test_ship(noise, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(models, "WEIGHTS", tmp_path / "weights")
    run = script.main(["--recipe", "tutorial", "--out", str(tmp_path / "run"), "--ship"])
    raw = (tmp_path / "weights" / "tutorial.json").read_bytes()
    card, shipped = json.loads(raw), create_model("tutorial", pretrained=True)
    assert raw.isascii()  # to be read in every locale
    assert card["parameters"] == total(shipped)
    assert card["classes"] == list("0123456789")
    assert (card["mean"], card["std"]) == (list(CIFAR10_MEAN), list(CIFAR10_STD))
    assert card["test_accuracy"] == run.history[-1]["test_acc"]
    assert card["wall_time_s"] == round(run.seconds)
    described = {key: value for key, value in run.to_dict().items() if key != "history"}
    assert described.items() <= card.items() and "history" not in card
    assert f"tutorial.pt: {card['test_accuracy']:.2%} of the test" in capsys.readouterr().out
    trained = create_model("tutorial")
    trained.load_state_dict(load_checkpoint(tmp_path / "run" / "last.pt")["network"])
    assert same(shipped, trained)
