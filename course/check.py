"""The checks of S7_Exercise.ipynb: what utils.grading measured, as sentences and points.

Each check runs this file anew. It reads utils and models again from its own clone, so nothing that
a notebook put in their place counts.
"""

import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

ROOT = Path(__file__).resolve().parent.parent
for module in [name for name in sys.modules if name.split(".")[0] in ("utils", "models")]:
    del sys.modules[module]
sys.path[:] = [str(ROOT), *(folder for folder in sys.path if folder != str(ROOT))]

from utils.data import DeviceLoader, load_cifar10  # noqa: E402
from utils.grading import (  # noqa: E402
    Rule,
    SpecSheet,
    find_weights,
    first_line,
    receptive_field,
    spec_sheet,
    trace,
)
from utils.training import get_device, predict  # noqa: E402

__all__ = ["award", "award_extra", "award_formula"]

CONV2D = "https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html"
HINTS = {  # a rule's name: what to do about it, or where that is explained
    "formula": "See step 1, and https://distill.pub/2019/computing-receptive-fields",
    "blocks": "Call the parts self.C1, self.C2, self.C3, self.C4 and self.O.",
    "downsampling": f"Three 3×3 convolutions and no others have stride=2: {CONV2D}",
    "pooling besides GAP": "Look for pooling, slicing and resizing, in forward too. See step 2.",
    "receptive field": "Add layers where j is large, or larger dilations. See step 1.",
    "depthwise separable": f"groups is the number of channels, then comes a 1×1 kernel: {CONV2D}",
    "dilated convolution": f"No kernel above 1×1 ran with a dilation above 1: {CONV2D}",
    "global average pooling": "It is the mean over H and W: https://arxiv.org/abs/1312.4400, 3.2",
    "parameters": "Dense 3×3 convolutions of many channels cost most. See step 3.",
    "horizontal flip": "https://albumentations.ai/docs lists the transforms.",
    "shift-scale-rotate": "One A.Affine with a range for each: translate_percent=(-0.1, 0.1) is a "
    "part of the side, scale=(0.9, 1.1) a factor, rotate=(-15, 15) in degrees.",
    "coarse dropout": "Use today's names, num_holes_range and fill too. The colour is on the "
    "images' scale of 0-255, so Normalize comes later. See step 7.",
    "test accuracy": "Train for longer, on all images, or with more channels in C1. See step 8.",
    "checkpoints": "Train the network of step 6 as it is now, with val_images. See step 8.",
}
EXTRA_HINTS = HINTS | {
    "downsampling": "Each of them has a dilation above 1, no padding and no stride. See step 10.",
    "receptive field": "Larger dilations see farther; with padding=dilation they cost no size.",
}


def award(
    points: dict[str, int],
    network: nn.Module | None = None,
    *,
    augmentation: object = None,
    run_dir: Path | None = None,
    whole: bool = False,
    shape: Sequence[int] = (),
    layers: Sequence[tuple[int, int, int]] = (),
) -> int:
    """Say what the sheet measured for the rules named in `points`; return the points earned.

    Nothing is earned by a `whole` network that puts out no logits, by a part whose last map has
    another `shape` (C, H, W), and by a part that runs other convolutions than `layers` (kernel,
    stride, dilation). With a `run_dir` the accuracy is that of its last.pt.
    """
    network = nn.Identity() if network is None else network
    if shape and not _has_shape(network, shape) or layers and not _has_layers(network, layers):
        return 0
    try:
        sheet = _sheet(network, augmentation, run_dir)
    except ValueError as error:  # for example an augmentation that is no Compose
        print(f"0 points: {error}")
        return 0
    return 0 if whole and not _works(network, sheet) else _sum(sheet, points)


def award_extra(network: nn.Module, worth: int) -> int:
    """All points or none: every rule for a network holds, and dilation alone makes maps smaller."""
    sheet = _sheet(network)
    if not _works(network, sheet):
        return 0
    place, strided = next((n, rule) for n, rule in enumerate(sheet) if rule.name == "downsampling")
    wanted = "three dilated 3×3, and neither stride nor pooling"
    sheet[place] = replace(strided, required=wanted, passed="dilation alone" in strided.measured)
    if broken := [rule for rule in sheet if rule.passed is False]:
        print(f"  0 of {worth}   not every rule holds yet")
        print(*(f"{'':13}{_failure(rule, EXTRA_HINTS)}" for rule in broken), sep="\n")
        return 0
    print(f"{worth:3} of {worth}   downsampling: {strided.measured}")
    return worth


def award_formula(predict: Callable[[list], int], stacks: list[list], worth: int) -> int:
    """Compare what a student's formula predicts for layers with what is measured on them."""
    for layers in stacks:
        convs = [nn.Conv2d(3, 3, k, s, padding=d * (k // 2), dilation=d) for k, s, d in layers]
        measured, predicted = max(receptive_field(nn.Sequential(*convs)).shape), predict([*layers])
        required = f"{measured} for the layers {', '.join(map(str, layers))}"
        if predicted != measured:
            return _sum([Rule("3", "formula", required, f"{predicted}", False)], {"formula": worth})
    rule = Rule("3", "formula", "", f"right for {len(stacks)} networks", True)
    return _sum([rule], {"formula": worth})


def _sheet(network: nn.Module, augmentation=None, run_dir: Path | None = None) -> SpecSheet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nbgrader takes any line on stderr for a failure
        accuracy = _accuracy(network, run_dir) if run_dir else None
        return spec_sheet(network, augmentation, accuracy=accuracy, run_dir=run_dir)


def _accuracy(network: nn.Module, run_dir: Path) -> float | None:
    """The test accuracy of a run's last.pt, or None and a printed reason."""
    path, device = run_dir / "last.pt", get_device()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not (weights := find_weights(state, network)):
            raise ValueError("Net has changed since; delete the folder checkpoints, train again")
        network.load_state_dict(weights)
        run = state.get("run")
        recipe = run.get("recipe", {}) if isinstance(run, dict) else {}  # other loops have none
        if 0 in (recipe.get("affine_prob"), recipe.get("cutout_prob")):
            raise ValueError("affine_prob or cutout_prob was 0; train with those of step 7")
        with chdir(ROOT):  # where all notebooks keep their data
            _, test_set = load_cifar10()
    except Exception as error:  # no file, a damaged one, no images
        print(f"{path} can't be tested: {first_line(error)}")
        return None
    probabilities, labels = predict(network.to(device), DeviceLoader(test_set, 100, device))
    return (probabilities.argmax(1) == labels).double().mean().item()


def _works(network: nn.Module, sheet: SpecSheet) -> bool:
    first = sheet[0]
    if not first.passed:
        print(f"0 points: the output should be {first.required}. Instead: {first.measured}")
        if type(network).forward is nn.Sequential.forward:
            print(f"{'':13}{_part_by_part(network)}.")
    return bool(first.passed)


def _part_by_part(network: nn.Sequential) -> str:
    """What each part makes of an image, up to the one that raises."""
    x, words = torch.zeros(1, 3, 32, 32), []
    for name, part in network.named_children():
        try:
            x = part.eval()(x)
            words.append(f"{name} gives {'×'.join(map(str, x.shape[1:]))}")
        except Exception:  # whatever a student's layers raise
            return ", ".join([*words, f"{name} raises it"])
    return ", ".join(words) or "No layer is stored as self.C1 to self.O, so nothing runs"


def _has_shape(part: nn.Module, shape: Sequence[int]) -> bool:
    """Whether images of 32×32 become maps of this shape (C, H, W)."""
    try:
        with torch.no_grad():
            found = tuple(part.eval()(torch.zeros(1, 3, 32, 32)).shape[1:])
    except Exception as error:  # whatever a student's layers raise
        print(f"0 points: the layers do not run: {first_line(error)}")
        lost = isinstance(error, TypeError)  # None can't be called
        hint = "Does the function return its layer?" if lost else "Look at channels and padding."
        print(f"{'':13}{hint}")
        return False
    if found != tuple(shape):
        wanted, made = ("×".join(map(str, sizes)) for sizes in (shape, found))
        print(f"0 points: the output should be {wanted} (channels, H, W), and it is {made}.")
        hint = "Look at channels and out_channels."
        if found[1:] != tuple(shape[1:]):
            larger = found[1:] > tuple(shape[1:])
            hint = "Is a stride missing?" if larger else "Is padding missing, or a pooling left?"
        print(f"{'':13}{hint}")
    return found == tuple(shape)


def _has_layers(part: nn.Module, wanted: Sequence[tuple[int, int, int]]) -> bool:
    """Whether these convolutions run and no others, each (kernel, stride, dilation) as in step 1.

    A side that differs from the other one stands as a pair.
    """
    found = [
        tuple(a if a == b else (a, b) for a, b in (op.kernel, op.stride, op.dilation))
        for op in trace(part.eval(), torch.zeros(1, 3, 32, 32))
        if op.is_conv
    ]
    if found != list(wanted):
        print("0 points: the convolutions, each (kernel, stride, dilation) as in step 1, should be")
        print(f"{'':13}{', '.join(map(str, wanted))} and they are")
        print(f"{'':13}{', '.join(map(str, found)) or 'none'}.")
    return found == list(wanted)


def _sum(rules: list[Rule], points: dict[str, int]) -> int:
    total = 0
    for rule in rules:
        if worth := points.get(rule.name, 0):
            earned = worth if rule.passed else 0
            total += earned
            text = f"{rule.name}: {rule.measured}" if rule.passed else _failure(rule)
            print(f"{earned:3} of {worth:3}   {text}")
    return total


def _failure(rule: Rule, hints: dict[str, str] = HINTS) -> str:
    what = f"{rule.name}: asked for {rule.required}, found {rule.measured or 'nothing'}."
    hint = hints.get(rule.name, "") if rule.measured else ""
    return f"{what}\n{'':13}{hint}".rstrip()
