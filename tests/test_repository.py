"""What a visitor meets first: README, notebooks, addresses and the make commands."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "Assignments/S7/README.md"]
NOTEBOOKS = sorted(
    path for path in ROOT.glob("Assignments/**/*.ipynb") if ".ipynb_" not in str(path)
)
needs_make = pytest.mark.skipif(not shutil.which("make"), reason="needs make")


def test_readme_is_one_screen():
    text = PAGES[0].read_text(encoding="utf-8")
    assert len(text.split()) <= 900 and len(text.splitlines()) <= 130


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    here = [link for link in links if not link.startswith("http")]
    assert len(here) >= 5
    assert not [link for link in here if not (page.parent / link).exists()]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_executed_and_open_clean(path: Path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert path.stat().st_size < 1_000_000 and len(code) <= 25
    assert max(len("".join(cell["source"]).splitlines()) for cell in code) <= 45
    assert "widgets" not in notebook["metadata"]
    if path.name != "S7_Exercise.ipynb":  # the student runs it
        counts = [cell["execution_count"] for cell in code]
        assert counts == list(range(1, len(code) + 1)), "not run from top to bottom"
    outputs = [output for cell in code for output in cell["outputs"]]
    kinds = {output.get("name") or output["output_type"] for output in outputs}
    assert kinds <= {"stdout", "display_data", "execute_result"}
    private = r"widget-view|site-packages|/home/|/root/|/Users/|/work/"
    assert not re.search(private, json.dumps(outputs))


def address() -> str:
    return re.search(
        r"^REPOSITORY := (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M
    )[1]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_the_address_is_the_same_everywhere(path: Path):
    badge = f"colab.research.google.com/github/{address()}/blob/main/{path.relative_to(ROOT)}"
    assert badge in PAGES[0].read_text(encoding="utf-8")
    assert f"https://github.com/{address()}.git" in path.read_text(encoding="utf-8")


@needs_make
def test_make_address_takes_any_form_and_can_be_repeated(tmp_path: Path):
    source = ROOT / "course/source/S7/S7_Exercise.ipynb"
    for path in (ROOT / "Makefile", *PAGES, *NOTEBOOKS, source):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    for given, written in {
        "https://github.com/ada/first.git": "ada/first",
        "git@github.com:grace/second.git": "grace/second",
        "alan/third": "alan/third",
    }.items():
        subprocess.run(["make", "address", f"ADDRESS={given}"], cwd=tmp_path, check=True)
        for name in ("Makefile", "README.md", "Assignments/S7/S7_Assignment.ipynb"):
            text = (tmp_path / name).read_text(encoding="utf-8")
            assert written in text and address() not in text
    wrong = subprocess.run(
        ["make", "address", "ADDRESS=no address"], cwd=tmp_path, capture_output=True, text=True
    )
    assert wrong.returncode and "is no GitHub address" in wrong.stdout
    assert not list(tmp_path.rglob("*.bak"))
