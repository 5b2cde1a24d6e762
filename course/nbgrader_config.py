"""nbgrader's settings for the exercise; run its commands in this folder."""

import os
from pathlib import Path

from nbgrader.converters import Autograde
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_grade

HERE = Path(__file__).resolve().parent


class OwnTools(NbGraderPreprocessor):
    """Gives each check its tools anew, whatever a student's cells have put in their place."""

    def preprocess_cell(self, cell, resources, index):
        if cell.cell_type == "code" and is_grade(cell):
            tools = "from builtins import *\nfrom runpy import run_path\n"
            # nbgrader takes any line on stderr for a failure.
            tools += "import warnings\nwarnings.simplefilter('ignore')\n"
            cell.source = f"{tools}CHECK = {str(HERE / 'check.py')!r}\n{cell.source}"
        return cell, resources


c = get_config()  # noqa: F821  # nbgrader defines it

c.CourseDirectory.course_id = "s7"
# No "raise": what is left of a cell runs, and its check says what is wrong.
c.ClearSolutions.code_stub = {"python": "# YOUR CODE HERE"}
c.OverwriteCells.add_missing_cells = True  # a check that a student deleted is run all the same
c.Autograde.autograde_preprocessors = [OwnTools, *Autograde.autograde_preprocessors.default()]
# Who trains the source notebook leaves checkpoints beside it. They never replace a student's.
checkpoints = ["checkpoints/best.pt", "checkpoints/last.pt"]
c.Autograde.exclude_overwriting = {"S7": checkpoints}
c.Execute.timeout = 120  # seconds for a cell; 10,000 test images take about 20 on one CPU core

# With a folder named, nothing is downloaded: where the images are missing, the cell says so.
os.environ.setdefault("CIFAR10_ROOT", str(HERE.parent / "data"))
