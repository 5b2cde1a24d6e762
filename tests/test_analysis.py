"""What README, the analysis notebook and the records say agrees."""
import json
import re
from pathlib import Path

import pytest

from experiments import ANALYSIS, CLAIMS, FAST, LONG, TRIALS
from models import create_model, model_card
from utils.augment import make_policy
from utils.recipes import RECIPES
from utils.records import difference, read_records, summarize, verdict
from utils.spec import spec_sheet
from utils.summary import format_stages, stage_table

README = Path("README.md").read_text()
SECTION = README[README.index("## Analysis"):]
NOTEBOOK = json.loads(Path("Assignments/S7/S7_Analysis.ipynb").read_text())
OUTPUTS = "".join("".join(output.get("text", "")) for cell in NOTEBOOK["cells"] for output in cell.get("outputs", ()))
VARIANTS = ANALYSIS.variants
RECORDED, LEFT_OUT = read_records(ANALYSIS.records, ANALYSIS.recipes())


def test_the_records_are_whole():
    assert not LEFT_OUT
    assert len({json.dumps(record["machine"], sort_keys=True) for record in RECORDED}) == 1  # all on one machine
    seeds = {name: {record["seed"] for record in RECORDED if record["variant"] == name} for name in VARIANTS}
    assert all(seeds[name] == seeds["s7"] for name in VARIANTS if name != "s7_dilated") and len(seeds["s7"]) >= 3
    assert seeds["s7_dilated"]


@pytest.mark.parametrize("name", VARIANTS)
def test_the_records_are_of_todays_networks(name):
    rows = stage_table(create_model(VARIANTS[name].model, **VARIANTS[name].flags))
    for record in (record for record in RECORDED if record["variant"] == name):
        assert record["parameters"] == sum(row.parameters for row in rows)
        assert record["multiply_adds"] == sum(row.multiply_adds for row in rows)
        assert record["receptive_field"] == max(row.receptive_field or 0 for row in rows)


@pytest.mark.parametrize("claim", CLAIMS)
def test_readme_and_notebook_state_the_verdicts_of_the_records(claim):
    sentence, variant, baseline, more_than = claim
    gap = difference(RECORDED, variant, baseline)
    row = next(line for line in SECTION.splitlines() if line.startswith("|") and sentence in line)
    assert f"`{variant}` − `{baseline}` > {more_than:g}" in row and str(gap) in row and f"**{verdict(gap, more_than)}**" in row
    assert f"{sentence}: {verdict(gap, more_than).upper()}\n    {variant} minus {baseline}: {gap};" in OUTPUTS


@pytest.mark.parametrize("name", VARIANTS)
def test_readme_and_notebook_give_the_accuracies_of_the_records(name):
    mean, spread, seeds = summarize(RECORDED, name)
    accuracy = f"{mean:.2f}" + (f" ± {spread:.2f}" if spread is not None else "")
    record = next(record for record in RECORDED if record["variant"] == name)
    row = next(line for line in SECTION.splitlines() if line.startswith(f"| `{name}` "))
    printed = next(line for line in OUTPUTS.splitlines() if line.startswith(f"{name} "))
    for text in (row, printed):
        for figure in (accuracy, f"{record['parameters']:,}", f"{record['multiply_adds'] / 1e6:.1f} M", str(record["receptive_field"])):
            assert figure in text, f"{figure} is not in: {text}"


def test_readme_and_notebook_show_the_dilated_network():
    card = model_card("s7_dilated")
    assert card["test_accuracy"] >= 0.85 and f"{card['test_accuracy']:.2%}: {card['epochs']} epochs" in OUTPUTS
    for line in format_stages(stage_table(create_model("s7_dilated"))).splitlines():
        assert line in README and line in OUTPUTS


def test_readme_and_notebook_give_the_best_recipes_accuracies():
    card = model_card("s7_deep")
    printed = f"best: {card['test_accuracy']:.2%} of the test images after {card['epochs']} epochs, one run"
    mirrored = f"with mirror averaging: {card['mirrored_test_accuracy']:.2%}"
    assert printed in OUTPUTS and mirrored in OUTPUTS
    assert any(line.startswith(mirrored.capitalize()) for line in README.splitlines())
    sheet = spec_sheet(create_model("s7_deep"), make_policy(**RECIPES["best"].policy), accuracy=card["test_accuracy"])
    assert sheet.passed, str(sheet)


def test_readme_gives_the_figures_of_the_run_before_the_best():
    (record,), left_out = read_records(LONG.records, LONG.recipes())
    paragraph = README[README.index("**What bought the accuracy.**"):].split("\n\n")[0]
    assert not left_out and f"{record['epochs']} epochs" in paragraph
    assert f"{record['test_accuracy']:.2%}" in paragraph and f"{record['train_accuracy']:.2%}" in paragraph
    assert f"{model_card('s7_deep')['history'][-1]['train_acc']:.2%}" in paragraph


def test_readme_gives_the_fields_of_the_notebook():
    (sentence,) = re.findall(r"holds half of the gradient [^.]*\.", SECTION.replace("\n", " "))
    sides = re.findall(r"(\d+)×\1", sentence)
    assert len(sides) == 4
    assert sides == [re.search(rf"^{name} .* within +(\d+)×", OUTPUTS, re.M)[1]
                     for name in ("s7, untrained", "s7, trained", "s7_dilated, untrained", "s7_dilated, trained")]


def test_the_dilated_network_passes_the_sheet():
    sheet = spec_sheet(create_model("s7_dilated"))
    assert sheet.passed, str(sheet)
    assert "dilation alone: 32→28→18→12 (+200 points)" in str(sheet)


def test_readme_and_notebook_give_the_trials_of_the_records():
    trials, left_out = read_records(TRIALS.records, TRIALS.recipes())
    assert not left_out and len(trials) == len(TRIALS.variants)
    baseline = next(record["val_accuracy"] for record in trials if record["variant"] == "s7")
    for record in trials:
        row = next(line for line in SECTION.splitlines() if line.startswith(f"| {record['variant']} |"))
        printed = next(line for line in OUTPUTS.splitlines() if line.startswith(f"{record['variant']:27}") and "%" in line)
        gain = f"{100 * (record['val_accuracy'] - baseline):+.2f}"
        for text in (row.replace("−", "-"), printed):
            assert f"{record['val_accuracy']:.2%}" in text and gain in text


def test_a_few_epochs_are_enough():
    runs, left_out = read_records(FAST.records, FAST.recipes())
    mean, spread, seeds = summarize(runs, "s7_deep")
    assert not left_out and seeds >= 3 and mean >= 85 and RECIPES["fast"].epochs <= 8
    row = next(line for line in README.splitlines() if "`fast`" in line and line.startswith("| `s7_deep`"))
    assert f"{mean:.2f} ± {spread:.2f}%" in row and f"{RECIPES['fast'].epochs} epochs" in row
    assert f"fast: {mean:.2f} ± {spread:.2f}% of the test images after {RECIPES['fast'].epochs} epochs" in OUTPUTS


def test_readme_names_the_sources_of_what_others_published():
    for point in json.loads((ANALYSIS.records.parent / "published.json").read_text()):
        row = next(line for line in SECTION.splitlines() if line.startswith(f"| [{point['name']}]({point['source']})"))
        assert f"{point['parameters']:,}" in row and f"{point['test_accuracy']}" in row and point["parameters"] < 200_000
