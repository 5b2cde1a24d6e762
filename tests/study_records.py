"""Records of runs that never were, for tests of what reads records."""

from dataclasses import asdict

import numpy as np

from experiments import STUDIES

MACHINE = {"device": "test device", "precision": "float32", "python": "3.11", "torch": "2.0",
           "torchvision": "0.2", "albumentations": "2.0.8"}  # fmt: skip


def record(study: str, name: str, seed: int = 0, accuracy: float = 0.8, **changes) -> dict:
    """One run's record as experiments.py writes it."""
    variant = STUDIES[study][name]
    recipe = variant.recipe
    history = [
        {"epoch": epoch, "test_acc": accuracy * epoch / recipe.epochs, "seconds": 2.0}
        for epoch in range(1, recipe.epochs + 1)
    ]
    place = list(STUDIES[study]).index(name)  # every variant has its own size
    return {
        "variant": name,
        "test_accuracy": accuracy,
        "val_accuracy": accuracy if recipe.val_images else None,
        "parameters": 100_000 + 10_000 * place,
        "multiply_adds": 40_000_000 + 5_000_000 * place,
        "receptive_field": 113,
        "seconds": 2.0 * recipe.epochs,
        "recipe": asdict(recipe),
        "seed": seed,
        "dataset": "CIFAR-10",
        "command": f"python experiments.py {study}",
        "flags": variant.flags,
        "teachers": [],
        "calls": [{"command": f"python experiments.py {study}", "machine": MACHINE}],
        "history": history,
    } | changes


def analysis(seeds: int, **means: float) -> list[dict]:
    """Runs of the whole analysis around these mean accuracies in percent (else 80), sd 0.4."""
    generator = np.random.default_rng(0)
    names = list(STUDIES["analysis"])
    return [
        record("analysis", name, seed, (means.get(name, 80.0) + generator.normal(0, 0.4)) / 100)
        for seed in range(seeds)
        for name in names
    ]
