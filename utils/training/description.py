"""What describes a training run."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import PurePath

import numpy as np

from .recipes import Recipe

__all__ = ["Run"]

SETTINGS = ("seed", "dataset", "flags", "teachers")  # that decide a result, beside the recipe


@dataclass
class Run:
    """What describes a training run, in checkpoints, records, cards and captions alike.

    `flags` are those of the network's class. `teachers` describe the networks that taught it,
    `calls` the command and the machine of each program call that had a part in it. `history` has
    one row for each epoch: losses in nats, accuracies as fractions 0–1.
    Values become what JSON can hold, tuples are lists then; ValueError for one that can't.
    """

    recipe: Recipe
    seed: int
    dataset: str
    command: str
    flags: dict = field(default_factory=dict)
    teachers: list[dict] = field(default_factory=list)
    calls: list[dict] = field(default_factory=list)
    history: list[dict] = field(default_factory=list)

    def __post_init__(self) -> None:
        if isinstance(self.recipe, dict):
            self.recipe = Recipe(**self.recipe)
        for entry in fields(self)[1:]:
            plain = json.loads(json.dumps(getattr(self, entry.name), default=_plain))
            setattr(self, entry.name, plain)
        if type(self.seed) is not int or not 0 <= self.seed < 2**32:
            raise ValueError(
                f"a run's seed is a whole number from 0 to 2**32 - 1, not {self.seed!r}"
            )

    def to_dict(self) -> dict:
        """Plain values only; ``Run(**run.to_dict())`` is the same run."""
        return asdict(self)

    def difference(self, other: "Run") -> str:
        """The settings in which the other run differs, in words; "" if both are the same run."""
        ours, theirs = (
            asdict(run.recipe) | {name: getattr(run, name) for name in SETTINGS}
            for run in (self, other)
        )
        changed = [name for name in ours if ours[name] != theirs[name]]
        return ", ".join(f"{name} = {ours[name]} and not {theirs[name]}" for name in changed)

    @property
    def seconds(self) -> float:
        """Wall time of all epochs, with their evaluation."""
        return sum(row["seconds"] for row in self.history)

    @property
    def finished(self) -> bool:
        return len(self.history) >= self.recipe.epochs


def _plain(value: object) -> int | float | str | bool:
    """NumPy's numbers as Python's, paths as text; ValueError for what has no plain form."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, PurePath):
        return str(value)
    raise ValueError(
        "a run is described by numbers, text and lists of such, "
        f"not by {value!r} ({type(value).__name__})"
    )
