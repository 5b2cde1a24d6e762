"""The table of settings, and what is no setting."""

import pytest

from models import MODELS
from utils.training import RECIPES, get_recipe


def test_recipes_name_networks():
    assert {recipe.model for recipe in RECIPES.values()} == set(MODELS)


def test_unknown_names():
    with pytest.raises(ValueError, match="unknown recipe 'slow'; choose one of: fast, s7, student"):
        get_recipe("slow")
    with pytest.raises(ValueError, match="has no setting rate; it has: model, epochs, batch_size"):
        get_recipe("s7", rate=0.1)


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("epochs", 0, "from 1 to 10000"),
        ("epochs", 2.5, "of type int"),
        ("epochs", True, "of type int"),
        ("batch_size", 0, "from 1 to 50000"),
        ("images", -5, "from 1 to 50000"),
        ("images", 60_000, "from 1 to 50000"),
        ("val_images", -1, "from 0 to 5000"),
        ("lr", "x", "of type float"),
        ("lr", float("nan"), "from 0 to 10"),
        ("lr", float("1e400"), "from 0 to 10"),
        ("weight_decay", float("inf"), "from 0 to 10"),
        ("temperature", -1, "from 0 to 100"),
        ("ema", 2, "from 0 to 1"),
        ("cutout_prob", 10**400, "from 0 to 1"),
        ("rotate", 200, "from 0 to 180"),
        ("on_device", 1, "of type bool"),
        ("model", 7, "of type str"),
        ("optimizer", "adam", "muon or sgd"),
    ],
)
def test_invalid_settings(name, value, words):
    with pytest.raises(ValueError, match=f"a recipe's {name} is {words}, not {value!r}"):
        get_recipe("quick", **{name: value})


def test_settings_that_contradict_each_other():
    with pytest.raises(ValueError, match="at most a tenth of its 4000 images, not 401"):
        get_recipe("quick", val_images=401)
    assert get_recipe("quick", val_images=400).val_images == 400
    with pytest.raises(ValueError, match="cycle is for a teacher's answers: give a temperature"):
        get_recipe("s7", cycle=5)
    with pytest.raises(ValueError, match="label_smoothing is for labels: leave out the temp"):
        get_recipe("student", label_smoothing=0.1)
