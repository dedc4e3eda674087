import pytest
import tiny

from dirsweep.config import method_key
from dirsweep.reproduce import read
from dirsweep.reproduce.recipe import alone, followed

PLAIN = {"stage1.norm_ordinality.name": "none", "stage2": None}


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({}, "two_stage"),
        ({"stage2.norm_weight": 0.0}, "two_stage-mu0"),
        ({"stage2": None}, "vanilla+ordinality"),
        ({"stage1.norm_ordinality.weight": 0.0}, "vanilla+stage2"),
        ({"stage2.schedule.epochs": 0, "stage1.norm_ordinality.weight": 0.0}, "vanilla"),
        ({"stage1.weighting.name": "lds"}, "lds+two_stage"),
        (PLAIN | {"stage1.loss.name": "mse"}, "vanilla"),
        (PLAIN | {"stage1.optimizer.rho": 0.1}, "sam"),
        (PLAIN | {"stage1.then": [{"epochs": 1, "layers": "head"}]}, "vanilla"),
    ],
)
def test_a_configuration_is_called_by_its_base_method_and_our_parts(tmp_path, values, key):
    assert method_key(tiny.config(tmp_path).with_overrides(values)) == key


@pytest.mark.parametrize("name", ["diamonds", "sts_b", "agedb", "agedb_rnc"])
def test_every_method_of_a_recipe_goes_by_the_key_of_its_table(name):
    recipe = read(name)
    scale = recipe.scales["small"]
    for method in recipe.methods:
        config = alone(recipe, scale, method).default_config()
        assert method_key(config) == method
        after = followed(recipe, scale, method, config).default_config()
        assert method_key(after) == f"{method}+stage2"
