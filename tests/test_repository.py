"""What README, card, notebook and Makefile say about the same thing agrees."""
import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from models import create_model, list_models, model_card
from utils.augment import make_policy
from utils.recipes import ADDED_LATER, RECIPES
from utils.spec import spec_sheet
from utils.summary import format_stages, stage_table

README = Path("README.md").read_text()
NOTEBOOK = json.loads(Path("Assignments/S7/S7_Assignment.ipynb").read_text())
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
SHIPPED = {"s7": "s7", "s7_dilated": "s7_dilated", "s7_deep": "best"}  # a network's weights and the recipe that made them


def test_readme_shows_the_sheet_and_the_stages_that_are_measured():
    policy = make_policy(**RECIPES["s7"].policy)
    sheet = str(spec_sheet(create_model("s7"), policy, accuracy=model_card("s7")["test_accuracy"]))
    for line in (sheet + "\n" + format_stages(stage_table(create_model("s7")))).splitlines():
        assert "checkpoints" in line or line in README, f"README does not show: {line}"


@pytest.mark.parametrize("name", SHIPPED)
def test_readme_gives_the_figures_of_the_card(name):
    card = model_card(name)
    (row,) = (line for line in README.splitlines() if re.match(rf"\| `{name}`(, recipe `{SHIPPED[name]}`)? \|.* epochs, ", line))
    for figure in (f"**{card['test_accuracy']:.2%}**", f"{card['epochs']} epochs", f"seed {card['seed']}",
                   f"{card['wall_time_s'] / 60:.0f} min", card["machine"]["precision"],
                   f"{sum(p.numel() for p in create_model(name).parameters()):,}"):
        assert figure in row, f"{figure} is not in README's line on {name}"
    assert card["command"] in README and card["machine"]["device"] in README
    assert f"torch {card['machine']['torch'].split('+')[0]}" in README


def test_readme_gives_the_tutorials_figures_of_the_notebook():
    row = next(line for line in README.splitlines() if line.startswith("| `tutorial` "))
    printed = re.search(r"epoch   1/1 [^\\]* test [0-9.]+ +([0-9.]+%) +([0-9.]+) s", json.dumps(CODE))
    assert printed[1] in row and f" {float(printed[2]):.0f} s" in row


def test_the_cards_were_made_with_todays_recipes():
    assert list(SHIPPED) == list_models(pretrained=True)
    for name, recipe in SHIPPED.items():
        assert ADDED_LATER | model_card(name)["recipe"] == asdict(RECIPES[recipe])


def test_the_repository_address_is_the_same_everywhere():
    address = re.search(r"^REPOSITORY := (\S+)$", Path("Makefile").read_text(), re.M)[1]
    assert f"colab.research.google.com/github/{address}/blob/main/Assignments/S7/S7_Assignment.ipynb" in README
    assert f'"https://github.com/{address}.git"' in "".join(CODE[0]["source"])


def test_readmes_pictures_exist():
    pictures = re.findall(r"\((assets/[^)]+)\)", README)
    assert len(pictures) >= 7 and all(Path(picture).exists() for picture in pictures)


def test_hub_entries_are_the_models():
    import hubconf
    assert [name for name in vars(hubconf) if not name.startswith("_") and callable(getattr(hubconf, name))] == list_models()


@pytest.mark.parametrize("path", [str(path) for path in Path("Assignments").rglob("*.ipynb") if ".ipynb_" not in str(path)])
def test_notebooks_render_and_can_fail(path):
    notebook = json.loads(Path(path).read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert Path(path).stat().st_size < 1_500_000 and "widgets" not in notebook["metadata"] and len(code) <= 25
    assert all(cell["execution_count"] for cell in code), "a cell was never run"
    checked = [cell for cell in code if "nbval-check-output" in cell["metadata"].get("tags", ())]
    assert checked and all(cell["outputs"] for cell in checked)
    assert any("assert " in "".join(cell["source"]) for cell in code)
    outputs = json.dumps([cell["outputs"] for cell in code])
    assert "widget-view" not in outputs and '"output_type": "error"' not in outputs


def test_the_notebooks_outputs_are_those_of_the_full_run():
    settings = "".join("".join(output.get("text", "")) for output in CODE[1]["outputs"])
    assert settings.startswith("profile full")
    assert f"{model_card('s7')['test_accuracy']:.2%} of 10,000 test images" in json.dumps(CODE, ensure_ascii=False)
