"""torch.hub beside a user's own `models` and `utils`; README's lines from a picture to a class."""

import hashlib
import json
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from models import create_model
from utils.data import CIFAR10_MEAN, CIFAR10_STD

ROOT = Path(__file__).resolve().parent.parent
CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()


@pytest.fixture
def clone(tmp_path: Path) -> Callable[[str], Path]:
    """Makes copies of what torch.hub needs, with random weights for s7 and their card."""

    def copy(name: str) -> Path:
        folder = tmp_path / name
        shutil.copytree(ROOT / "models", folder / "models", ignore=shutil.ignore_patterns("*.pt"))
        shutil.copy(ROOT / "hubconf.py", folder)
        path = folder / "models" / "weights" / "s7.pt"
        torch.save(create_model("s7").state_dict(), path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        card = {"mean": CIFAR10_MEAN, "std": CIFAR10_STD, "classes": CLASSES, "sha256": sha256}
        path.with_suffix(".json").write_text(json.dumps(card))
        return folder

    return copy


def test_the_entry_points_build_their_networks():
    found = runpy.run_path(str(ROOT / "hubconf.py"))
    # What torch.hub.list shows: every callable whose name begins with a letter.
    entries = {name for name, entry in found.items() if callable(entry) and name[0] != "_"}
    assert entries == {"s7", "s7_dilated"} and found["dependencies"] == ["torch"]
    for name in entries:
        network = torch.hub.load(ROOT, name, source="local")
        assert network.state_dict().keys() == create_model(name).state_dict().keys()
        assert found[name].__doc__
    half = torch.hub.load(ROOT, "s7", source="local", width=0.5)
    assert half.O[2].weight.shape == (10, 48)


PROGRAM = """
import sys
{first}
import torch
modules, path = dict(sys.modules), list(sys.path)
network = torch.hub.load({clone!r}, "s7", source="local", pretrained=True)
assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 10) and len(network.card["classes"]) == 10
assert sys.path == path
assert all(sys.modules[name] is module for name, module in modules.items())
new = sys.modules.keys() - modules.keys()
assert not [name for name in new if name.split(".")[0] in ("models", "utils")], new
torch.save(network, "network.pt")  # pickle asks for the module of each class
copy = torch.load("network.pt", weights_only=False)
assert type(copy) is type(network)
{last}
print("finished")
"""
THEIRS = """
import models, utils
assert models.OWNER == utils.OWNER == "user" and not hasattr(models, "create_model")
"""


@pytest.mark.parametrize(
    "first, last, folders",
    [("", "", False), ("", THEIRS, True), (THEIRS, THEIRS, True)],
    ids=["no modules of their own", "folders beside the program", "imported before"],
)
def test_a_users_own_modules_are_left_alone(clone, tmp_path, first, last, folders):
    user = tmp_path / "user"
    for name in ("models", "utils"):
        (user / name).mkdir(parents=True)
        if folders:
            (user / name / "__init__.py").write_text('OWNER = "user"\n')
    program = user / "program.py"
    program.write_text(
        PROGRAM.format(clone=str(clone("our repository.git")), first=first, last=last)
    )
    run = subprocess.run([sys.executable, program], cwd=user, capture_output=True, text=True)
    assert run.stdout == "finished\n", run.stderr


def test_two_clones_in_one_program_do_not_mix(clone):
    first, second = clone("first"), clone("second")
    source = second / "models" / "s7.py"
    text = source.read_text(encoding="utf-8").replace("(32, 40, 80, 96)", "(8, 8, 8, 8)")
    source.write_text(text, encoding="utf-8")
    widths = [
        torch.hub.load(folder, "s7", source="local").O[2].in_features
        for folder in (first, second, first)
    ]
    assert widths == [96, 8, 96]


def test_the_lines_of_the_readme_name_the_class(clone, tmp_path, monkeypatch, capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    owner, name = re.search(r'torch\.hub\.load\("([^"/]+)/([^"/]+)", "s7"', lines).groups()
    # torch.hub takes what it has fetched before from its cache, here without a network.
    clone(f"hub/{owner}_{name}_main")
    monkeypatch.setattr(torch.hub, "urlopen", Mock(side_effect=URLError("no network here")))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    file = re.search(r'Image\.open\("([^"]+)"\)', lines)[1]
    Image.fromarray(pixels).save(file)

    exec(lines, names := {})

    network, image = names["network"], names["image"]
    small = np.asarray(ImageOps.fit(Image.open(file), (32, 32)))  # the middle square
    expected = (small / 255 - np.array(CIFAR10_MEAN)) / np.array(CIFAR10_STD)
    assert image.shape == (1, 3, 32, 32)
    assert np.allclose(image[0].permute(1, 2, 0), expected, atol=1e-5)
    label = CLASSES[int(network(image).argmax())]
    assert capsys.readouterr().out.split()[-1] == label
