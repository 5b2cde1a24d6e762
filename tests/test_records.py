"""Records that can be trusted: a line that does not belong is named and left out."""

import json
from dataclasses import asdict, replace

import pytest
from study_records import record

from experiments import STUDIES
from utils.report import accuracies, read_records

STUDY = STUDIES["analysis"]
RECIPE = STUDY["slim"].recipe
WANTED = {
    name: asdict(STUDY[name].recipe) | {"flags": STUDY[name].flags, "dataset": "CIFAR-10"}
    for name in ("slim", "dense")
}


def line(variant: str = "slim", seed=0, accuracy=0.8, **changes) -> str:
    return json.dumps(record("analysis", variant, seed, accuracy) | changes) + "\n"


def read(path, *lines: str) -> tuple[list[dict], list[str]]:
    path.write_bytes("".join(lines).encode("latin-1"))
    return read_records(path, WANTED)


@pytest.mark.parametrize(
    "bad, words",
    [
        (line()[:40], "half-written or foreign"),
        ("{}\n", "half-written or foreign (KeyError: 'variant')"),
        ("[1, 2]\n", "half-written or foreign"),
        ('"text"\n', "half-written or foreign"),
        ("\n", "half-written or foreign"),
        ("\xff\xfe\n", "half-written or foreign"),
        (line(seed=[1]), "half-written or foreign"),
        (line().replace('"slim"', '["slim"]', 1), "half-written or foreign"),
        (line("no dilation"), "variant no dilation, not one of: slim, dense"),
        (line(dataset="handwritten digits"), "dataset handwritten digits, not CIFAR-10"),
        (line(recipe=asdict(replace(RECIPE, lr=0.1))), "lr 0.1, not 0.03"),
        (line(recipe={}), "half-written or foreign"),
        (line(recipe=asdict(RECIPE) | {"mixup": 0.1}), "half-written or foreign"),
        (line(recipe=None), "half-written or foreign"),
        (line(flags={"width": 0.9}), "flags {'width': 0.9}, not {'pairs': [1,"),
        (line(history=[]), "no finished run"),
        (line(test_accuracy=float("nan")), "no finished run"),
        (line(seed=1), "slim, seed 1 once more"),
    ],
)
def test_bad_lines_are_named_and_left_out(tmp_path, bad, words):
    records, left_out = read(tmp_path / "a.jsonl", line(seed=1, accuracy=0.7), bad)
    assert accuracies(records, "slim") == {1: 70.0}
    assert len(left_out) == 1
    assert left_out[0].startswith("a.jsonl, line 2: ") and words in left_out[0]


def test_a_setting_that_is_younger_than_the_record_had_its_default(tmp_path):
    older = {name: value for name, value in asdict(RECIPE).items() if name != "label_smoothing"}
    records, left_out = read(tmp_path / "a.jsonl", line(recipe=older))
    assert len(records) == 1 and not left_out


def test_accuracies_are_percent_in_the_order_of_seeds():
    runs = [record("analysis", "slim", seed, 0.8 + seed / 100) for seed in (10, 2, 0)]
    runs.append(record("analysis", "dense", 1, 0.5))
    assert accuracies(runs, "slim") == pytest.approx({0: 80, 2: 82, 10: 90})
    assert list(accuracies(runs, "slim")) == [0, 2, 10]
    assert accuracies(runs, "no dilation") == {}
