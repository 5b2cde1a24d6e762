"""Every setting of every training run: one row for each recipe."""
from dataclasses import dataclass, fields, replace
from math import inf

__all__ = ["ADDED_LATER", "NETWORKS", "RECIPES", "Recipe", "get_recipe"]

# What a setting has to lie between; else between 0 and 1.
LIMITS = dict.fromkeys(("epochs", "batch_size"), (1, inf)) | dict.fromkeys(("lr", "weight_decay", "held_out"), (0, inf)) | {
    "images": (1, 50_000), "rotate": (0, 180)}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    epochs: int
    batch_size: int = 128
    lr: float             # the schedule's peak
    weight_decay: float = 5e-4
    held_out: int = 5000  # training images that choose best.pt
    images: int = 50_000  # of the training set, before any are held out
    shift: float = 0.125  # of the side; truncated to whole pixels
    scale: float = 0.1
    rotate: float = 15    # degrees
    ssr_prob: float = 0.5
    hole_prob: float = 0.5
    label_smoothing: float = 0.0
    on_device: bool = False  # whole batches augmented on the device, not image by image in albumentations

    def __post_init__(self):
        for field in fields(self):
            value, (low, high) = getattr(self, field.name), LIMITS.get(field.name, (0, 1))
            kind = (int, float) if field.type is float else field.type
            if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool) or not low <= value <= high:
                words = {bool: "True or False", int: "a whole number"}.get(field.type, "a number")
                words += "" if kind is bool else f" from {low} up" if high == inf else f" from {low} to {high}"
                raise ValueError(f"a recipe's {field.name} is {words}, not {value!r}")
        if self.held_out > self.images // 10:  # `split` holds out no more, and a record names what the run did use
            raise ValueError(f"a recipe's held_out is at most a tenth of its {self.images} images, not {self.held_out}")

    @property
    def policy(self) -> dict[str, float]:
        """The arguments of `utils.augment.make_policy`."""
        return {name: getattr(self, name) for name in ("shift", "scale", "rotate", "ssr_prob", "hole_prob")}


ADDED_LATER = {"label_smoothing": 0.0, "on_device": False}  # settings that older records do not name, and what they were made with

RECIPES = {
    # name               epochs         peak rate  else
    "s7":         Recipe(epochs=45, lr=0.4, weight_decay=2e-4),
    "s7_dilated": Recipe(epochs=16, lr=0.4, weight_decay=2e-4),
    "analysis":   Recipe(epochs=5,  lr=0.4, weight_decay=2e-4, on_device=True),  # each variant with each seed
    "fast":       Recipe(epochs=8,  lr=0.4, weight_decay=2e-4, held_out=0, ssr_prob=0.25, hole_prob=0.25, on_device=True),  # all images train: no best.pt
    "best":       Recipe(epochs=90, lr=0.4, weight_decay=2e-4, held_out=0, on_device=True),
    "tutorial":   Recipe(epochs=1,  lr=0.01, ssr_prob=0.0, hole_prob=0.0),
    "quick":      Recipe(epochs=3,  lr=0.1, batch_size=32, images=6000, held_out=600),
}
# The network that a recipe was made for.
NETWORKS = dict.fromkeys(RECIPES, "s7") | {"s7_dilated": "s7_dilated", "fast": "s7_deep", "best": "s7_deep", "tutorial": "tutorial"}


def get_recipe(name: str, **changes) -> Recipe:
    """A recipe with some settings changed. Raises ValueError for an unknown name or setting, or one of a wrong value."""
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}; choose one of: {', '.join(RECIPES)}")
    known = [field.name for field in fields(Recipe)]
    if unknown := changes.keys() - set(known):
        raise ValueError(f"a recipe has no setting {', '.join(sorted(unknown))}; it has: {', '.join(known)}")
    return replace(RECIPES[name], **changes)
