"""Recipes, the optimizer, one epoch, a whole run, its checkpoints and the device it runs on."""

from .checkpoint import load_checkpoint, make_folder
from .description import Run
from .device import get_device, machine
from .engine import Learner, evaluate, predict, train_epoch
from .recipes import RECIPES, Recipe, get_recipe
from .run import print_row, train
from .studies import STUDIES

__all__ = [
    "RECIPES",
    "STUDIES",
    "Learner",
    "Recipe",
    "Run",
    "evaluate",
    "get_device",
    "get_recipe",
    "load_checkpoint",
    "machine",
    "make_folder",
    "predict",
    "print_row",
    "train",
    "train_epoch",
]
