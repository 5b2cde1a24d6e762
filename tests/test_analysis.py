"""The committed records and the analysis notebook agree."""

import json
import os
from functools import cache
from pathlib import Path

import pytest
from study_records import analysis

import tables
from experiments import FOLDER, STUDIES, measure
from models import create_model
from utils.report import stages_table, study_table

NOTEBOOK = json.loads(Path("Assignments/S7/S7_Analysis.ipynb").read_text(encoding="utf-8"))
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
RECORDED = [study for study in STUDIES if (FOLDER / f"{study}.jsonl").exists()]


@cache
def size(model: str, flags: str) -> dict[str, int]:
    return measure(model, json.loads(flags))


@pytest.mark.parametrize("study", RECORDED)
def test_the_records_are_whole(study, capsys):
    records = tables.read_study(study)
    assert records and not capsys.readouterr().err  # no line was left out
    for record in records:
        assert record["test_accuracy"] == record["history"][-1]["test_acc"]
        assert record["seconds"] == pytest.approx(
            sum(row["seconds"] for row in record["history"]), abs=0.1
        )


@pytest.mark.parametrize("study", [study for study in ("results", "analysis") if study in RECORDED])
def test_the_records_are_of_todays_networks(study):
    for record in tables.read_study(study):
        today = size(record["recipe"]["model"], json.dumps(record["flags"]))
        assert {name: record[name] for name in today} == today


def test_the_notebook_shows_the_tables_of_the_records():
    runs, longer = map(tables.read_study, ("analysis", "longer"))
    twice = f"{study_table('longer', longer)}\n\n{tables.verdicts(longer, claims=1)}"
    variants, stages = study_table("analysis", runs), stages_table(create_model("s7_dilated"))
    made = [tables.verdicts(runs), twice, variants, stages]
    data = [output.get("data", {}) for cell in CODE for output in cell["outputs"]]
    shown = ["".join(one["text/markdown"]) for one in data if "text/markdown" in one]
    assert shown == made and len(CODE) <= 20


def test_prose_holds_no_measured_figure():
    """A percentage or a mean ± spread in prose would have to be kept up to date by hand."""
    prose = "".join("".join(c["source"]) for c in NOTEBOOK["cells"] if c["cell_type"] == "markdown")
    prose = prose.replace("± 0.4 points", "")  # which the plan asked for
    assert "%" not in prose and "± 0" not in prose


@pytest.mark.parametrize(
    "seeds, variants",
    [(0, ()), (1, ("slim", "dense")), (3, ("slim", "dense", "no dilation"))],
)
def test_the_notebook_runs_with_any_records(seeds, variants, monkeypatch, tmp_path, capsys):
    """Every cell that reads the runs of the analysis, without those that measure networks."""
    records = [run for run in analysis(seeds) if run["variant"] in variants]
    monkeypatch.setattr(tables, "read_study", lambda study, *_, **__: records)
    scope = {"os": os, "Path": Path}
    for cell in CODE[1:7]:  # imports, verdicts, differences, longer runs, variants, costs
        exec("".join(cell["source"]), scope)
        scope |= {"PICTURES": tmp_path, "Markdown": print}
    pictures = sorted(path.name for path in tmp_path.iterdir())
    assert pictures == ["costs.png"]
    text = capsys.readouterr().out
    command = "python experiments.py analysis --seeds"
    assert text.count(f"No runs yet: {command} 0 1 2") == (0 if seeds else 1)
