"""Recipes, the optimizer, one epoch, a whole run, its checkpoints and the device it runs on."""

from .checkpoint import load_checkpoint, make_folder, save_checkpoint
from .description import Run
from .device import amp_dtype, get_device, machine, memory_format
from .distillation import DistillationLoader, distillation_loss
from .engine import Learner, evaluate, predict, train_epoch
from .optimizer import Muon, make_optimizer, orthogonalize
from .recipes import RECIPES, Recipe, get_recipe
from .run import print_row, train
from .studies import STUDIES, Variant

__all__ = [
    "RECIPES",
    "STUDIES",
    "Learner",
    "Muon",
    "Recipe",
    "Run",
    "DistillationLoader",
    "Variant",
    "amp_dtype",
    "distillation_loss",
    "evaluate",
    "get_device",
    "get_recipe",
    "load_checkpoint",
    "machine",
    "make_folder",
    "make_optimizer",
    "memory_format",
    "orthogonalize",
    "predict",
    "print_row",
    "save_checkpoint",
    "train",
    "train_epoch",
]
