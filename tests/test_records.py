"""The analysis: records that can be trusted, verdicts that follow from them, and a runner that repeats nothing."""
import json
from dataclasses import asdict, replace

import pytest
import torch

import experiments
import train
import utils.train as loop
from models import create_model
from utils.checkpoint import load_checkpoint
from utils.recipes import RECIPES
from utils.records import Difference, add_record, difference, read_records, summarize, verdict

RECIPE = RECIPES["analysis"]
RECIPES_OF = {"s7": RECIPE, "dense": RECIPE}


def record(variant="s7", seed=0, accuracy=0.8, **changes):
    return {"variant": variant, "seed": seed, "epochs": RECIPE.epochs, "test_accuracy": accuracy, "dataset": "CIFAR-10",
            "recipe": asdict(RECIPE)} | changes


def read(path, *lines):
    path.write_text("".join(lines))
    return read_records(path, RECIPES_OF)


def line(*args, **kwargs):
    return json.dumps(record(*args, **kwargs)) + "\n"


@pytest.mark.parametrize("bad, words", [
    (line()[:40], "half-written or foreign"),
    ("{}\n", "half-written or foreign"),
    ("[1, 2]\n", "half-written or foreign"),
    ('"text"\n', "half-written or foreign"),
    ("\n", "half-written or foreign"),
    (line(accuracy="much"), "a test accuracy of 'much'"),
    (line(accuracy=float("nan")), "a test accuracy of nan"),
    (line(accuracy=80.5), "a test accuracy of 80.5"),
    (line(accuracy=True), "a test accuracy of True"),
    (line(seed="0"), "a seed of '0'"),
    (line(seed=[1]), "a seed of [1]"),
    (line(variant=["s7"]), "unknown variant ['s7']"),
    (line("s8"), "unknown variant 's8'"),
    (line(dataset="handwritten digits"), "made with handwritten digits, not CIFAR-10"),
    (line(epochs=30), "30 epochs, not 5"),
    (line(recipe=asdict(replace(RECIPE, lr=0.1))), "another recipe: lr 0.1, not 0.4"),
    (line(recipe={}), "another recipe: epochs None"),
    (line(seed=1), "s7, seed 1 again, after line 1"),
])
def test_bad_lines_are_named_and_left_out(tmp_path, bad, words):
    records, left_out = read(tmp_path / "a.jsonl", line(seed=1, accuracy=0.7), bad)
    assert [entry["seed"] for entry in records] == [1] and summarize(records, "s7") == (70, None, 1)
    assert len(left_out) == 1 and left_out[0].startswith("a.jsonl, line 2: ") and words in left_out[0]


def test_bytes_that_are_no_text_cost_one_line(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(line(seed=0).encode() + b"\xff\xfe\n" + line(seed=2).encode())
    records, left_out = read_records(path, RECIPES_OF)
    assert [entry["seed"] for entry in records] == [0, 2] and len(left_out) == 1 and "line 2" in left_out[0]


def test_no_records_yet(tmp_path):
    assert read_records(tmp_path / "none.jsonl", RECIPES_OF) == ([], [])


def test_a_line_that_was_cut_costs_only_itself(tmp_path):
    path = tmp_path / "folder" / "a.jsonl"
    add_record(path, record(seed=0))
    with path.open("a") as file:
        file.write(line(seed=1)[:50])
    add_record(path, record(seed=2))
    records, left_out = read_records(path, RECIPES_OF)
    assert [entry["seed"] for entry in records] == [0, 2] and len(left_out) == 1 and "line 2" in left_out[0]


def test_difference_is_paired_by_seed():
    accuracies = {"s7": (0.80, 0.82, 0.87), "dense": (0.81, 0.84, 0.90)}
    records = [record(variant, seed, value) for variant, values in accuracies.items() for seed, value in enumerate(values)]
    measured = difference(records + [record("dense", 7, 0.1)], "dense", "s7")  # seed 7 has no partner
    # gaps 1, 2, 3: mean 2, standard error 1/√3, Student's quantile for two degrees of freedom 4.3027
    assert measured.seeds == 3 and measured.mean == pytest.approx(2)
    assert (measured.low, measured.high) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-3)
    assert str(measured) == "+2.00 points, 95% interval −0.48 to +4.48 (3 seeds)"
    mean, spread, seeds = summarize(records, "s7")
    assert (mean, spread, seeds) == (pytest.approx(83), pytest.approx(13**0.5), 3)
    with pytest.raises(ValueError, match="no run of 'dense, narrow' is recorded; run: python experiments.py"):
        summarize(records, "dense, narrow")
    with pytest.raises(ValueError, match="share 1 seed"):
        difference(records[:1] + records[3:], "dense", "s7")


@pytest.mark.parametrize("low, high, more_than, words", [
    (0.1, 2, 0, "holds"), (-2, -0.1, 0, "does not hold"), (-1, 1, 0, "not decided by these runs"),
    (0.1, 0.9, 1, "does not hold"), (1.1, 3, 1, "holds"), (0.5, 1.5, 1, "not decided by these runs"),
])
def test_verdicts(low, high, more_than, words):
    assert verdict(Difference((low + high) / 2, low, high, 3), more_than) == words


# --- experiments.py -----------------------------------------------------------------------------------------------------

def test_variants_are_what_their_names_say():
    def parameters(name):
        variant = experiments.ANALYSIS.variants[name]
        return sum(parameter.numel() for parameter in create_model(variant.model, **variant.flags).parameters())

    assert parameters("no dilation") == parameters("s7") < parameters("dense")
    assert parameters("dense, narrow") == pytest.approx(parameters("s7"), rel=0.01)


@pytest.fixture
def runner(images, tmp_path, monkeypatch):
    """experiments.main on noise; it returns how many epochs it trained."""
    ten = replace(images, name="CIFAR-10", classes=tuple("0123456789"))
    monkeypatch.setattr(train, "load_cifar10", lambda root: (ten, ten))
    real, trained = loop.train_epoch, []
    monkeypatch.setattr(loop, "train_epoch", lambda *args, **kwargs: trained.append(real(*args, **kwargs)) or trained[-1])

    def call(*more):
        trained.clear()
        experiments.main(["analysis", "--variants", "s7", "no dilation", "--epochs", "2", "--device", "cpu",
                          "--runs", str(tmp_path / "runs"), "--records", str(tmp_path / "a.jsonl"), *more])
        return len(trained)

    call.path = tmp_path / "a.jsonl"
    call.read = lambda: read_records(call.path, experiments.ANALYSIS.recipes(epochs=2))
    return call


def test_the_runner_writes_one_line_a_run_and_repeats_nothing(runner, capsys):
    assert runner() == 4
    records, left_out = runner.read()
    assert not left_out and [entry["variant"] for entry in records] == ["s7", "no dilation"]
    assert [entry["receptive_field"] for entry in records] == [149, 101]
    first = records[0]
    assert first["parameters"] == 196_314 and first["multiply_adds"] == 36_262_848 and first["epochs"] == 2
    assert first["machine"]["torch"] == torch.__version__ and first["seconds"] >= 0
    assert "--flags dilation=False" in records[1]["command"]
    text = runner.path.read_text()
    capsys.readouterr()
    assert runner() == 0 and runner.path.read_text() == text
    assert f"no dilation, seed 0: in {runner.path} already; --records names another file" in capsys.readouterr().out
    assert runner("--seeds", "0", "1", "1") == 4 and len(runner.path.read_text().splitlines()) == 4  # a seed named twice is one run


def test_the_runner_goes_on_where_it_was_stopped(runner, monkeypatch, tmp_path):
    real = train.train

    def stopped(network, loaders, recipe, *args, **kwargs):  # Ctrl-C in the second epoch of the first run
        batches = 0

        def criterion(logits, labels):
            nonlocal batches
            batches += torch.is_grad_enabled()
            if batches > len(loaders[0]):
                raise KeyboardInterrupt
            return torch.nn.functional.cross_entropy(logits, labels)

        return real(network, loaders, recipe, *args, **kwargs | {"criterion": criterion})

    monkeypatch.setattr(train, "train", stopped)
    assert runner() == 1 and runner.read()[0] == []
    monkeypatch.setattr(train, "train", real)
    assert runner() == 3
    assert len(load_checkpoint(tmp_path / "runs/analysis/s7-2-0/last.pt")["history"]) == 2 and len(runner.read()[0]) == 2


def test_a_run_finished_but_not_recorded_is_only_recorded(runner):
    runner()
    kept = runner.path.read_text().splitlines(keepends=True)
    runner.path.write_text(kept[0] + kept[1][:60])
    assert runner() == 0
    records, left_out = runner.read()
    assert len(records) == 2 and len(left_out) == 1
    assert json.loads(runner.path.read_text().splitlines()[-1]) == json.loads(kept[1])


def test_a_run_that_diverges_does_not_keep_the_others_from_running(runner, monkeypatch, capsys):
    real = train.train

    def diverging(network, *args, about, **kwargs):
        if "flags" not in about:
            raise FloatingPointError("the loss is nan in epoch 1")
        return real(network, *args, about=about, **kwargs)

    monkeypatch.setattr(train, "train", diverging)
    with pytest.raises(FloatingPointError, match="s7, seed 0: the loss is nan"):
        runner()
    assert [entry["variant"] for entry in runner.read()[0]] == ["no dilation"]
    assert "s7, seed 0: the loss is nan" in capsys.readouterr().err  # at once, whatever becomes of the others


@pytest.mark.parametrize("study", experiments.STUDIES.values())
def test_studies_can_be_built(study):
    assert all(recipe.epochs == 7 for recipe in study.recipes(epochs=7).values())
    for variant in study.variants.values():
        create_model(variant.model, **variant.flags)


def test_settings_reach_the_run(runner):
    experiments.main(["trials", "--variants", "hole in 1/4", "--epochs", "1", "--device", "cpu",
                      "--runs", str(runner.path.parent), "--records", str(runner.path)])
    (record,), _ = read_records(runner.path, experiments.TRIALS.recipes(epochs=1))
    assert record["recipe"]["hole_prob"] == 0.25 and "--set hole_prob=0.25" in record["command"]


def test_an_unknown_variant(runner):
    with pytest.raises(ValueError, match="unknown variant 's9'; choose from: 's7', 'no dilation'"):
        runner("--variants", "s9")
