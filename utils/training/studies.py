"""Studies: named variants of a recipe and a network, for `experiments.py`."""

from dataclasses import dataclass, field, replace

from .recipes import RECIPES, Recipe, get_recipe

__all__ = ["STUDIES", "Variant"]


@dataclass(frozen=True)
class Variant:
    """A recipe, flags of its network, and the runs that teach it: STUDY/VARIANT-SEED."""

    recipe: Recipe
    flags: dict = field(default_factory=dict)
    teachers: tuple[str, ...] = ()


def slim(recipe: Recipe = RECIPES["analysis"], **flags: bool | float) -> Variant:
    """`s7` with one pair a block and fewer channels: 85,722 parameters, 13 M multiply-adds.

    It trains in less than half the time of `s7`: two cores train 14 seeds in an evening.
    """
    shape = {"pairs": (1, 1, 1, 1), "widths": (16, 32, 64, 96)}
    return Variant(recipe, shape | flags)


def trial(
    pairs: tuple = (1, 2, 2, 1), widths: tuple = (16, 48, 80, 96), **changes: float
) -> Variant:
    """Twelve epochs, judged on the validation images.

    `pairs` and `widths` are those of the network from where the search set out; `changes` are
    settings of the recipe.
    """
    settings = {"epochs": 12, "weight_decay": 0.01, "val_images": 5000}
    settings |= {"affine_prob": 0.5, "cutout_prob": 0.5}
    return Variant(get_recipe("s7", **settings | changes), {"pairs": pairs, "widths": widths})


def setting(**changes: float | str) -> Variant:
    """`s7` as it was before this study, judged on more validation images."""
    settings = {"epochs": 80, "weight_decay": 0.01, "val_images": 5000}
    return Variant(get_recipe("s7", **settings | changes))


def eight_epochs(**changes: str | float) -> Variant:
    """A trial of `s7` in eight epochs. With a temperature it learns from a teacher.

    The teacher has another seed: with the same one it would have learned from these very pictures.
    """
    teachers = ("distillation/teacher-3",) if "temperature" in changes else ()
    return Variant(replace(trial().recipe, epochs=8, **changes), teachers=teachers)


LONGER = get_recipe("analysis", epochs=30, batch_size=256, val_images=5000)
TEACHERS = ("results/teacher-0", "results/teacher-1")
STUDIES: dict[str, dict[str, Variant]] = {
    # What README's table of results shows.
    "results": {
        "s7": Variant(RECIPES["s7"]),
        "student": Variant(RECIPES["student"], teachers=TEACHERS),
        "fast": Variant(RECIPES["fast"]),
        "fast, SGD without EMA": Variant(
            get_recipe("fast", optimizer="sgd", lr=0.2, weight_decay=5e-4, ema=0.0)
        ),
        "fast, on a GPU": Variant(RECIPES["fast"]),
        "s7_dilated": Variant(RECIPES["s7_dilated"], teachers=TEACHERS),
        "teacher": Variant(RECIPES["teacher"]),
    },
    # Where parameters go, and what a recipe gains from one idea at a time.
    "trials": {
        "start": trial(),
        "one wide pair in C1": trial(widths=(32, 44, 80, 96)),
        "two wide pairs in C1": trial(pairs=(2, 2, 2, 1), widths=(32, 40, 80, 96)),
        "three pairs in C1": trial(pairs=(3, 3, 2, 1), widths=(24, 36, 72, 96)),
        "deep and narrow": trial(pairs=(4, 4, 3, 1), widths=(16, 32, 64, 96)),
        "lr 0.05": trial(lr=0.05),
        "affine and cutout on 1/4": trial(affine_prob=0.25, cutout_prob=0.25),
    },
    # What a whole run of s7 gains from another setting.
    "settings": {
        "baseline": setting(),
        "label smoothing 0.1": setting(label_smoothing=0.1),
        "weight decay 0.03": setting(weight_decay=0.03),
        "weight decay 0.1": setting(weight_decay=0.1),
        "label smoothing 0.1, weight decay 0.03": setting(label_smoothing=0.1, weight_decay=0.03),
        "affine and cutout on all": setting(affine_prob=1.0, cutout_prob=1.0),
        "SGD": setting(optimizer="sgd", lr=0.4, weight_decay=5e-4),
    },
    # What a teacher brings in equally many epochs, and how late images should repeat.
    "distillation": {
        "labels": eight_epochs(),
        "a teacher, images repeat after 4 epochs": eight_epochs(temperature=2.0, cycle=4),
        "a teacher, images repeat after 2 epochs": eight_epochs(temperature=2.0, cycle=2),
        "teacher": eight_epochs(model="teacher"),
    },
    # The three sentences about dilation and depthwise convolution.
    "analysis": {
        "slim": slim(),
        "no dilation": slim(dilation=False),
        "dense": slim(depthwise=False),
        "dense, same parameters": slim(depthwise=False, width=0.5),
        "dense, same multiply-adds": slim(depthwise=False, width=0.82),
        "slim, width 0.7": slim(width=0.7),
        "slim, width 1.5": slim(width=1.5),
        "dilation alone": Variant(get_recipe("analysis", model="s7_dilated"), {"width": 0.66}),
    },
    # Do four epochs tell what thirty do?
    "longer": {
        "slim": slim(LONGER),
        "no dilation": slim(LONGER, dilation=False),
    },
}
