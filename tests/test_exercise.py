"""The exercise, handed out and graded by nbgrader's own commands: right, wrong, broken answers."""

import copy
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import nn

from models import create_model
from utils.training import Run, get_recipe
from utils.training.checkpoint import save_checkpoint

pytest.importorskip("nbgrader", reason="needs nbgrader: pip install -r requirements-dev.txt")

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "course" / "source" / "S7" / "S7_Exercise.ipynb"
HANDED_OUT = ROOT / "Assignments" / "S7" / "S7_Exercise.ipynb"
POINTS = {
    "formula-check": 50,
    "down-check": 50,
    "separable-check": 50,
    "dilated-check": 50,
    "head-check": 50,
    "net-check": 400,
    "augmentation-check": 150,
    "run-check": 150,
    "extra-check": 200,
}
TIMEOUT = 40  # seconds: one cell hangs; another imports torch, maybe on a busy machine
HALVES = ("first", "second")  # of the class
LABEL = 3
# Every kernel of the test sees this in the place of CIFAR-10: 20 black images of one class.
STAND_IN = f"""
import numpy, torchvision.datasets
class CIFAR10:
    base_folder, classes = "cifar-10-batches-py", tuple("0123456789")
    filename = tgz_md5 = "none"
    data, targets = numpy.zeros((20, 32, 32, 3), numpy.uint8), [{LABEL}] * 20
    def __init__(self, *args, **kwargs): pass
torchvision.datasets.CIFAR10 = CIFAR10
"""
FAKE = """
import utils.grading
from utils.grading import Rule, SpecSheet
def spec_sheet(*args, **kwargs):
    names = [rule.name for rule in real(*args, **kwargs)]
    return SpecSheet(Rule("1", name, "", "", True) for name in names)
real = utils.grading.spec_sheet
utils.grading.spec_sheet = utils.grading.sheet.spec_sheet = spec_sheet
run_path = lambda path: {"award": lambda points, *args, **kwargs: sum(points.values())}
CHECK, dict = "nothing", None
"""
HEAD = "self.O = head(80)"
SMALL_VIEW = {
    "separable(80, 80), separable(80, 80))": "separable(80, 80))",
    "self.C4 = nn.Sequential(down(80, 80), separable(80, 80))": "self.C4 = down(80, 80)",
}
# What a hand-in changes in the right answers, and the points that it loses by that. A hand-in costs
# many seconds, so most have several mistakes, each of another rule.
WRONG = {
    "groups of 1, a black cutout, another network's checkpoint": (
        {"groups=channels": "groups=1", "80": "40", "fill=MEAN_PIXEL": "fill=(0.49, 0.48, 0.45)"},
        {
            "separable-check": 50,
            "net-check": 50,
            "augmentation-check": 50,
            "run-check": 50,
            "extra-check": 200,
        },
    ),
    "pooling in forward, dilation never called, a stride in the extra network": (
        {
            "dilated(48)": "conv(48, 48, padding=1)",
            HEAD: f"{HEAD}\n        self.C1[0][1].unused = dilated(4)\n\n"
            "    def forward(self, x):\n"
            "        return super().forward(nn.functional.max_pool2d(x, 3, 1, 1))",
            "conv(32, 64, dilation=5)": "down(32, 64)",
        },
        {"net-check": 100, "extra-check": 200},
    ),
    "a stride missing, 200,001 parameters": (
        {
            "(down(80, 80)": "(conv(80, 80, padding=1)",
            HEAD: f"{HEAD}\n        self.O.more = nn.Parameter(torch.zeros(200_001 - 181_402))",
        },
        {"net-check": 100},
    ),
    "flattened, untrained, and a warning that costs nothing": (
        {
            "nn.AdaptiveAvgPool2d(1), ": "",
            "nn.Linear(channels, 10)": "nn.Linear(channels * 16, 10)",
            HEAD: f"{HEAD}\n        __import__('warnings').warn('deprecated')",
        },
        {"head-check": 50, "net-check": 50, "run-check": 100, "extra-check": 200},
    ),
    "a mean of one size only": (
        {"nn.AdaptiveAvgPool2d(1)": "nn.AvgPool2d(7)"},
        {"head-check": 25, "net-check": 400, "run-check": 150, "extra-check": 200},
    ),
    "a small receptive field, and a sheet that is overwritten": (
        SMALL_VIEW | {"def predicted_field": f"{FAKE}\n\ndef predicted_field"},
        {"net-check": 50},
    ),
}
BROKEN = {  # a cell that hangs, one that raises, and a wrong name
    "r += (k - 1) * d * j": "import time; time.sleep(10_000)",
    "self.C2 = nn.Sequential(conv(16, 32, dilation=3)": "self.C2 = nn.Sequential(1 / 0",
    "augmentation = ": "transforms = ",
}


DELETED = {"tutorial", "head-check", "run-check", "extra", "extra-check"}


def damaged(notebook: dict) -> dict:
    """Cells deleted, one copied with its name, and what Colab does: no ids, a widget, a Drive."""
    notebook = copy.deepcopy(notebook)
    cells = [cell for cell in notebook["cells"] if cell["id"] not in DELETED]
    place = next(number for number, cell in enumerate(cells) if cell["id"] == "net")
    cells.insert(place, copy.deepcopy(cells[place]) | {"id": "old", "source": "1 / 0"})
    for cell in cells:
        text = "".join(cell["source"])
        cell["source"] = text.replace('RUN = Path.cwd() / "checkpoints"', 'RUN = Path("/drive/s7")')
        del cell["id"]
    assert sum("/drive/s7" in cell["source"] for cell in cells) == 1
    widgets = {"application/vnd.jupyter.widget-state+json": {}}
    notebook["metadata"]["widgets"] = widgets
    return notebook | {"cells": cells, "nbformat_minor": 4}


def edited(notebook: dict, edits: dict[str, str]) -> dict:
    """The notebook with texts replaced in its cells to fill in."""
    notebook, missing = copy.deepcopy(notebook), set(edits)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and cell["metadata"].get("nbgrader", {}).get("solution"):
            text = "".join(cell["source"])
            missing -= {old for old in edits if old in text}
            for old, new in edits.items():
                text = text.replace(old, new)
            cell["source"] = text
    assert not missing, f"nothing to replace: {missing}"
    return notebook


def network_of(notebook: dict) -> nn.Module:
    cells = {
        cell["metadata"].get("nbgrader", {}).get("grade_id"): "".join(cell["source"])
        for cell in notebook["cells"]
    }
    names = {"nn": nn, "torch": torch}
    for name in ("conv", "down", "separable", "dilated", "head", "net"):
        exec(cells[name], names)
    return names["Net"]()


def save(path: Path, network: nn.Module) -> None:
    """As a run of one epoch does."""
    run = Run(get_recipe("s7", epochs=1), 0, "CIFAR-10", "a test", history=[{"epoch": 1}])
    save_checkpoint(path, {"network": network.state_dict(), "run": run.to_dict()})


def answering(network: nn.Module, label: int) -> nn.Module:
    """The network with weights that answer `label` to every image."""
    bias = next(value for value in reversed(list(network.parameters())) if value.shape == (10,))
    nn.init.constant_(bias, 0)
    nn.init.constant_(bias[label], 1000)
    return network


def hand_in(submitted: Path, student: str, notebook: dict) -> None:
    folder = submitted / student / "S7"
    folder.mkdir(parents=True)
    (folder / "S7_Exercise.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    for name in () if student == "handed out" else ("best", "last"):
        network = answering(network_of(notebook), LABEL + ("untrained" in student))
        if "another network's checkpoint" in student and name == "best":
            network = create_model("tutorial")
        save(folder / "checkpoints" / f"{name}.pt", network)


class Course:
    """A course inside of a clone, as an instructor has one, and nbgrader's commands in it."""

    def __init__(self, clone: Path) -> None:
        self.folder, startup = clone / "course", clone / "ipython" / "profile_default" / "startup"
        for name in ("hubconf.py", "utils", "models"):
            (clone / name).symlink_to(ROOT / name)
        self.folder.mkdir()
        for name in ("check.py", "nbgrader_config.py"):
            shutil.copy(ROOT / "course" / name, self.folder)
        shutil.copytree(SOURCE.parent, self.folder / "source" / "S7")
        # Left by an instructor's own run: it must not take the place of a student's.
        save(self.folder / "source" / "S7" / "checkpoints" / "last.pt", create_model("tutorial"))
        startup.mkdir(parents=True)
        (startup / "stand_in.py").write_text(STAND_IN)
        (clone / "images" / "cifar-10-batches-py").mkdir(parents=True)
        self.environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "IPYTHONDIR": str(clone / "ipython"),
            "CIFAR10_ROOT": str(clone / "images"),
            # nbgrader calls alembic by its name.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def start(self, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "nbgrader", *arguments]
        places = {"cwd": self.folder, "env": self.environment}
        return subprocess.Popen(command, **places, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen) -> None:
    _, log = process.communicate()
    assert process.returncode == 0, log[-3000:]


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """The folder of a course where everybody has handed in and is graded.

    In two halves at the same time, each with a gradebook of its own: one waits for a hanging cell.
    """
    course = Course(tmp_path_factory.mktemp("clone"))
    finish(course.start("generate_assignment", "S7"))
    source = json.loads(SOURCE.read_text(encoding="utf-8"))
    notebooks = {
        "broken": edited(source, BROKEN),
        "damaged": damaged(source),
        "solution": source,
        "handed out": json.loads(HANDED_OUT.read_text(encoding="utf-8")),
    } | {student: edited(source, edits) for student, (edits, _) in WRONG.items()}
    for place, (student, notebook) in enumerate(notebooks.items()):
        hand_in(course.folder / HALVES[place % 2], student, notebook)
    running = []
    for half in HALVES:
        shutil.copy(course.folder / "gradebook.db", course.folder / f"{half}.db")
        places = f"--CourseDirectory.submitted_directory={half}", f"--db=sqlite:///{half}.db"
        running.append(course.start("autograde", "S7", f"--Execute.timeout={TIMEOUT}", *places))
    for process in running:
        finish(process)
    return course.folder


def grades(course: Path, student: str) -> dict[str, float]:
    from nbgrader.api import Gradebook

    half = next(half for half in HALVES if (course / half / student).exists())
    with Gradebook(f"sqlite:///{course / half}.db") as gradebook:
        (notebook,) = gradebook.find_submission("S7", student).notebooks
        return {grade.name: grade.auto_score for grade in notebook.grades}


def outputs(course: Path, student: str) -> dict[str, str]:
    """What the graded notebook shows below each code cell, as JSON."""
    path = course / "autograded" / student / "S7" / "S7_Exercise.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {cell["id"]: json.dumps(cell["outputs"]) for cell in cells if "outputs" in cell}


def test_the_students_notebook_is_what_the_source_generates(course):
    generated = course / "release" / "S7" / "S7_Exercise.ipynb"
    assert generated.read_bytes() == HANDED_OUT.read_bytes(), "run: make exercise"


def test_the_solution_gets_all_points_and_a_person_grades_the_analysis(course):
    assert grades(course, "solution") == POINTS | {"analysis": None}
    assert sum(POINTS.values()) + 50 == 1200


def test_the_notebook_as_handed_out_gets_none_and_raises_nothing(course):
    assert grades(course, "handed out") == dict.fromkeys(POINTS, 0) | {"analysis": 0}
    assert not any('"error"' in text for text in outputs(course, "handed out").values())


@pytest.mark.parametrize("student", WRONG)
def test_a_wrong_answer_loses_the_points_of_its_rule(course, student):
    found = grades(course, student)
    lost = {name: worth - found[name] for name, worth in POINTS.items() if found[name] != worth}
    assert lost == WRONG[student][1]


def test_a_broken_cell_loses_its_points_with_the_reason_and_the_others_count(course):
    reasons = {
        "formula-check": "CellTimeoutError",
        "extra-check": "ZeroDivisionError",
        "augmentation-check": "name 'augmentation' is not defined",
    }
    assert grades(course, "broken") == POINTS | dict.fromkeys(reasons, 0) | {"analysis": None}
    shown = outputs(course, "broken")
    assert all(reason in shown[check] for check, reason in reasons.items())


def test_deleted_cells_come_back_and_the_last_copy_counts(course):
    assert grades(course, "damaged") == POINTS | {"extra-check": 0, "analysis": None}
    path = course / "autograded" / "damaged" / "S7" / "S7_Exercise.ipynb"
    assert "widgets" not in json.loads(path.read_text(encoding="utf-8"))["metadata"]


def test_without_images_nobody_is_graded(course):
    command = [sys.executable, "-m", "nbgrader", "autograde", "S7"]
    places = {"cwd": course, "env": os.environ | {"CIFAR10_ROOT": "nowhere"}}
    done = subprocess.run(command, **places, capture_output=True, text=True)
    assert done.returncode and "nowhere holds no cifar-10-batches-py" in done.stderr


@pytest.fixture
def check(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    with mock.patch.dict(sys.modules):
        yield runpy.run_path(str(ROOT / "course" / "check.py"))


@pytest.fixture
def award(check):
    return check["award"]


@pytest.mark.parametrize("wrong", [lambda j, s: j + s - 1, lambda j, s: max(j, s)])
def test_a_formula_that_adds_strides_is_wrong(check, capsys, wrong):
    def predict(layers):
        r = j = 1
        for k, s, d in layers:
            r, j = r + (k - 1) * d * j, wrong(j, s)
        return r

    source = json.loads(SOURCE.read_text(encoding="utf-8"))["cells"]
    cell = next(cell for cell in source if cell["id"] == "formula-check")
    text = "".join(cell["source"]).partition("### BEGIN HIDDEN TESTS")[0]
    exec(text, names := {})
    assert check["award_formula"](predict, names["stacks"], 50) == 0
    text = capsys.readouterr().out
    assert "asked for 15 for the layers (3, 2, 1), (3, 2, 1), (3, 1, 1), found 1" in text


def test_a_network_that_does_not_run_is_told_part_by_part(award, capsys):
    network = nn.Sequential(conv(8), nn.Conv2d(9, 8, 3))
    assert award({"blocks": 50}, network, whole=True) == 0
    assert "0 gives 8×32×32, 1 raises it." in capsys.readouterr().out
    assert award({"blocks": 50}, nn.Sequential(), whole=True) == 0
    assert "No layer is stored as self.C1 to self.O" in capsys.readouterr().out


def test_a_checkpoint_that_runs_code_is_refused(award, tmp_path, capsys):
    torch.save({"network": {}, "run": Bomb()}, tmp_path / "last.pt")
    assert award({"test accuracy": 100}, create_model("tutorial"), run_dir=tmp_path) == 0
    assert "exploded" not in capsys.readouterr().out


SHAPE = {"shape": (8, 32, 32)}


@pytest.mark.parametrize(
    "part, options, points, words",
    [
        (lambda: conv(8, dilation=2), {"shape": (8, 32, 32), "layers": ((3, 1, 2),)}, 50, ""),
        (lambda: conv(8, dilation=3), {"layers": [(3, 1, 2)]}, 0, "are\n.*(3, 1, 3)"),
        (
            lambda: nn.Conv2d(3, 8, 3, padding=(1, 2), dilation=(1, 2)),
            {"layers": [(3, 1, 2)]},
            0,
            r"\(3, 1, \(1, 2\)\)",
        ),
        (
            lambda: nn.Sequential(conv(3), conv(8, dilation=2)),
            {"layers": [(3, 1, 2)]},
            0,
            r"should be\n +\(3, 1, 2\) and they are\n +\(3, 1, 1\), \(3, 1, 2\)",
        ),
        (lambda: None, SHAPE, 0, "do not run: .*\n +Does the function return its layer"),
        (lambda: nn.Conv2d(4, 8, 3), SHAPE, 0, "do not run: .*\n +Look at channels"),
        (lambda: nn.MaxPool2d(2), SHAPE, 0, r"8×32×32 \(channels.* it is 3×16×16.*\n.*a pooling"),
        (lambda: nn.Conv2d(3, 8, 3, 1, 2), SHAPE, 0, "it is 8×34×34.*\n +Is a stride missing"),
        (lambda: conv(9), SHAPE, 0, r"it is 9×32×32.\n +Look at channels"),
    ],
)
def test_a_part_runs_the_convolutions_that_its_step_asks_for(
    award, capsys, part, options, points, words
):
    network = nn.Sequential(part())  # torch takes None too
    assert award({"dilated convolution": 50}, network, **options) == points
    assert re.search(words, capsys.readouterr().out)


def conv(channels: int, dilation: int = 1) -> nn.Module:
    return nn.Conv2d(3, channels, 3, padding=dilation, dilation=dilation)


class Bomb:
    def __reduce__(self):
        return print, ("exploded",)


def test_the_accuracy_is_that_of_the_checkpoint_on_the_real_test_set(
    award, cifar10, tmp_path, capsys
):
    weights = answering(create_model("tutorial"), LABEL).state_dict()
    weights = {f"module.{name}": value for name, value in weights.items()}  # of DataParallel
    torch.save({"epoch": 3, "model_state_dict": weights}, tmp_path / "last.pt")
    assert award({"test accuracy": 100}, create_model("tutorial"), run_dir=tmp_path) == 0
    assert "10.00%" in capsys.readouterr().out  # 1,000 of the 10,000 images are of that class


def test_what_a_checkpoint_was_trained_for_is_looked_at(award, tmp_path, capsys):
    network = create_model("tutorial")
    run = {"recipe": {"cutout_prob": 0.0}}
    torch.save({"network": network.state_dict(), "run": run}, tmp_path / "last.pt")
    assert award({"test accuracy": 100}, network, run_dir=tmp_path) == 0
    assert "affine_prob or cutout_prob was 0; train with" in capsys.readouterr().out
    assert award({"test accuracy": 100}, create_model("s7"), run_dir=tmp_path) == 0
    assert "Net has changed since; delete the folder" in capsys.readouterr().out
