"""The assignment's rules, measured: ``print(spec_sheet(network, augmentation))``."""

import textwrap
from html import escape
from pathlib import Path

import torch
from torch import nn

from ..data import A
from .augmentation_rules import measure_augmentation
from .rules import Rule, first_line, network_rules, run_rules
from .trace import Operation, copy_network, trace

__all__ = ["SpecSheet", "spec_sheet"]

WIDTH = 100  # letters in a printed line, as many as a notebook's cell shows
# They squash or cut scores. log_softmax does not: cross-entropy gives the same loss after it.
NO_LOGITS = {"softmax", "sigmoid", "tanh", "relu", "leaky_relu", "hardtanh", "silu", "gelu"}
HEAD = ("", "", "rule", "required", "measured")
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
            return f"FAIL: {failed} of {len(self)} checks{note}"
        return f"PASS: all {len(self) - missing} {'measured ' if missing else ''}checks hold{note}"

    def __str__(self) -> str:
        rows = [HEAD, *map(_cells, self)]
        widths = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)][:-1]
        lines = [self.verdict, ""]
        for *cells, measured in rows:
            start = "".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
            lines += textwrap.wrap(start + measured, WIDTH, subsequent_indent=" " * len(start))
        return "\n".join(lines)

    __repr__ = __str__  # so that a notebook without HTML shows the table too

    def _repr_html_(self) -> str:
        rows = [[f"<b>{word}</b>" for word in HEAD]]
        for rule in self:
            verdict, *others = map(escape, _cells(rule))
            rows.append([f'<b style="color:{COLOURS[rule.passed]}">{verdict}</b>', *others])
        start = '<td style="text-align:left;padding:2px 10px">'
        lines = ("".join(f"{start}{cell}</td>" for cell in row) for row in rows)
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        head = f'<p style="color:{COLOURS[self.passed]}"><b>{escape(self.verdict)}</b></p>'
        return f"{head}<table>{body}</table>"


def _cells(rule: Rule) -> tuple[str, ...]:
    return VERDICTS[rule.passed], rule.number, rule.name, rule.required, rule.measured


def spec_sheet(
    network: nn.Module,
    augmentation: A.Compose | None = None,
    *,
    accuracy: float | None = None,
    run_dir: Path | str | None = None,
) -> SpecSheet:
    """Measure every rule of the assignment on anybody's network, by running it on images.

    The images are (2, 3, 32, 32), of noise, on the device of the network. `augmentation` is an
    albumentations Compose, `accuracy` the test accuracy as a fraction 0–1, `run_dir` the folder
    with best.pt and last.pt. A rule whose subject is not given is shown as not measured. The
    network is left as it is. Raises ValueError for what is no network (a class, a scripted one),
    for lazy layers that never ran, for an augmentation that is no Compose and for an accuracy that
    is no fraction.
    """
    if not isinstance(network, nn.Module) or isinstance(network, torch.jit.ScriptModule):
        raise ValueError(
            f"expected a network, such as Net(), that is not scripted or traced, not {network!r}"
        )
    if any(map(nn.parameter.is_lazy, nn.Module.parameters(network))):
        raise ValueError("the network's lazy layers have no weights yet; run it on images once")
    network = getattr(network, "_orig_mod", network)  # what torch.compile wraps
    runs, operations = _run(network)
    rules = [runs, *network_rules(network, operations), *measure_augmentation(augmentation)]
    rules += run_rules(network, accuracy, run_dir)
    return SpecSheet(sorted(rules, key=lambda rule: rule.number))


def _run(network: nn.Module) -> tuple[Rule, list[Operation]]:
    """The rule that it puts out logits, and what it did on the way: nothing if it raised."""
    try:
        probe = copy_network(network).float().eval()
        device = next((weight.device for weight in probe.parameters()), torch.device("cpu"))
        images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)).to(device)
        with torch.no_grad():
            out = probe(images)
        is_tensor = isinstance(out, torch.Tensor)
        found = tuple(out.shape) if is_tensor else f"a {type(out).__name__}, not a tensor"
        words, passed = f"{found} on {device.type}", found == (2, 10)
        operations = trace(probe, images)
        result = operations[-1].output.flatten() if operations else None
        ends = {op.name.strip("_") for op in operations if torch.equal(op.output.flatten(), result)}
        if passed and (squashed := ends & NO_LOGITS):
            words, passed = f"no logits: leave out the {squashed.pop()} at the end", False
        elif passed and not out.isfinite().all():
            words, passed = "not a number: this network's weights or averages have diverged", False
    except Exception as error:  # whatever somebody's network raises is the measurement
        words, passed, operations = first_line(error), False, []
    return Rule("1", "runs on GPU or CPU", "logits (2, 10)", words, passed), operations
