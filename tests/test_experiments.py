"""Studies: a line for each finished run, nothing is run twice and nothing is lost."""

import json
import pickle
from functools import partial

import pytest
import torch
from small_networks import total
from tiny_runs import stopped_after

import experiments
import train as script
import utils.training.run as loop
from models import create_model
from utils.training import STUDIES, get_recipe, load_checkpoint
from utils.training.studies import Variant

NAMES = ["fast", "plain"]
ERRORS = [FloatingPointError("nan"), ValueError("too odd"), torch.OutOfMemoryError("too large")]
TEACHERS = ("small/fast-0", "small/plain-0")


@pytest.fixture
def runner(noise, tmp_path, monkeypatch):
    """experiments.main on noise and small variants; it returns how many epochs it trained."""
    small = {"model": "tutorial", "images": 60, "epochs": 2, "batch_size": 16, "val_images": 6}
    variants = {
        "taught": Variant(get_recipe("s7", temperature=2.0, **small), teachers=TEACHERS),
        "fast": Variant(get_recipe("s7", lr=0.05, **small)),
        "plain": Variant(get_recipe("s7", **small)),
    }
    monkeypatch.setitem(STUDIES, "small", variants)
    real, trained = loop.train_epoch, []
    monkeypatch.setattr(loop, "train_epoch", lambda *args: trained.append(args) or real(*args))

    def call(*more, variants=NAMES):
        trained.clear()
        folders = ["--runs", str(tmp_path / "runs"), "--records", str(call.path)]
        experiments.main(["small", "--variants", *variants, "--device", "cpu", *folders, *more])
        return len(trained)

    call.path = tmp_path / "a.jsonl"
    call.read = lambda: experiments.read_study("small", call.path)
    call.names = lambda: [(entry["variant"], entry["seed"]) for entry in call.read()]
    return call


def test_a_variant_has_teachers_where_its_recipe_wants_some():
    for variant in (variant for study in STUDIES.values() for variant in study.values()):
        assert bool(variant.teachers) == bool(variant.recipe.temperature)


def test_variants_are_what_their_names_say():
    def parameters(name):
        return total(create_model("s7", **STUDIES["analysis"][name].flags))

    assert parameters("no dilation") == parameters("slim") < parameters("dense")
    assert parameters("dense, same parameters") == pytest.approx(parameters("slim"), rel=0.02)
    assert parameters("slim, width 0.7") < parameters("slim") < parameters("slim, width 1.5")


def test_a_line_for_each_run_and_nothing_is_repeated(runner, capsys):
    assert runner() == 4
    records = runner.read()
    assert runner.names() == [("fast", 0), ("plain", 0)]
    first = records[0]
    assert first["parameters"] == 62_006 and first["multiply_adds"] == 651_720
    assert first["test_accuracy"] == first["history"][-1]["test_acc"]
    assert first["val_accuracy"] == first["history"][-1]["val_acc"]
    assert first["calls"][0]["machine"]["torch"] == torch.__version__
    assert first["recipe"]["lr"] == 0.05 and records[1]["recipe"]["lr"] == 0.03
    assert first["command"].startswith("python experiments.py small --variants fast plain")
    text = runner.path.read_text()
    capsys.readouterr()
    assert runner() == 0 and runner.path.read_text() == text
    assert f"0 runs to do; 2 are in {runner.path} already" in capsys.readouterr().out
    assert runner("--seeds", "0", "1", "1", variants=[*NAMES, "fast"]) == 4  # named twice: one run
    assert runner.names()[2:] == [("fast", 1), ("plain", 1)]


def test_it_goes_on_where_it_was_stopped(runner, tmp_path):
    # In the second epoch of the first run.
    with stopped_after(6, KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        runner()
    assert runner.names() == [] and not (tmp_path / "runs/small/plain-0").exists()
    assert runner() == 3 and len(runner.names()) == 2
    state = load_checkpoint(tmp_path / "runs/small/fast-0/last.pt")
    assert len(state["run"]["history"]) == 2


def test_a_run_finished_but_not_recorded_is_only_recorded(runner):
    runner()
    kept = runner.path.read_text().splitlines(keepends=True)
    runner.path.write_text(kept[0] + kept[1][:60])
    assert runner() == 0
    assert len(runner.read()) == 2
    assert json.loads(runner.path.read_text().splitlines()[-1]) == json.loads(kept[1])


def test_no_jobs(runner):
    with pytest.raises(ValueError, match="--jobs is 1 or more, not 0"):
        runner("--jobs", "0")


@pytest.mark.parametrize("error", ERRORS)
def test_a_run_that_fails_does_not_keep_the_others_from_running(runner, monkeypatch, capsys, error):
    real = script.train

    def failing(network, train_set, test_set, run, *args, **options):
        if run.recipe.lr == 0.05:
            raise error
        return real(network, train_set, test_set, run, *args, **options)

    monkeypatch.setattr(script, "train", failing)
    with pytest.raises(ValueError, match=f"^fast, seed 0: {error}$"):
        runner()
    assert runner.names() == [("plain", 0)]
    assert f"fast, seed 0: {error}" in capsys.readouterr().err  # at once, for long studies


def test_a_disk_that_is_full_stops_the_study(runner, monkeypatch):
    def full(*args, **options):
        raise OSError("last.pt could not be written")

    monkeypatch.setattr(script, "train", full)
    with pytest.raises(OSError, match="could not be written"):
        runner()


def test_teachers_come_first(runner):
    assert runner(variants=["taught", "fast", "plain"]) == 6
    assert runner.names() == [("fast", 0), ("plain", 0), ("taught", 0)]
    commands = [teacher["command"] for teacher in runner.read()[2]["teachers"]]
    assert len(commands) == 2 and all("experiments.py" in command for command in commands)


def test_a_teacher_that_is_missing_is_named_before_the_first_run(runner):
    with pytest.raises(ValueError, match="'taught' learns from .*fast-0, .* --variants fast --see"):
        runner(variants=["taught", "plain"])
    assert not runner.path.exists()
    assert runner(variants=NAMES) == 4 and runner(variants=["taught"]) == 2  # trained before


def test_a_teacher_that_diverges_is_named(runner, monkeypatch):
    real = experiments.run_recipe

    def diverge(recipe, *args, **kwargs):
        if recipe.lr == 0.05:
            raise FloatingPointError("nan")
        return real(recipe, *args, **kwargs)

    monkeypatch.setattr(experiments, "run_recipe", diverge)
    with pytest.raises(ValueError, match="nan; taught, seed 0: there is no .*fast-0/last.pt; tra"):
        runner(variants=["taught", *NAMES])
    assert runner.names() == [("plain", 0)]


def test_bad_arguments(runner, tmp_path):
    with pytest.raises(ValueError, match="unknown variant 's9'; choose from: 'taught', 'fast'"):
        runner(variants=["s9"])
    with pytest.raises(ValueError, match="no device 'tpu'"):
        runner("--device", "tpu")
    runner.path = tmp_path / "file" / "a.jsonl"
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file can't be made or written as a folder"):
        runner()


def test_jobs_get_all_they_need_in_a_parcel(runner, monkeypatch):
    """With --jobs each run starts in a new process: its function travels there as bytes."""

    def run_all(todo, start, finish, jobs):
        assert jobs == 2 and loaded == [True]
        for pair in todo:
            finish(*pair, partial(pickle.loads(pickle.dumps(start)), *pair))

    loaded = []  # before the jobs, or each would download the images
    monkeypatch.setattr(experiments, "load_cifar10", lambda: loaded.append(True))
    monkeypatch.setattr(experiments, "run_all", run_all)
    assert runner("--jobs", "2") == 4 and runner.names() == [("fast", 0), ("plain", 0)]
