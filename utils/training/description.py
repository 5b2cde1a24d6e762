"""What describes a training run."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import PurePath

import numpy as np

from .recipes import Recipe

__all__ = ["Run"]


@dataclass
class Run:
    """What describes a training run, in checkpoints, records, cards and captions alike.

    `flags` are those of the network's class. `teachers` describe the networks that taught it,
    `calls` the command and the machine of each program call that had a part in it. `history` has
    one row for each epoch: losses in nats, accuracies as fractions 0–1.
    Raises ValueError for a value that a file can't hold as plain text or number.
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
            setattr(self, entry.name, _plain(getattr(self, entry.name), entry.name))
        if type(self.seed) is not int or not 0 <= self.seed < 2**32:
            raise ValueError(
                f"a run's seed is a whole number from 0 to 2**32 - 1, not {self.seed!r}"
            )

    def to_dict(self) -> dict:
        """Plain values only; ``Run(**run.to_dict())`` is the same run."""
        return asdict(self)

    def difference(self, other: "Run") -> str:
        """In which setting the other run differs, in words; "" if both are the same run."""
        for name in ("recipe", "seed", "dataset", "flags", "teachers"):
            ours, theirs = getattr(self, name), getattr(other, name)
            if name == "recipe":  # only the settings that differ
                ours, theirs = asdict(ours), asdict(theirs)
                changed = [key for key in ours if ours[key] != theirs[key]]
                ours, theirs = ({key: one[key] for key in changed} for one in (ours, theirs))
            if ours != theirs:
                return f"{name} = {ours} and not {theirs}"
        return ""

    @property
    def seconds(self) -> float:
        """Wall time of all epochs, with their evaluation."""
        return sum(row["seconds"] for row in self.history)

    @property
    def finished(self) -> bool:
        return len(self.history) >= self.recipe.epochs


def _plain(value, name: str):
    """NumPy's numbers as Python's, paths as text; ValueError for what has no plain form."""
    if isinstance(value, dict):
        return {str(key): _plain(entry, f"{name}[{key!r}]") for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry, name) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, PurePath):
        return str(value)
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise ValueError(
        f"a run's {name} is a number, text or a list of such, "
        f"not {value!r} ({type(value).__name__})"
    )
