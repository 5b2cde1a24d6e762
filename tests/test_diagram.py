"""The diagram says what the live network does."""

import pytest
from matplotlib.patches import FancyBboxPatch
from small_networks import good

from models import MODELS, create_model
from utils.report.diagram import draw_network, lanes
from utils.report.plot import frame
from utils.report.summary import run_blocks, stage_table


def boxes(network):
    return lanes(run_blocks(network))


def text(figure):
    return "\n".join(entry.get_text() for entry in figure.axes[0].texts)


def test_each_convolution_has_its_box_and_a_separable_one_has_one_box():
    c1, c2, c3, c4, o = boxes(good())
    assert [node.words for node in c1] == [["3×3", "3→8"], ["3×3", "dilation 2", "8→8"]]
    assert [node.kind for node in c1] == ["dense", "dense, dilated"]
    assert [node.strided for node in c2] == [True, False, False]
    assert [node.words for node in c4] == [
        ["3×3 depthwise", "stride 2", "1×1: 8→8"],
        ["3×3 depthwise", "1×1: 8→8"],
    ]
    assert [node.words for node in o] == [["global average", "of 4×4"], ["linear", "8→10"]]


def test_a_shortcut_goes_from_before_the_pair_to_the_sum():
    first, one, two, plus, three, four, last = boxes(create_model("s7"))[0]
    assert plus.kind == last.kind == "+"
    assert plus.inputs == [first, two]
    assert last.inputs == [plus, four]


def test_the_tutorials_poolings_are_boxes():
    words = [node.words for row in boxes(create_model("tutorial")) for node in row]
    assert words.count(["pooling", "of 28×28"]) == words.count(["pooling", "of 10×10"]) == 1
    assert sum(first == "linear" for first, *_ in words) == 3


@pytest.mark.parametrize("name", MODELS)
def test_the_picture_names_every_stage_with_its_map_and_receptive_field(name, tmp_path):
    network = create_model(name)
    figure = draw_network(network)
    frame(figure, name, "a\nb", tmp_path / "new" / "network.png")
    for stage in stage_table(network):
        assert "×".join(map(str, stage.shape)) in text(figure)
        assert stage.name in text(figure)
        if stage.receptive_field:
            assert f"{stage.receptive_field}×{stage.receptive_field}" in text(figure)
    assert figure.get_size_inches()[0] == 9
    assert (tmp_path / "new" / "network.png").stat().st_size < 150_000


def test_no_box_lies_under_the_output_however_long_a_block_is():
    figure = draw_network(create_model("s7", pairs=(4, 2, 2, 1)))
    axes = figure.axes[0]
    output = next(entry for entry in axes.texts if entry.get_text() == "output").get_position()[0]
    drawn = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    assert max(box.get_x() + box.get_width() for box in drawn) < output - 30
    assert figure.get_size_inches()[0] > 9
