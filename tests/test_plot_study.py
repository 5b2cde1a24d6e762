"""What pictures show, read off their artists."""

from itertools import combinations

import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation, Text
from study_records import analysis, record

from experiments import FOLDER
from utils.report import (
    judge,
    plot_costs,
    plot_differences,
    plot_fields,
    plot_masks,
    plot_sizes,
    plot_time,
    read_plan,
)
from utils.training import get_recipe

PLAN = read_plan(FOLDER / "plan.json")
CURVES = {
    "separable": ["slim, width 0.7", "slim", "slim, width 1.5"],
    "dense": ["dense, same parameters", "dense, same multiply-adds", "dense"],
    "no dilation": ["no dilation"],
}
MEANS = {"slim, width 0.7": 78.5, "slim": 80, "no dilation": 79.9, "slim, width 1.5": 81.5}


def words(ax) -> list[Annotation]:
    return [text for text in ax.texts if isinstance(text, Annotation)]


@pytest.mark.parametrize("seeds", [0, 1, 3, 12])
def test_differences_show_every_seed(seeds):
    results = judge(PLAN, analysis(seeds))
    (ax,) = plot_differences(results).axes
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in dots] == [seeds] * 6
    assert dots[0].get_xdata() == pytest.approx(results[0].differences)
    means = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "D"]
    assert len(means) == (6 if seeds else 0)
    if seeds > 1:
        bars = [line for line in ax.lines if line.get_linewidth() == 2.5]
        assert [tuple(bar.get_xdata()) for bar in bars] == [result.interval for result in results]
    said = [text.get_text().split(", ")[-1] for text in ax.texts]
    assert said == [result.verdict for result in results]


def test_what_is_true_is_shaded():
    results = judge(PLAN, analysis(3))
    (ax,) = plot_differences(results).axes
    spans = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    assert spans[0] == (-0.5, 0.5) and spans[1][0] == 0 and spans[2][0] == 1
    assert spans[1][1] == spans[2][1] == ax.get_xlim()[1]
    shown = [gap for result in results for gap in result.differences]
    assert ax.get_xlim()[0] < min(shown) and max(shown) < ax.get_xlim()[1]


@pytest.mark.parametrize("seeds", [0, 1, 3, 12])
def test_costs_stand_at_their_true_place(seeds):
    records = analysis(seeds, **MEANS)
    fig = plot_costs(records, CURVES)
    for ax, key, unit in zip(fig.axes, ("parameters", "multiply_adds"), (1e3, 1e6), strict=True):
        names = {name for curve in CURVES.values() for name in curve}
        sizes = sorted(run[key] / unit for run in records[:8] if run["variant"] in names)
        curves = [line for line in ax.lines if line.get_marker() in ("o", "s", "D")]
        shown = sorted(x for line in curves for x in line.get_xdata())
        assert shown == pytest.approx(sizes)
        assert {text.get_text() for text in words(ax)} == (names if seeds else set())


def test_a_variant_without_runs_is_left_out_of_its_curve():
    records = [run for run in analysis(2) if run["variant"] in ("slim", "slim, width 1.5")]
    ax = plot_costs(records, CURVES).axes[0]
    assert {text.get_text() for text in words(ax)} == {"slim", "slim, width 1.5"}


def boxes(ax) -> list:
    ax.figure.canvas.draw()
    return [Text.get_window_extent(text) for text in words(ax)]


@pytest.mark.parametrize("accuracies", [[90] * 9 + [95], [84] + [95] * 9, range(86, 96)])
def test_names_step_aside_from_each_other_and_from_points(accuracies):
    points = [(f"network {y} {x}", 99_000 + 800 * x, y) for x, y in enumerate(accuracies)]
    (ax,) = plot_sizes({"ours": points, "none": []}, most=200_000, least=85).axes
    assert [text.get_text() for text in words(ax)] == [name for name, *_ in points]
    for one, other in combinations(boxes(ax), 2):
        assert not one.overlaps(other) and one.y0 < other.y0
    for box in boxes(ax):
        assert ax.bbox.x1 < box.x0 and box.x1 <= ax.figure.bbox.x1
        assert ax.bbox.y0 <= box.y0 and box.y1 <= ax.bbox.y1
    for text, (_, size, accuracy) in zip(words(ax), points, strict=True):
        assert text.xy == (size, accuracy) and text.arrow_patch
    assert list(ax.lines[0].get_xdata()) == [size for _, size, _ in points]


def test_time_is_cumulated_by_seed_and_device():
    machine, *others = (
        {"machine": {"device": name}} for name in ("another device", "a cpu, 1 thread", "a cpu, 2")
    )
    records = [record("results", "fast", seed, 0.9) for seed in (0, 1)]
    records += [record("results", "s7", 0, 0.95), record("results", "s7", 1, 0.95, calls=[machine])]
    records += [record("results", "teacher", 0, 0.99)]
    records += [record("results", "student", 0, 0.96, calls=[machine, *others, machine])]
    fig = plot_time(records, ["fast", "s7", "student"], least=85)
    (ax,) = fig.axes
    curves = [line for line in ax.lines if len(line.get_xdata()) > 2]
    assert len(curves) == 5 and ax.get_xscale() == "log"
    assert [text.get_text() for text in ax.texts] == ["the assignment: at least 85 %"]
    assert list(curves[0].get_xdata()) == [2, 4, 6, 8]
    assert curves[0].get_ydata()[-1] == pytest.approx(90)
    assert curves[0].get_color() == curves[1].get_color() != curves[2].get_color()
    assert curves[2].get_linestyle() != curves[3].get_linestyle()
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    epochs, student = get_recipe("s7").epochs, get_recipe("student").epochs
    assert names == [
        "fast: 4 epochs, test device",
        f"s7: {epochs} epochs, test device",
        f"s7: {epochs} epochs, another device",
        f"student: {student} epochs, another device, then a cpu",
    ]
    five = ["fast", "fast, SGD without EMA", "s7", "student", "fast, on a GPU"]
    (ax,) = plot_time([record("results", name, 0, 0.9) for name in five], five, least=85).axes
    assert len({line.get_color() for line in ax.lines if len(line.get_xdata()) > 2}) == 5


@pytest.mark.parametrize("count", [1, 2, 4])
def test_fields_fill_one_row(count):
    field = torch.zeros(33, 33)
    field[16, 16] = 1
    fig = plot_fields(*({place: one for place in range(count)} for one in (field, 21, 5)))
    *panels, bar = fig.axes
    assert len(panels) == count and bar.get_ylabel().startswith("mean gradient")
    for ax in panels:
        assert np.array_equal(ax.images[0].get_array(), field)
        assert ax.get_xlabel() == "half within 5×5 pixels"
        squares = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
        assert [square.get_width() for square in squares] == [21, 32, 5]
        assert all(square.get_center() == pytest.approx((0, 0)) for square in squares)


def test_masks_show_what_is_seen_the_right_way_up():
    mask = torch.zeros(3, 3, dtype=torch.bool)
    mask[0, 2] = True  # the upper right corner
    fig = plot_masks({"one": mask, "the others": ~mask})
    shown = fig.axes[0].collections[0].get_array().reshape(3, 3)
    assert shown[2, 2] and shown.sum() == 1  # rows are drawn upwards
    assert fig.axes[1].get_title() == "the others"
