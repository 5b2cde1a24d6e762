"""The benchmark's table, with too few images to say anything about speed."""

import json

import pytest

import bench


def test_the_table(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "IMAGES", 32)
    monkeypatch.setattr(bench, "ROUNDS", 1)
    file = tmp_path / "new" / "speed.jsonl"
    seconds = bench.main(["--workers", "0", "--device", "cpu", "--record", str(file)])
    assert json.loads(file.read_text())["seconds"] == seconds
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
    assert bench.fastest({"row": row}, bench.get_device("cpu")) == {"row": 3}
