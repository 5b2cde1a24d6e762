"""The assignment's rules, measured: ``print(spec_sheet(network, augmentation))``."""

import copy
import textwrap
from html import escape
from pathlib import Path

import torch
from torch import nn

from ..data import A
from .augmentation_rules import measure_augmentation
from .blocks import blocks
from .receptive_field import receptive_field
from .rules import NETWORK_RULES, Evidence, Rule, first_line
from .run_rules import accuracy_rule, checkpoints_rule
from .trace import trace

__all__ = ["SpecSheet", "spec_sheet"]

WIDTH = 100  # letters in a printed line, as many as a notebook's cell shows
VERDICTS = {True: "pass", False: "FAIL", None: "-"}
# Colours that can be read on white as well as on black.
COLOURS = {True: "#2e8b57", False: "#d9534f", None: "#888888"}


class SpecSheet(list[Rule]):
    """A list of `Rule`; prints as a table, and shows as a coloured one in a notebook."""

    @property
    def passed(self) -> bool:
        """Whether no rule that could be measured failed."""
        return all(rule.passed is not False for rule in self)

    @property
    def verdict(self) -> str:
        """The sheet in one line."""
        failed = sum(rule.passed is False for rule in self)
        missing = sum(rule.passed is None for rule in self)
        note = f" ({missing} not measured)" if missing else ""
        if failed:
            return f"FAIL: {failed} of {len(self)} rules{note}"
        return f"PASS: all {len(self) - missing} {'measured ' if missing else ''}rules hold{note}"

    def __str__(self) -> str:
        head = ("", "", "rule", "required", "measured")
        rows = [head, *(_cells(rule) for rule in self)]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        room = WIDTH - sum(widths) - 2 * len(widths)
        lines = [self.verdict, ""]
        for *cells, measured in rows:
            start = "".join(f"{cell:{width}}  " for cell, width in zip(cells, widths, strict=True))
            first, *rest = textwrap.wrap(measured, room) or [""]
            lines.append((start + first).rstrip())
            lines += [" " * len(start) + line for line in rest]
        return "\n".join(lines)

    __repr__ = __str__  # so that a notebook without HTML shows the table too

    def _repr_html_(self) -> str:
        left = "text-align:left;padding:2px 10px"
        head = "".join(
            f'<th style="{left}">{word}</th>' for word in ("", "", "rule", "required", "measured")
        )
        rows = []
        for rule in self:
            verdict, *others = map(escape, _cells(rule))
            cells = f'<td style="{left};color:{COLOURS[rule.passed]}"><b>{verdict}</b></td>'
            rows.append(cells + "".join(f'<td style="{left}">{cell}</td>' for cell in others))
        body = "".join(f"<tr>{row}</tr>" for row in (head, *rows))
        colour = COLOURS[self.passed]
        return f'<p style="color:{colour}"><b>{escape(self.verdict)}</b></p><table>{body}</table>'


def _cells(rule: Rule) -> tuple[str, ...]:
    return VERDICTS[rule.passed], rule.number, rule.rule, rule.required, rule.measured


def spec_sheet(
    network: nn.Module,
    augmentation: A.Compose | None = None,
    *,
    accuracy: float | None = None,
    run_dir: Path | str | None = None,
    device: torch.device | str = "cpu",
    side: int = 32,
    num_classes: int = 10,
) -> SpecSheet:
    """Measure every rule of the assignment on anybody's network, by running it on images.

    The images are (2, 3, side, side), on `device`. `augmentation` is an albumentations Compose,
    `accuracy` the test accuracy as a fraction 0–1, `run_dir` the folder with best.pt and last.pt. A
    rule whose subject is not given is shown as not measured. The network is left as it is. Raises
    ValueError for an augmentation that is no Compose.
    """
    network = getattr(network, "_orig_mod", network)  # what torch.compile wraps
    seen = _observe(network, torch.device(device), side, num_classes)
    rules = [measure(seen) for measure in NETWORK_RULES]
    rules += measure_augmentation(augmentation)
    rules += [accuracy_rule(accuracy), checkpoints_rule(run_dir, network)]
    return SpecSheet(sorted(rules, key=lambda rule: rule.number))


def _observe(network: nn.Module, device: torch.device, side: int, num_classes: int) -> Evidence:
    try:
        probe = copy.deepcopy(network).to(device).float().eval()
        noise = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
        images = noise.to(device)
        with torch.no_grad():
            out = probe(images)
        is_tensor = isinstance(out, torch.Tensor)
        logits = tuple(out.shape) if is_tensor else f"a {type(out).__name__}, not a tensor"
        operations = trace(probe, images)
    except Exception as error:  # whatever somebody's network raises is the measurement
        logits, operations = first_line(error), []
    try:
        reach = max(receptive_field(network, side).shape)
    except Exception as error:  # for example a network that takes one size only
        reach = f"not to be had: {first_line(error)}"
    return Evidence(
        network, num_classes, str(device), logits, operations, blocks(operations), reach
    )
