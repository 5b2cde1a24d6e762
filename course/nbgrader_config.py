"""nbgrader's settings for the exercise; run its commands in this folder."""

import os
import sys
from pathlib import Path

import nbformat
from nbgrader.converters import Autograde
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_grade

HERE = Path(__file__).resolve().parent
HANDED_OUT = HERE / "release" / "S7" / "S7_Exercise.ipynb"


class Restore(NbGraderPreprocessor):
    """Puts cells that a student deleted back behind those that stood before them.

    nbgrader itself would give up on such a hand-in, and on one with copied cells: 0 points.
    """

    def preprocess(self, nb, resources):
        nb.metadata.pop("widgets", None)  # Colab leaves one for which no feedback can be written
        for cell in nb.cells:
            if cell.metadata.get("nbgrader") == {}:  # a copy, made harmless by DeduplicateIds
                del cell.metadata["nbgrader"]
        # The first code cell finds the repository; all others need it.
        place = 1 + next((n for n, cell in enumerate(nb.cells) if cell.cell_type == "code"), -1)
        for cell in nbformat.read(HANDED_OUT, 4).cells:
            if name := grade_id(cell):
                found = [number for number, own in enumerate(nb.cells) if grade_id(own) == name]
                if not found:
                    if nb.nbformat_minor < 5:  # as Colab writes it: cells have no id
                        del cell["id"]
                    nb.cells.insert(place, cell)
                place = 1 + (found[0] if found else place)
        return nb, resources


def grade_id(cell: nbformat.NotebookNode) -> str | None:
    return cell.metadata.get("nbgrader", {}).get("grade_id")


class OwnTools(NbGraderPreprocessor):
    """Gives each check its tools anew, whatever a student's cells have put in their place."""

    def preprocess_cell(self, cell, resources, index):
        if cell.cell_type == "code" and is_grade(cell):
            tools = "from builtins import *\nfrom pathlib import Path\nfrom runpy import run_path\n"
            tools += "RUN = Path.cwd() / 'checkpoints'\n"  # at home it may have been on a Drive
            # nbgrader takes any line on stderr for a failure.
            tools += "import warnings\nwarnings.simplefilter('ignore')\n"
            cell.source = f"{tools}CHECK = {str(HERE / 'check.py')!r}\n{cell.source}"
        return cell, resources


c = get_config()  # noqa: F821  # nbgrader defines it

c.CourseDirectory.course_id = "s7"
# No "raise": what is left of a cell runs, and its check says what is wrong.
c.ClearSolutions.code_stub = {"python": "# YOUR CODE HERE"}
clear, deduplicate, *others = Autograde.sanitize_preprocessors.default()
c.Autograde.sanitize_preprocessors = [clear, deduplicate, Restore, *others]
c.Autograde.autograde_preprocessors = [OwnTools, *Autograde.autograde_preprocessors.default()]
# Who trains the source notebook leaves checkpoints beside it. They never replace a student's.
checkpoints = ["checkpoints/best.pt", "checkpoints/last.pt"]
c.Autograde.exclude_overwriting = {"S7": checkpoints}
c.Execute.timeout = 300  # seconds for a cell; 10,000 test images take about 20 on one CPU core

# With a folder named, nothing is downloaded.
images = Path(os.environ.get("CIFAR10_ROOT") or HERE.parent / "data").resolve()
os.environ["CIFAR10_ROOT"] = str(images)
if "autograde" in sys.argv and not (images / "cifar-10-batches-py").is_dir():
    sys.exit(
        f"{images} holds no cifar-10-batches-py, and without images nobody gets the points "
        "for test accuracy; let CIFAR10_ROOT name the folder that contains it"
    )
