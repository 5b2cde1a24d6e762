"""What an albumentations policy does to images, measured while it runs."""
import copy
from dataclasses import dataclass

import numpy as np

from ..data import MEAN_PIXEL

__all__ = ["HOLE", "Rule", "measure_policy"]

HOLE = f"one 16×16 hole of {MEAN_PIXEL}"


@dataclass(frozen=True)
class Rule:
    number: str
    rule: str
    required: str
    measured: str
    passed: bool | None  # None: nothing was given to measure it on


def measure_policy(policy) -> list[Rule]:
    """What an albumentations policy does to uint8 images, beside what the assignment asks for.

    Each step is measured while it runs, with the other random steps switched off: the flip on noise, the affine step on
    an image of coordinates, the hole on noise again. So a step whose limits are zero, arguments that albumentations
    ignores, and a fill on the wrong scale come to light, also in a policy that goes on to normalise. Only the
    probabilities are read off. The policy itself is left as it is. Raises ValueError for anything but a Compose.
    """
    if not hasattr(policy, "transforms"):
        raise ValueError(f"expected an albumentations Compose, got {type(policy).__name__}")
    leaves = [(type(part).__name__, chance) for part, chance in _leaves(policy) if chance]
    chances = dict(leaves)
    affine = "ShiftScaleRotate" if "ShiftScaleRotate" in chances else "Affine"
    rules = []
    for rule, name, required, measure in (("horizontal flip", "HorizontalFlip", "mirrored", _measure_flip),
                                          ("shift-scale-rotate", affine, "all three", _measure_affine),
                                          ("coarse dropout", "CoarseDropout", HOLE, _measure_hole)):
        chance = chances.get(name, 0)
        measured, passed = measure(_alone(policy, None), _alone(policy, name)) if chance else ("none", False)
        if (count := sum(name == leaf for leaf, _ in leaves)) > 1:
            measured, passed = f"{count} of them", False
        rules.append(Rule("7", rule, required, f"{measured}, p = {chance:g}", passed))
    return rules


def _leaves(part, chance=1.0):
    """Every transform with its probability, that of the containers around it included."""
    if not hasattr(part, "transforms"):
        yield part, chance * part.p
    else:
        for inner in part.transforms:
            yield from _leaves(inner, chance * part.p)


def _open(part):
    """Let every container pass its transforms on."""
    if hasattr(part, "transforms"):
        part.p = 1.0
        for inner in part.transforms:
            _open(inner)


def _alone(policy, name):
    """The policy as a function (image, seed) → image in which, of all that is random, only the step `name` acts.

    What comes back is float64 of 0–255, even if the policy normalises: the mean's colour and the next one calibrate it.
    """
    still, policy = copy.deepcopy(policy), copy.deepcopy(policy)
    for keep, copied in ((None, still), (name, policy)):
        _open(copied)
        for part, _ in _leaves(copied):
            if part.p < 1 or type(part).__name__ in ("HorizontalFlip", "ShiftScaleRotate", "Affine", "CoarseDropout"):
                part.p = float(type(part).__name__ == keep)

    def run(pipeline, image, seed):
        pipeline.set_random_seed(seed)  # two policies that differ in one step draw the same for the others
        result = np.asarray(pipeline(image=image)["image"], dtype=np.float64)
        return result if result.shape[-1] == 3 else result.transpose(1, 2, 0)  # ToTensorV2 puts the colours first

    mean = np.broadcast_to(np.uint8(MEAN_PIXEL), (32, 32, 3))
    level = run(still, mean, 0)[0, 0]
    step = run(still, mean + np.uint8(1), 0)[0, 0] - level
    return lambda image, seed: MEAN_PIXEL + (run(policy, image, seed) - level) / step


def _noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def _measure_flip(still, flip) -> tuple[str, bool]:
    mirrored = np.allclose(flip(_noise(0), 0), still(_noise(0)[:, ::-1], 0))
    return "mirrored" if mirrored else "not mirrored", mirrored


def _measure_affine(still, affine) -> tuple[str, bool]:
    # Red is 8·x and green 8·y, so that colours say where a pixel came from.
    place = np.stack([*np.meshgrid(8 * np.arange(32), 8 * np.arange(32)), np.zeros((32, 32))], axis=-1).astype(np.uint8)
    middle = np.mgrid[8:24, 8:24][::-1].reshape(2, -1).T - 15.5  # (x, y) of 256 pixels that no border reaches
    shifts, scales, turns = [], [], []
    for draw in range(200):
        source = affine(place, draw)[8:24, 8:24, :2].reshape(-1, 2) / 8 - 15.5
        *linear, centre = np.linalg.lstsq(np.column_stack([middle, np.ones(256)]), source)[0]
        linear = np.transpose(linear)
        left, stretch, other = np.linalg.svd(linear)  # scales and, in left @ other, the rotation
        shifts.append(np.abs(np.linalg.solve(linear, centre)).max())
        scales.append(np.abs(1 / stretch - 1).max())
        turns.append(abs(np.degrees(np.arctan2(*(left @ other)[::-1, 0]))))
    shift, scale, turn = round(max(shifts)), round(100 * max(scales)), round(max(turns))
    return f"±{shift} pixels, ±{scale}%, ±{turn}°", min(shift, scale, turn) > 0


def _measure_hole(still, cut) -> tuple[str, bool]:
    sizes, fills = set(), set()
    for draw in range(50):
        before, after = still(_noise(draw), draw), cut(_noise(draw), draw)
        changed = (before != after).any(axis=2)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        height, width = (np.ptp(rows) + 1, np.ptp(columns) + 1) if len(rows) else (0, 0)
        sizes.add(f"{height}×{width}" if changed.sum() == height * width else f"{changed.sum()} pixels")
        fills |= {tuple(int(value) for value in colour) for colour in np.unique(after[changed].round(), axis=0)}
    size = f"one {min(sizes)} hole" if len(sizes) == 1 else f"holes of {len(sizes)} sizes"
    fill = f"{min(fills)}" if len(fills) == 1 else f"{len(fills)} colours"
    return f"{size} of {fill}", sizes == {"16×16"} and fills == {MEAN_PIXEL}
