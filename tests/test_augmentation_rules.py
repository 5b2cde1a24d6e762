"""Each step of an augmentation is measured alone, by what it does."""

import os
import subprocess
import sys
import warnings
from types import SimpleNamespace

import pytest

from utils.data import CIFAR10_MEAN, MEAN_PIXEL, A, make_augmentation
from utils.grading import measure_augmentation

pytestmark = pytest.mark.filterwarnings("ignore:ShiftScaleRotate is a special case")

FLIP, AFFINE, CUTOUT = "horizontal flip", "shift-scale-rotate", "coarse dropout"
SIZES = {
    "num_holes_range": (1, 1),
    "hole_height_range": (16, 16),
    "hole_width_range": (16, 16),
    "p": 0.5,
}


def flip(p=0.5):
    return A.HorizontalFlip(p=p)


def affine(**more):
    return A.ShiftScaleRotate(**{"shift_limit": 0.1, "rotate_limit": 15} | more)


def cutout(fill=MEAN_PIXEL, **sizes):
    return A.CoarseDropout(**SIZES | sizes, fill=fill)


def measure(*steps):
    return {rule.name: rule for rule in measure_augmentation(A.Compose(steps))}


def words(name, *steps):
    return measure(*steps)[name].measured


def failed(*steps):
    return {name for name, rule in measure(*steps).items() if not rule.passed}


def test_the_projects_augmentation_passes():
    limits = {"shift": 0.125, "scale": 0.1, "rotate": 15, "affine_prob": 0.5, "cutout_prob": 0.25}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        augmentation = make_augmentation(**limits)
    rules = measure_augmentation(augmentation)
    assert [(rule.measured, rule.passed) for rule in rules] == [
        ("mirrored, p = 0.5", True),
        ("±3 pixels, ±10%, ±15°, p = 0.5", True),
        ("one 16×16 of (125, 123, 114), p = 0.25", True),
    ]
    without_rotation = measure_augmentation(make_augmentation(**limits | {"rotate": 0}))
    assert [rule.passed for rule in without_rotation] == [True, False, True]
    assert without_rotation[1].measured == "±3 pixels, ±10%, ±0°, p = 0.5"


def test_albumentations_asks_no_package_index():
    program = "import os, utils.data; print(os.environ['NO_ALBUMENTATIONS_UPDATE'])"
    environment = {k: v for k, v in os.environ.items() if k != "NO_ALBUMENTATIONS_UPDATE"}
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.stdout.strip() == "1" and "Error fetching version" not in run.stderr


def test_a_choice_of_two_may_be_the_whole_pipeline():
    choice = A.OneOrOther(flip(1), A.Blur(p=1), p=0.3)
    assert measure_augmentation(choice)[0].measured == "mirrored, p = 0.3"


def test_missing_repeated_and_switched_off_steps():
    assert failed(A.VerticalFlip(p=0.5)) == {FLIP, AFFINE, CUTOUT}
    assert words(CUTOUT, flip()) == "none" == words(CUTOUT, cutout(p=0))
    assert failed(flip(), flip(), affine(), cutout()) == {FLIP}
    assert words(CUTOUT, cutout(), cutout()) == "2 such steps, not one"
    assert failed(flip(1), affine(p=1), cutout(p=1)) == {FLIP}
    assert failed(flip(0.01), affine(p=0.01), cutout(p=0.04)) == {FLIP, AFFINE, CUTOUT}
    assert words(FLIP, flip(1)) == "mirrored, p = 1 (nearly always)"
    assert words(CUTOUT, cutout(num_holes_range=(1, 2))).startswith("2 holes or one 16×16 of")
    no_width = A.CoarseDropout((1, 1), hole_height_range=(16, 16), fill=MEAN_PIXEL)
    assert words(CUTOUT, no_width) == "one 16×0, which are no pixels, p = 0.5"


@pytest.mark.parametrize(
    "steps",
    [
        [A.ColorJitter(p=0.25)],  # has .transforms, and is no container
        [A.OneOf([A.Blur(p=1), A.GaussNoise(p=1)], p=0.3)],
        [A.RandomBrightnessContrast(p=1)],
        [A.PadIfNeeded(40, 40), A.RandomCrop(32, 32)],
        [A.Normalize(), A.ToTensorV2()],
        [A.ToFloat(max_value=255), A.ToTensorV2()],
        [A.Normalize(normalization="image"), A.ToTensorV2()],
    ],
)
def test_other_steps_do_not_disturb(steps):
    right = flip(), affine(), cutout()
    expected = [rule.measured for rule in measure(*right).values()]
    assert not failed(*right, *steps)
    assert [rule.measured for rule in measure(*right, *steps).values()] == expected


def test_a_pipeline_that_keeps_what_it_drew():
    pipeline = A.ReplayCompose([flip(), affine(), cutout()])
    assert all(rule.passed for rule in measure_augmentation(pipeline))


def test_another_steps_shift_does_not_count():
    still = affine(shift_limit=0)
    steps = A.PadIfNeeded(40, 40), A.RandomCrop(32, 32)
    assert failed(flip(), *steps, still, cutout()) == {AFFINE}
    assert words(AFFINE, *steps, still).startswith("±0 pixels")


@pytest.mark.parametrize(
    ("container", "p"),
    [
        (A.OneOf([flip(1), A.Blur(p=1)], p=0.5), "0.25"),
        (A.OneOf([flip(0.6), A.Blur(p=0.2)], p=1), "0.75"),
        (A.OneOrOther(flip(1), A.Blur(p=1), p=0.3), "0.3"),
        (A.SomeOf([flip(0.5), A.Blur(), A.Blur(), A.Blur()], n=2, p=1), "0.25"),
        (A.SomeOf([flip(1), A.Blur()], n=2, replace=True, p=1), "0.75"),
        (A.Sequential([flip(0.5)], p=0.5), "0.25"),
        (A.Sequential([A.OneOf([A.Sequential([flip()]), A.Blur(p=0.5)], p=1)], p=1), "0.25"),
    ],
)
def test_probabilities_of_steps_in_containers(container, p):
    assert words(FLIP, container) == f"mirrored, p = {p}"


@pytest.mark.parametrize(
    "wrong",
    [
        SimpleNamespace(transform=A.Compose([flip()])),  # a wrapper
        SimpleNamespace(transforms=[flip()]),  # as torchvision's Compose
        lambda image: image,
        [flip()],
        flip(),
    ],
)
def test_what_is_no_compose_of_albumentations(wrong):
    with pytest.raises(
        ValueError, match=r"such as A\.Compose.*, got .*class that holds a Compose.*torchvision"
    ):
        measure_augmentation(wrong)


# --- shift, scale, rotate ---


@pytest.mark.parametrize(
    "slip", [{"scale": (-0.1, 0.1)}, {"translate_percent": (-10, 10)}], ids=["factor", "sides"]
)
def test_limits_that_leave_nothing_of_the_image(slip):
    right = {"translate_percent": (-0.1, 0.1), "scale": (0.9, 1.1), "rotate": (-15, 15)}
    assert AFFINE not in failed(A.Affine(**right))
    assert AFFINE in failed(A.Affine(**right | slip))
    assert words(AFFINE, A.Affine(**right | slip)).startswith(("±3 pixels, -110 to -90%", "±31"))
    assert "(images are lost)" in words(AFFINE, A.Affine(**right | slip))


def test_large_limits_and_a_black_border():
    step = A.ShiftScaleRotate(0.1, 0.5, 45, border_mode=0)
    assert words(AFFINE, step) == "±3 pixels, ±50%, ±45°, p = 0.5"
    assert words(AFFINE, affine(border_mode=4, scale_limit=0.3)).startswith("±3 pixels, ±30%, ±15°")


def test_shear_is_neither_scale_nor_rotation():
    sheared = A.Affine(translate_percent=(-0.1, 0.1), shear=(-20, 20))
    assert words(AFFINE, sheared) == "±3 pixels, ±0%, ±0°, p = 0.5"
    assert AFFINE in failed(sheared)
    both = A.Affine(
        translate_percent=(-0.1, 0.1), scale=(0.9, 1.1), rotate=(-9, 9), shear=(-20, 20)
    )
    assert words(AFFINE, both) == "±3 pixels, ±10%, ±9°, p = 0.5" and AFFINE not in failed(both)


def test_what_is_constant_is_no_shift_in_both_directions():
    limits = {"scale": (0.9, 1.1), "rotate": (-9, 9)}
    constant = A.Affine(translate_percent={"x": 0.0625, "y": 0.0625}, **limits)
    assert words(AFFINE, constant).startswith("always +2 pixels (not in both directions)")
    one_way = A.Affine(translate_percent=(0, 0.1), **limits)
    assert words(AFFINE, one_way).startswith("0 to +3 pixels (not in both directions)")
    sideways = A.Affine(translate_px={"x": (-2, 2), "y": 0}, **limits)
    assert words(AFFINE, sideways).startswith("x ±2, y ±0 pixels, ")
    assert AFFINE in failed(constant) and AFFINE in failed(one_way)
    assert AFFINE not in failed(sideways)
    fitted = A.Affine(translate_percent=(-0.1, 0.1), fit_output=True, **limits)
    assert AFFINE in failed(fitted)  # it ignores the shift
    always_small = A.Affine(translate_percent=(-0.1, 0.1), scale=0.9, rotate=10)
    assert words(AFFINE, always_small) == "±3 pixels, always -10%, always +10°, p = 0.5"
    assert AFFINE in failed(always_small)


# --- the cutout ---


def test_a_fill_within_two_levels_of_the_mean():
    assert CUTOUT not in failed(cutout(fill=tuple(255 * mean for mean in CIFAR10_MEAN)))
    assert CUTOUT not in failed(cutout(fill=tuple(level + 2 for level in MEAN_PIXEL)))
    assert CUTOUT in failed(cutout(fill=tuple(level + 3 for level in MEAN_PIXEL)))


def test_a_fill_on_the_wrong_scale():
    assert words(CUTOUT, cutout((0.49, 0.48, 0.45))) == "one 16×16 of (0, 0, 0), p = 0.5"
    assert CUTOUT in failed(cutout((0.49, 0.48, 0.45)))
    assert CUTOUT in failed(A.Normalize(), cutout((0.49, 0.48, 0.45)))
    assert CUTOUT in failed(A.ToFloat(max_value=255), cutout((125, 123, 114)))
    assert CUTOUT not in failed(A.ToFloat(max_value=255), cutout(CIFAR10_MEAN))
    own_mean = A.Normalize(mean=CIFAR10_MEAN, std=(0.25, 0.25, 0.25))
    assert CUTOUT not in failed(own_mean, cutout(0))
    assert CUTOUT in failed(A.ToTensorV2(), cutout())  # it can't run there


def test_the_assignments_own_arguments():
    names = ("max_holes", "max_height", "max_width", "min_holes", "min_height", "min_width")
    sizes = dict(zip(names, (1, 16, 16, 1, 16, 16), strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are ignored with a warning
        step = A.CoarseDropout(**sizes, fill_value=MEAN_PIXEL, mask_fill_value=None)
    assert CUTOUT in failed(step)


@pytest.mark.parametrize(
    "change",
    [{"hole_width_range": (8, 8)}, {"hole_width_range": (8, 16)}, {"num_holes_range": (2, 2)}],
)
def test_other_sizes_and_numbers(change):
    assert CUTOUT in failed(cutout(**change))


@pytest.mark.parametrize("fill", ["random", "random_uniform", "inpaint_telea"])
def test_other_colours(fill):
    assert CUTOUT in failed(cutout(fill)) and "colours" in words(CUTOUT, cutout(fill))


def test_the_augmentation_is_left_alone():
    steps = A.Compose([flip(), affine(border_mode=4), cutout()])
    before = str(steps.to_dict())
    measure_augmentation(steps)
    assert str(steps.to_dict()) == before
