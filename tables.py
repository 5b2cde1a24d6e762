#!/usr/bin/env python3
"""Write the tables of the pages from records, cards and networks, and say with --check if they are.

A table stands between the lines ``<!-- table NAME -->`` and ``<!-- end NAME -->``.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

from torch import nn

from experiments import FOLDER, STUDIES
from models import create_model, list_models, model_card
from utils.data import make_augmentation
from utils.grading import spec_sheet
from utils.report import (
    Table,
    check_plan,
    judge,
    published_table,
    read_plan,
    read_records,
    results_table,
    rules_table,
    stage_table,
    stages_table,
    trials_table,
    variants_table,
    verdicts_table,
)
from utils.training import get_recipe

__all__ = ["TABLES", "fill", "main", "read_study", "rules", "shipped", "verdicts"]

ROOT = Path(__file__).parent
PAGES = (ROOT / "README.md", ROOT / "Assignments" / "S7" / "README.md")
MARKER = re.compile(r"<!-- *(table|end) +(.*?) *-->")


def read_study(study: str, path: Path | None = None) -> tuple[list[dict], list[str]]:
    """The runs of a study's variants as they are today, and a sentence for each line left out.

    Only the results show runs that were stopped: elsewhere all have to have the same length.
    """
    recipes, networks = {}, {}
    for name, variant in STUDIES[study].items():
        recipes[name] = variant.get_recipe()
        network = create_model(recipes[name].model, **variant.flags)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        networks[name] = {"flags": variant.flags, "parameters": parameters}
    path, stopped = path or FOLDER / f"{study}.jsonl", study == "results"
    return read_records(path, recipes, networks=networks, stopped=stopped)


def _study(study: str) -> list[dict]:
    records, left_out = read_study(study)
    for sentence in left_out:
        print(f"left out: {sentence}", file=sys.stderr)
    return records


def shipped(name: str) -> tuple[nn.Module, dict]:
    """The network with the shipped weights and its card, or untrained with an empty card.

    Weights of an older class of that name do not fit, and count as none.
    """
    if name in list_models(pretrained=True):
        try:
            return create_model(name, pretrained=True), model_card(name)
        except (ValueError, RuntimeError) as error:  # the latter is torch's, on weights and class
            print(
                f"{name}: the shipped weights do not fit ({type(error).__name__})", file=sys.stderr
            )
    return create_model(name), {}


def rules(name: str = "s7") -> Table:
    """The nine rules for the recipe's network and augmentation, with the card's accuracy."""
    network, card = shipped(name)
    recipe = card.get("recipe") or {}
    augmentation = get_recipe(name).augmentation
    augmentation |= {key: recipe[key] for key in augmentation if key in recipe}
    sheet = spec_sheet(
        network, make_augmentation(**augmentation), accuracy=card.get("test_accuracy")
    )
    return rules_table(sheet, unmeasured="in the notebook")


def verdicts(records: list[dict]) -> Table:
    """The plan's claims and controls, each family judged on its own, and whether it was kept."""
    plan = read_plan(FOLDER / "plan.json")
    families = (plan.claims, plan.controls)
    results = [result for family in families for result in judge(family, records, plan.confidence)]
    kept, sentence = check_plan(plan, records)
    if not any(result.differences for result in results):
        return verdicts_table([], f"{sentence[0].upper()}{sentence[1:]}")
    return verdicts_table(results, f"{'Final' if kept else 'Provisional'}: {sentence}")


TABLES: dict[str, Callable[[], Table]] = {
    "results": lambda: results_table(_study("results"), STUDIES["results"]),
    "trials": lambda: trials_table(_study("trials"), STUDIES["trials"]),
    "analysis": lambda: variants_table(_study("analysis"), STUDIES["analysis"]),
    "verdicts": lambda: verdicts(_study("analysis")),
    "published": lambda: published_table(
        json.loads((FOLDER / "published.json").read_text(encoding="utf-8"))
    ),
    "rules": rules,
    "stages": lambda: stages_table(stage_table(create_model("s7"))),
    "stages_dilated": lambda: stages_table(stage_table(create_model("s7_dilated"))),
}


def fill(page: str, tables: dict[str, Callable[[], Table]]) -> tuple[str, list[str]]:
    """The page with its tables made anew, and the names of those that were out of date.

    Raises ValueError for a name without a table, and for a marker without its partner.
    """
    parts, stale, place, opened = [], [], 0, None
    for marker in MARKER.finditer(page):
        kind, name = marker.groups()
        if name not in tables:
            raise ValueError(f"there is no table {name!r}; there are: {', '.join(tables)}")
        if opened != (None if kind == "table" else name):
            raise ValueError(f"the marker {marker[0]} has no partner")
        if kind == "table":
            parts.append(page[place : marker.end()])
            place, opened = marker.end(), name
            continue
        table = f"\n\n{tables[name]().to_markdown()}\n\n"
        if page[place : marker.start()] != table:
            stale.append(name)
        parts.append(table)
        place, opened = marker.start(), None
    if opened:
        raise ValueError(f"the marker <!-- table {opened} --> has no partner")
    return "".join(parts) + page[place:], stale


def main(arguments: list[str] | None = None) -> None:
    """Write or check all pages. Raises ValueError for a wrong marker, and for stale tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if out of date")
    check, wrong = parser.parse_args(arguments).check, []
    for path in filter(Path.exists, PAGES):
        name, text = path.relative_to(ROOT), path.read_text(encoding="utf-8")
        try:
            page, stale = fill(text, TABLES)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        if stale and check:
            wrong.append(f"{name}: {', '.join(stale)}")
        elif stale:
            path.write_text(page, encoding="utf-8")
        done = "out of date" if check else "written"
        print(f"{name}: {', '.join(stale)} {done}" if stale else f"{name}: up to date")
    if wrong:
        raise ValueError(f"{'; '.join(wrong)} out of date; run: python tables.py")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"tables.py: {error}")
