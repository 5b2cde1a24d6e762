"""The benchmark's tables, with too few images to say anything about speed."""

from dataclasses import replace

import pytest

import bench
import train as script
from utils.data import DownloadError

QUICK = ["--images", "32", "--rounds", "1", "--workers", "0", "--device", "cpu"]


def test_the_table(capsys):
    seconds = bench.main([*QUICK, "--no-fast"])
    lines = capsys.readouterr().out.splitlines()
    assert len(seconds) == 4 and all(value > 0 for value in seconds.values())
    assert lines[0].endswith("workers 0") and lines[1].startswith("one epoch of 50,000 images")
    usual = seconds["the usual way"]
    for line, (name, value) in zip(lines[2:], seconds.items(), strict=True):
        assert line.startswith(name)
        shown, ratio = map(float, line[56:].split())
        assert shown == pytest.approx(value, abs=0.051)
        assert ratio == pytest.approx(usual / value, abs=0.051)


def test_the_fastest_round_counts_and_the_first_one_does_not(monkeypatch):
    clock, seconds = [0.0], iter([1, 5, 3, 7])

    def row():
        clock[0] += next(seconds)

    monkeypatch.setattr(bench, "perf_counter", lambda: clock[0])
    assert bench.fastest({"row": row}, 3, 10.0, bench.get_device("cpu")) == {"row": 30.0}


def test_the_time_to_the_goal(images, capsys, monkeypatch):
    ten = replace(images, name="CIFAR-10", classes=tuple("0123456789"))
    monkeypatch.setattr(script, "load_cifar10", lambda root: (ten, ten))
    monkeypatch.setattr(bench, "GOAL", 0.0)
    bench.time_to_goal(bench.get_device("cpu"))
    lines = capsys.readouterr().out.split("\n")
    assert lines[1] == "recipe fast, seed 0: 4 epochs"
    assert all("% of the test images after " in line for line in lines[2:6])
    assert all(line.endswith(" s *") for line in lines[2:6])


def test_without_data_the_recipe_is_left_out(capsys, monkeypatch):
    def offline(root):
        raise DownloadError("no mirror answers")

    monkeypatch.setattr(script, "load_cifar10", offline)
    bench.time_to_goal(bench.get_device("cpu"))
    assert "the recipe fast was left out: no mirror answers" in capsys.readouterr().out


def test_too_few_images(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--images", "0"])
    assert "--images and --rounds have to be at least 1" in capsys.readouterr().err
