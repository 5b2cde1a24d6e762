"""The benchmark's table, with too few images to say anything about speed."""
import functools

import torch

import bench


def test_the_table(capsys, monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    speed = bench.main(["--images", "128", "--workers", "0", "--device", "cpu"])
    lines = capsys.readouterr().out.splitlines()
    assert len(speed) == 8 and all(value > 0 for value in speed.values())
    assert [line[:3] for line in lines[2:6]] == ["(a)", "(b)", "(c)", "(d)"]
    for line, value in zip(lines[2:], speed.values()):
        of_usual, of_alone = map(float, line.split()[-2:])
        assert abs(of_usual - value / list(speed.values())[0]) < 0.006
        assert abs(of_alone - value / list(speed.values())[3]) < 0.006


def test_the_table_where_nothing_compiles(capsys, monkeypatch):
    def refuse(network, **options):
        raise RuntimeError("no compiler")
    monkeypatch.setattr(torch, "compile", refuse)
    assert len(bench.main(["--images", "128", "--workers", "0", "--device", "cpu"])) == 7
    assert "torch.compile does not work here (RuntimeError: no compiler)" in capsys.readouterr().err
