"""Pictures: their captions are the run's, and they show the numbers that they are given."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from utils.report.plot import (
    caption,
    frame,
    overlay,
    plot_confusion,
    plot_curves,
    plot_images,
    save_curves,
)
from utils.training import RECIPES, Run

MACHINE = {"device": "a GPU", "precision": "bfloat16", "torch": "2.15.0"}


def history(epochs=3, names=("train", "val", "test")):
    row = {f"{name}_{kind}": 0.5 for name in names for kind in ("loss", "acc")}
    return [row | {"epoch": epoch, "lr": 0.1, "seconds": 60} for epoch in range(1, epochs + 1)]


def run(**changes):
    calls = [
        {"command": "an earlier call", "machine": MACHINE | {"device": "a CPU"}},
        {"command": "python train.py", "machine": MACHINE},
    ]
    settings = {"seed": 7, "dataset": "CIFAR-10", "command": "none", "calls": calls}
    return Run(RECIPES["quick"], **settings | {"history": history()} | changes)


def test_a_caption_names_all_that_made_a_picture():
    assert caption(run()) == (
        "CIFAR-10 · s7 · 3 epochs · seed 7 · a CPU, bfloat16, then a GPU, bfloat16 · 3.0 min · "
        "torch 2.15.0\npython train.py"
    )


def test_a_caption_says_that_a_run_is_unfinished_or_has_flags():
    assert "· 2 of 3 epochs ·" in caption(run(history=history(2)))
    assert "· s7, dilation=False ·" in caption(run(flags={"dilation": False}))


def test_curves_show_three_sets_and_the_learning_rate():
    accuracy, loss, rate = plot_curves(history()).axes
    for ax, value in ((accuracy, "50.00%"), (loss, "0.500")):
        labels = [entry.get_text() for entry in ax.get_legend().get_texts()]
        assert labels == [f"{name} {value}" for name in ("training", "validation", "test")]
    assert list(rate.lines[0].get_ydata()) == [0.1] * 3


def test_curves_do_without_a_validation_set():
    accuracy, *_ = plot_curves(history(names=("train", "test"))).axes
    assert len(accuracy.lines) == 2


def test_the_four_files_of_the_assignment_have_equal_axes(tmp_path, monkeypatch):
    limits = {}

    def keep(fig, title, note, path):
        limits[path.name] = fig.axes[0].get_ylim()

    monkeypatch.setattr("utils.report.plot.frame", keep)
    rows = history()
    rows[0] |= {"train_loss": 2.0, "train_acc": 0.2}
    save_curves(rows, tmp_path, "title")
    assert limits.keys() == {"trainacc.png", "trainloss.png", "testacc.png", "testloss.png"}
    assert limits["trainacc.png"] == limits["testacc.png"]
    assert limits["trainloss.png"] == limits["testloss.png"]
    assert limits["trainloss.png"][1] > 2 and limits["trainacc.png"][0] < 20
    assert not plt.get_fignums(), "they are saved, not shown"


def test_a_frame_has_room_for_title_and_note(tmp_path):
    figure = plot_curves(history())
    height = figure.get_figheight()
    assert frame(figure, "title", "two\nlines", tmp_path / "new" / "curves.png") is figure
    assert figure.get_suptitle() == "title" and figure.get_supxlabel() == "two\nlines"
    assert figure.get_figheight() > height + 0.5
    assert (tmp_path / "new" / "curves.png").exists()


def test_colours_of_a_confusion_matrix_are_the_mistakes():
    matrix = np.diag([900, 800, 700]) + np.array([[0, 5, 0], [40, 0, 0], [0, 0, 0]])
    shown = plot_confusion(matrix, "abc").axes[0].images[0]
    assert shown.get_array().mask.diagonal().all(), "right answers have no colour"
    assert shown.get_clim() == (0, 40)


def test_a_perfect_confusion_matrix_can_be_drawn():
    assert plot_confusion(np.diag([1, 1]), "ab").axes[0].images[0].get_clim() == (0, 1)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5])
def test_a_grid_shows_each_image_under_its_title(count):
    images = np.zeros((count, 32, 32, 3), dtype=np.uint8)
    figure = plot_images(images, [f"title {i}" for i in range(count)], columns=4)
    shown = [ax.get_title() for ax in figure.axes if ax.images]
    assert shown == [f"title {i}" for i in range(count)]


def test_an_overlay_is_bright_where_the_map_is():
    images = np.full((1, 4, 4, 3), 100, dtype=np.uint8)
    maps = np.zeros((1, 4, 4))
    maps[0, 0, 0] = 1
    result = overlay(images, maps)
    assert result.dtype == np.uint8 and result.shape == images.shape
    assert result[0, 0, 0].sum() > 2 * result[0, 3, 3].sum()
