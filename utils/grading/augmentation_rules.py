"""What an albumentations pipeline does to images, measured while it runs."""

import copy
from collections.abc import Callable, Iterator

import numpy as np

from ..data import CUTOUT_SIDE, MEAN_PIXEL, A
from .rules import Rule, first_line

__all__ = ["measure_augmentation"]

SIDE = 32  # pixels: CIFAR-10's. Shifts are fractions of the side, cut off to whole pixels
# Levels of 255 that a fill may be away from the mean: 255 · mean cut off instead of rounded is one.
FILL_TOLERANCE = 2
# Enough for the largest draw to come within half a degree of 45 (it misses once in 250 times).
AFFINE_DRAWS = 500
CUTOUT_DRAWS = 50
BORDER_CONSTANT = 0  # OpenCV's number
# Steps that write the same picture on another scale; a fill that comes after them is meant on it.
RESCALING = (A.Normalize, A.ToFloat, A.FromFloat, A.ToTensorV2)


def measure_augmentation(augmentation: A.BaseCompose | None) -> list[Rule]:
    """What an albumentations Compose does to uint8 images (32, 32, 3), beside what is asked for.

    The three steps of the assignment are measured one by one, each on a copy of its own that always
    acts: so a step whose limits are zero, arguments that albumentations ignores and a fill on the
    wrong scale come to light. Only the probabilities are read off. With None nothing is measured.
    The augmentation itself is left as it is. Raises ValueError for anything but a Compose.
    """
    if augmentation is not None and not isinstance(augmentation, A.BaseCompose):
        raise ValueError(_remedy(augmentation))
    steps = [] if augmentation is None else list(_steps(augmentation, _chance(augmentation)))
    rules = []
    for name, required, kinds, measure in (
        ("horizontal flip", "mirrored", [A.HorizontalFlip], _measure_flip),
        ("shift-scale-rotate", "all three", [A.ShiftScaleRotate, A.Affine], _measure_affine),
        ("coarse dropout", "one 16×16, mean colour", [A.CoarseDropout], _measure_cutout),
    ):
        found = [[(step, p) for step, p in steps if p and isinstance(step, k)] for k in kinds]
        chosen = next(filter(None, found), [])  # the assignment's own step, else the one like it
        if augmentation is None:
            words, passed = "", None
        elif len(chosen) == 1:
            step, p = chosen[0]
            try:
                words, passed = measure(step, [step for step, _ in steps])
            except Exception as error:  # for example a tensor where the step wants an array
                words, passed = first_line(error), False
            words += f", p = {p:g}"
        else:
            words, passed = f"{len(chosen)} of them" if chosen else "none", False
        rules.append(Rule("7", name, required, words, passed))
    return rules


def _remedy(wrong: object) -> str:
    parts = getattr(wrong, "__dict__", {}).items()
    held = [f"its .{name}" for name, part in parts if isinstance(part, A.BaseCompose)]
    return (
        f"expected an albumentations Compose, got {type(wrong).__module__}.{type(wrong).__name__}; "
        f"give {held[0] if held else 'the A.Compose([...]) itself'}. "
        "Write steps of torchvision with albumentations first"
    )


def _chance(part: A.BaseCompose | A.BasicTransform) -> float:
    """The probability that it acts; OneOrOther always does, its p chooses between its two steps."""
    return 1.0 if isinstance(part, A.OneOrOther) else part.p


def _steps(part, chance: float) -> Iterator[tuple[A.BasicTransform, float]]:
    """Every step in order, with the probability that it acts, that of its containers included."""
    if not isinstance(part, A.BaseCompose):
        yield part, chance
        return
    count = len(part.transforms)
    for place, inner in enumerate(part.transforms):
        share = _chance(inner)
        if isinstance(part, A.OneOf):  # one always acts; each p is its weight in the draw
            share = inner.p / (sum(other.p for other in part.transforms) or 1)
        elif isinstance(part, A.OneOrOther):
            share = part.p if place == 0 else 1 - part.p
        elif isinstance(part, A.SomeOf):
            drawn = 1 - (1 - share / count) ** part.n
            share = drawn if part.replace else share * min(part.n, count) / count
        yield from _steps(inner, chance * share)


def _run(parts: list[A.BasicTransform]) -> Callable[[np.ndarray, int], np.ndarray]:
    """These steps alone, each always acting, as a function (image, seed) → float64 (H, W, 3)."""
    pipeline = A.Compose(copy.deepcopy(parts))
    for part in pipeline.transforms:
        part.p = 1.0

    def run(image: np.ndarray, seed: int) -> np.ndarray:
        pipeline.set_random_seed(seed)
        result = np.asarray(pipeline(image=image)["image"], dtype=np.float64)
        return result if result.shape[-1] == 3 else result.transpose(1, 2, 0)  # ToTensorV2

    return run


def _noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def _measure_flip(flip: A.BasicTransform, steps: list) -> tuple[str, bool]:
    mirrored = np.array_equal(_run([flip])(_noise(0), 0), _noise(0)[:, ::-1])
    return ("mirrored" if mirrored else "not mirrored"), mirrored


def _measure_affine(affine: A.BasicTransform, steps: list) -> tuple[str, bool]:
    affine = copy.deepcopy(affine)
    # A shear looks like a rotation with a change of scale, and a reflected border like neither.
    affine.shear = {"x": (0.0, 0.0), "y": (0.0, 0.0)}
    affine.border_mode, affine.fill = BORDER_CONSTANT, 0
    run = _run([affine])
    # Red and green say where a pixel came from, blue whether it came from inside of the image.
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) / SIDE
    place = np.dstack([x, y, np.ones_like(x)])
    drawn = np.array([_decompose(run(place, draw)) for draw in range(AFFINE_DRAWS)])
    shifts, scales, turns = drawn[:, 0:2].T, drawn[:, 2:4], drawn[:, 4]
    words = [_span(axis) for axis in shifts]
    words = f"{words[0]}" if words[0] == words[1] else f"x {words[0]}, y {words[1]}"
    both_ways = any(low < 0 < high for low, high in map(_limits, shifts))
    passed = both_ways and all(low < high for low, high in map(_limits, (scales, turns)))
    note = "" if both_ways else " (not in both directions)"
    return f"{words} pixels{note}, {_span(scales)}%, {_span(turns)}°", passed


def _decompose(result: np.ndarray) -> tuple[float, ...]:
    """Shift in x and y (pixels), scale of x and y (changes in %) and rotation (degrees).

    `result` is the image of places after shift @ rotation @ scale, albumentations' order.
    """
    inside = result[..., 2] > 0.999
    source = SIDE * result[inside][:, :2] - (SIDE - 1) / 2
    rows, columns = np.nonzero(inside)
    target = np.column_stack([columns, rows]) - (np.array(inside.shape[::-1]) - 1) / 2
    *linear, offset = np.linalg.lstsq(np.column_stack([target, np.ones(len(target))]), source)[0]
    forward = np.linalg.inv(np.transpose(linear))  # OpenCV asks where a pixel comes from
    shift, scale = -forward @ offset, np.linalg.norm(forward, axis=0)
    return *shift, *(100 * (scale - 1)), np.degrees(np.arctan2(-forward[1, 0], forward[0, 0]))


def _limits(values: np.ndarray) -> tuple[int, int]:
    return round(values.min()), round(values.max())


def _span(values: np.ndarray) -> str:
    """The range of the draws in words, ±3 if it reaches as far on both sides of 0."""
    low, high = _limits(values)
    if low == high:
        return f"always {low:+}" if low else "±0"
    # The largest draws on both sides differ by chance.
    if low < 0 < high and abs(low + high) <= max(1, 0.05 * (high - low)):
        return f"±{max(-low, high)}"
    return " to ".join(f"{limit:+}" if limit else "0" for limit in (low, high))


def _measure_cutout(cutout: A.BasicTransform, steps: list) -> tuple[str, bool]:
    rescaling = [step for step in steps if _rescales(step)]
    still = _run(rescaling)
    cut = _run([step for step in steps if step is cutout or step in rescaling])
    # The mean's colour and the next one tell on which scale the pixels come out.
    mean = np.broadcast_to(np.uint8(MEAN_PIXEL), (SIDE, SIDE, 3))
    level = still(mean, 0)[0, 0]
    unit = still(mean + np.uint8(1), 0)[0, 0] - level
    sizes, fills = set(), set()
    for draw in range(CUTOUT_DRAWS):
        before, after = still(_noise(draw), draw), cut(_noise(draw), draw)
        changed = (before != after).any(axis=2)
        rows, columns = np.nonzero(changed)
        height, width = (np.ptp(rows) + 1, np.ptp(columns) + 1) if len(rows) else (0, 0)
        whole = changed.sum() == height * width
        sizes.add(f"one {height}×{width}" if whole else f"{changed.sum()} pixels")
        levels = (MEAN_PIXEL + (after[changed] - level) / unit).round()
        fills |= {tuple(map(int, colour)) for colour in np.unique(levels, axis=0)}
    size = min(sizes) if len(sizes) == 1 else f"{len(sizes)} sizes"
    fill = f"{min(fills)}" if len(fills) == 1 else f"{len(fills)} colours"
    is_mean = bool(fills) and np.abs(np.array(list(fills)) - MEAN_PIXEL).max() <= FILL_TOLERANCE
    return f"{size} of {fill}", sizes == {f"one {CUTOUT_SIDE}×{CUTOUT_SIDE}"} and bool(is_mean)


def _rescales(step: A.BasicTransform) -> bool:
    # A normalisation by the image's own statistics is no fixed scale.
    return isinstance(step, RESCALING) and getattr(step, "normalization", "standard") == "standard"
