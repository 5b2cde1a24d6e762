"""What an albumentations pipeline does to images, measured while it runs."""

import copy
from collections.abc import Iterator

import numpy as np

from ..data import CUTOUT_SIDE, MEAN_PIXEL, A
from .rules import Rule, first_line

__all__ = ["measure_augmentation"]

SIDE = 32  # pixels: CIFAR-10's. Shifts are fractions of the side, cut off to whole pixels
# Levels of 255 that a fill may be away from the mean: 255 · mean cut off instead of rounded is one.
FILL_TOLERANCE = 2
# Enough for the largest draw to come within half a degree of 45, but for one seed in 250.
AFFINE_DRAWS = 500
RARELY = 0.05  # of the images: fewer changed ones, or fewer that are not mirrored, teach nothing
CUTOUT_DRAWS = 50
# Steps that write the same picture on another scale; a fill that comes after them is meant on it.
RESCALING = (A.Normalize, A.ToFloat, A.FromFloat, A.ToTensorV2)


def measure_augmentation(augmentation: A.BaseCompose | None) -> list[Rule]:
    """What an albumentations Compose does to uint8 images (32, 32, 3), beside what is asked for.

    The three steps of the assignment are measured one by one, each on a copy of its own that always
    acts: what it draws and what it fills in. So a step whose limits are zero, arguments that
    albumentations ignores and a fill on the wrong scale come to light. The probabilities are read
    off. With None nothing is measured. The augmentation itself is left as it is. Raises ValueError
    for anything but a Compose.
    """
    if augmentation is not None and not isinstance(augmentation, A.BaseCompose):
        kind = f"{type(augmentation).__module__}.{type(augmentation).__name__}"
        raise ValueError(
            f"expected an albumentations Compose, such as A.Compose([...]), got {kind}; of a class "
            "that holds a Compose give that one. torchvision's steps can't be measured"
        )
    steps = [] if augmentation is None else list(_steps(augmentation, _chance(augmentation)))
    rules = []
    for name, required, kinds, measure in (
        ("horizontal flip", "mirrored", [A.HorizontalFlip], lambda *_: ("mirrored", True)),
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
            if p < RARELY or (name == "horizontal flip" and p > 1 - RARELY):
                words, passed = f"{words} (nearly {'never' if p < RARELY else 'always'})", False
        else:
            words, passed = f"{len(chosen)} such steps, not one" if chosen else "none", False
        rules.append(Rule("7", name, required, words, passed))
    return rules


def _steps(part, chance: float) -> Iterator[tuple[A.BasicTransform, float]]:
    """Every step in order with the probability that it acts, in a part that acts with `chance`."""
    if not isinstance(part, A.BaseCompose):
        yield part, chance
        return
    inside = part.transforms
    shares = [_chance(inner) for inner in inside]
    if isinstance(part, A.OneOf):  # one always acts; each p is its weight in the draw
        shares = part.transforms_ps
    elif isinstance(part, A.OneOrOther):
        shares = [part.p, 1 - part.p]
    elif isinstance(part, A.SomeOf) and part.replace:
        shares = [1 - (1 - share / len(inside)) ** part.n for share in shares]
    elif isinstance(part, A.SomeOf):
        shares = [share * part.n / len(inside) for share in shares]
    for inner, share in zip(inside, shares, strict=True):
        yield from _steps(inner, chance * share)


def _chance(part) -> float:
    return 1.0 if isinstance(part, A.OneOrOther) else part.p  # one always acts; p chooses the first


def _always(*steps: A.BasicTransform) -> A.Compose:
    """These steps alone, each acting on every image; the draws are the same each time."""
    pipeline = A.Compose(copy.deepcopy(steps), seed=0)
    for step in pipeline.transforms:
        step.p, step.deterministic = 1.0, False  # ReplayCompose sets the second
    return pipeline


def _noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def _measure_affine(affine: A.BasicTransform, steps: list) -> tuple[str, bool]:
    pipeline, middle, drawn = _always(affine), (SIDE - 1) / 2, []
    image = _noise(0)
    for _ in range(AFFINE_DRAWS):
        pipeline(image=image)
        params = pipeline.transforms[0].params
        # The middle of the image is moved by the shift only.
        height, width = params["output_shape"]
        x, y, _ = params["matrix"] @ (middle, middle, 1) - ((width - 1) / 2, (height - 1) / 2, 1)
        scales = [100 * (params["scale"][axis] - 1) for axis in "xy"]
        drawn.append((x, y, *scales, params["rotate"]))
    *shifts, scales, turns = np.split(np.array(drawn), (1, 2, 4), axis=1)
    words = [_span(axis) for axis in shifts]
    words = words[0] if words[0] == words[1] else f"x {words[0]}, y {words[1]}"
    both_ways = any(low < 0 < high for low, high in map(_limits, shifts))
    # As of A.Affine with scale=(-0.1, 0.1), a factor, or translate_percent=(-10, 10), in sides.
    seen = scales.min() > -100 and max(np.abs(axis).max() for axis in shifts) < SIDE
    passed = both_ways and seen and all(low < high for low, high in map(_limits, (scales, turns)))
    note = "" if both_ways else " (not in both directions)"
    lost = "" if seen else " (images are lost)"
    return f"{words} pixels{note}, {_span(scales)}%, {_span(turns)}°{lost}", bool(passed)


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
    earlier = [step for step in steps[: steps.index(cutout)] if isinstance(step, RESCALING)]
    # The mean's colour and the next one tell on which scale the cutout finds the pixels.
    still, mean = _always(*earlier), np.full((SIDE, SIDE, 3), MEAN_PIXEL, dtype=np.uint8)
    level, next_level = (still(image=image)["image"][0, 0] for image in (mean, mean + np.uint8(1)))
    pipeline, sizes, fills = _always(*earlier, cutout), set(), set()
    for draw in range(CUTOUT_DRAWS):
        after = pipeline(image=_noise(draw))["image"].astype(float)
        levels = (MEAN_PIXEL + (after - level) / (next_level - level)).round()
        holes = pipeline.transforms[-1].params["holes"]
        for left, top, right, bottom in holes:
            colours = np.unique(levels[top:bottom, left:right].reshape(-1, 3), axis=0)
            fills |= {tuple(map(int, colour)) for colour in colours}
        only = len(holes) == 1
        sizes.add(f"one {bottom - top}×{right - left}" if only else f"{len(holes)} holes")
    size = " or ".join(sorted(sizes)) if len(sizes) < 3 else f"{len(sizes)} sizes"
    if not fills:
        return f"{size}, which are no pixels", False
    fill = f"{min(fills)}" if len(fills) == 1 else f"{len(fills)} colours"
    is_mean = np.abs(np.array(list(fills)) - MEAN_PIXEL).max() <= FILL_TOLERANCE
    return f"{size} of {fill}", sizes == {f"one {CUTOUT_SIDE}×{CUTOUT_SIDE}"} and bool(is_mean)
