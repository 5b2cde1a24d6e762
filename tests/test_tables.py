"""Tables say what the records say, and pages hold them between their markers."""

import json
from dataclasses import asdict

import pytest
from small_networks import total
from study_records import MACHINE, analysis, record

import tables
from experiments import FOLDER, STUDIES
from models import create_model
from utils.report import judge, markdown_table, read_plan
from utils.training import get_recipe


def cells(table: str) -> list[dict]:
    """The rows below the head of a table in Markdown, {head: cell}."""
    head, _, *rows = [line.strip("|").split("|") for line in table.splitlines() if "|" in line[:1]]
    return [
        {name.strip(): cell.strip() for name, cell in zip(head, row, strict=True)} for row in rows
    ]


def test_a_table_is_markdown():
    table = markdown_table(("name", "size:"), [("a|b", "1"), ("[c](http://x)", "20")], "A note.")
    assert table == (
        "| name | size |\n| --- | ---: |\n| a\\|b | 1 |\n| [c](http://x) | 20 |\n\nA note."
    )
    assert markdown_table(("name",), [("a",)]) == "| name |\n| --- |\n| a |"


def test_a_table_without_runs_says_how_to_make_them():
    sentence = "No runs yet: python experiments.py {} --seeds 0 1 2".format
    assert all(tables.study_table(study, []) == sentence(study) for study in STUDIES)


def test_results():
    runs = [record("results", "s7", seed, 0.9 + seed / 100) for seed in (0, 2)]
    machines = [
        MACHINE | {"device": name} for name in ("a GPU", "a cpu, 1 thread", "a cpu, 2 threads")
    ]
    calls = [{"command": f"a --jobs {4 - i}", "machine": one} for i, one in enumerate(machines)]
    runs += [record("results", "fast", 0, 0.85, calls=calls)]
    s7, fast = cells(tables.study_table("results", runs))
    assert (fast["recipe"], fast["seeds"], fast["test accuracy (%)"]) == ("fast", "1", "85.00")
    assert fast["device and version"] == (
        "a GPU, float32, torch 2.0, 4 at once, then a cpu, 2 threads, float32, torch 2.0, 2 at once"
    )
    on_another = [{"command": "a", "machine": machines[0]}]
    seconds = [run["seconds"] for run in runs[:2]]
    (mixed,) = cells(tables.study_table("results", [runs[0], runs[1] | {"calls": on_another}]))
    assert "; " in mixed["device and version"] and "then" not in mixed["device and version"]
    assert mixed["seconds a run"] == f"{seconds[0]:.0f}; {seconds[1]:.0f}"
    epochs = get_recipe("s7").epochs
    assert s7 == {
        "recipe": "s7",
        "parameters": "100,000",
        "epochs": f"{epochs}",
        "seeds": "2",
        "test accuracy (%)": "91.00 ± 1.41",
        "seconds a run": f"{2 * epochs}",
        "device and version": "test device, float32, torch 2.0",
    }


def test_trials_are_sorted_by_what_they_gained_at_equal_seeds():
    runs = [record("trials", "start", 0, 0.8), record("trials", "start", 1, 0.82)]
    runs += [record("trials", "lr 0.05", 0, 0.9), record("trials", "deep and narrow", 0, 0.7)]
    runs[2]["test_accuracy"] = 0.1  # has no say
    rows = cells(tables.study_table("trials", runs))
    assert [row["trial"] for row in rows] == ["lr 0.05", "start", "deep and narrow"]
    assert [row["gained"] for row in rows] == ["+10.00", "+0.00", "−10.00"]
    assert rows[1]["validation accuracy (%)"] == "81.00" and rows[1]["seeds"] == "2"
    alone = cells(tables.study_table("trials", runs[2:]))  # nothing to compare with
    assert [row["gained"] for row in alone] == ["", ""]


@pytest.mark.parametrize("seeds", [1, 3])
def test_variants(seeds):
    records = [run for run in analysis(seeds) if run["variant"] != "dense"]
    rows = cells(tables.study_table("analysis", records))
    assert [row["variant"] for row in rows] == [
        name for name in STUDIES["analysis"] if name != "dense"
    ]
    for row in rows:
        assert row["seeds"] == f"{seeds}" and ("±" in row["test accuracy (%)"]) == (seeds > 1)
    assert rows[0]["parameters"] == "100,000" and rows[0]["multiply-adds"] == "40.0 M"
    assert rows[0]["receptive field"] == "113"


def test_a_note_names_each_way_that_runs_were_made():
    runs = [record("longer", "no dilation"), record("longer", "slim")]
    made = tables.study_table("longer", runs).splitlines()[-1]
    assert made == "A run took, on average: 60 seconds on test device, float32, torch 2.0."
    together = [{"command": "a --jobs 2", "machine": MACHINE}]
    runs[0] |= {"calls": together, "seconds": 90.0}
    made = tables.study_table("longer", runs).splitlines()[-1]
    ways = "90 seconds on test device, float32, torch 2.0, 2 at once; 60 seconds on test device"
    assert made == f"A run took, on average: {ways}, float32, torch 2.0."


@pytest.mark.parametrize("seeds", [0, 1, 3, 12])
def test_verdicts(seeds):
    results = judge(read_plan(FOLDER / "plan.json"), analysis(seeds))
    rows = cells(tables.verdicts(analysis(seeds)))
    assert cells(tables.verdicts(analysis(seeds), claims=1)) == rows[:1]
    for row, result in zip(rows, results, strict=True):
        assert row["difference"] == result.claim.difference and row["seeds"] == f"{seeds}"
        assert (row["sentence"], row["verdict"]) == (result.claim.sentence, result.verdict)
        mean = sum(result.differences) / seeds if seeds else None
        assert row["points"] == (f"{mean:+.2f}".replace("-", "−") if seeds else "")
        low, high = result.interval
        words = f"{low:+.2f} to {high:+.2f}".replace("-", "−") if seeds > 1 else ""
        assert row["96.7% interval"] == words
    assert [row["true if"] for row in rows[:3]] == ["within ±0.5", "above 0", "above 1"]


def test_published_names_its_sources():
    points = json.loads((FOLDER / "published.json").read_text(encoding="utf-8"))
    table = tables.published()
    accuracies = [float(row["test accuracy (%)"]) for row in cells(table)]
    assert accuracies == sorted(accuracies) and len(accuracies) == len(points)
    for point in points:
        assert f"[{point['name']}]({point['source']}) | {point['parameters']:,}" in table


def test_the_shipped_network_keeps_every_rule():
    rows = cells(tables.rules())
    assert len(rows) == 14 and "FAIL" not in {row["verdict"] for row in rows}


def test_the_card_and_its_recipe_make_the_rules(monkeypatch):
    network = create_model("s7")
    recipe = asdict(get_recipe("s7", affine_prob=0.75))
    network.card = {"test_accuracy": 0.8, "recipe": recipe}
    monkeypatch.setattr(tables, "create_model", lambda name, pretrained: network)
    rows = {row["rule"]: row for row in cells(tables.rules())}
    assert rows["8 test accuracy"]["measured"] == "80.00%"
    assert rows["8 test accuracy"]["verdict"] == "FAIL"
    assert rows["7 shift-scale-rotate"]["measured"].endswith("p = 0.75")


# --- pages ------------------------------------------------------------------------------------

TABLES = {"a": lambda: "A\nA", "b": lambda: "B"}
PAGE = "Before\n<!-- table a -->\nold\n<!-- end a -->\nbetween <!-- table b --><!-- end b --> after"


def test_tables_stand_between_their_markers():
    page, stale = tables.fill(PAGE, TABLES)
    assert page == (
        "Before\n<!-- table a -->\n\nA\nA\n\n<!-- end a -->\nbetween "
        "<!-- table b -->\n\nB\n\n<!-- end b --> after"
    )
    assert stale == ["a", "b"]
    assert tables.fill(page, TABLES) == (page, [])
    assert tables.fill("no tables", TABLES) == ("no tables", [])


@pytest.mark.parametrize(
    "page",
    [
        "<!-- table a -->\n",
        "<!-- end a -->\n",
        "<!-- table a -->\n<!-- end b -->",
        "<!-- table a -->\n<!-- table b -->\n<!-- end b -->",
        "<!-- table a --><!-- table b --><!-- end b --><!-- end a -->",
    ],
)
def test_a_marker_without_its_partner_is_refused(page):
    with pytest.raises(ValueError, match=f"{page.split('>')[0]}> has no partner"):
        tables.fill(page, TABLES)


@pytest.fixture
def page(tmp_path, monkeypatch):
    path = tmp_path / "README.md"
    path.write_text(PAGE, encoding="utf-8")
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr(tables, "PAGES", (path,))
    monkeypatch.setattr(tables, "TABLES", TABLES)
    return path


def test_check_writes_nothing_and_fails_until_the_page_is_up_to_date(page, capsys):
    with pytest.raises(ValueError, match="README.md: a, b out of date; run: python tables.py"):
        tables.main(["--check"])
    assert page.read_text(encoding="utf-8") == PAGE
    tables.main([])
    assert "README.md: a, b written" in capsys.readouterr().out
    tables.main(["--check"])
    assert capsys.readouterr().out == "README.md: up to date\n"


def test_a_wrong_marker_leaves_its_page_as_it_is(page):
    wrong = PAGE + "<!-- table z --><!-- end z -->"
    page.write_text(wrong, encoding="utf-8")
    with pytest.raises(ValueError, match="there is no table 'z'; choose one of: a, b"):
        tables.main([])
    assert page.read_text(encoding="utf-8") == wrong


def test_the_committed_pages_are_up_to_date():
    tables.main(["--check"])


def test_a_record_of_another_network_is_left_out(tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    right = total(create_model("s7", **STUDIES["analysis"]["slim"].flags))
    lines = [record("analysis", "slim", 0, parameters=right), record("analysis", "slim", 1)]
    path.write_text("\n".join(map(json.dumps, lines)))
    assert [run["seed"] for run in tables.read_study("analysis", path)] == [0]
    said = capsys.readouterr().err
    assert said == f"left out: a.jsonl, line 2: parameters 100000, not {right}\n"
