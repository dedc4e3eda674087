"""A recipe: the base methods of a published table, how each is tuned on its benchmark, and at what scale.

Every method has the same number of trials over its own knobs and the shared ones; then as many over the knobs
of stage 2, on top of its best stage 1. What all recipes know of a method stands in `recipes/methods.yaml`.
"""

from importlib.resources import files
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, PositiveInt, model_validator

from dirsweep.config import Config, TrialConfig, explain, merged, nearest
from dirsweep.search.distribution import Distribution
from dirsweep.search.model import SweepSpec
from dirsweep.search.spec import parse_spec

METHODS = "methods"
TWO_STAGE = "two_stage"
FAMILIES = {
    "dir": "the DIR recipe",
    "rank-n-contrast": "the Rank-N-Contrast recipe",
    "pretrained": "pretrained encoders",
}
"""Recipe families; figures of one are never set beside those of another."""


Size = Literal["smoke", "small", "full"]
"""What `SCALE=` may be."""


class Method(Config):
    """A base method: its settings and its own searched knobs."""

    title: str = ""
    """As the field writes it."""
    fixed: dict[str, Any] = Field(default_factory=dict)
    """Part of a trial's configuration."""
    searched: dict[str, Distribution] = Field(default_factory=dict)
    """Its own knobs."""


class Scale(Config):
    """How much of a recipe is run."""

    about: str
    """What it leaves of the published recipe, in a sentence."""
    trials: PositiveInt
    """Trials of every search."""
    seeds: PositiveInt
    """Fresh seeds of every row of the table."""
    fixed: dict[str, Any] = Field(default_factory=dict)
    """Part of a trial's configuration."""
    searched: dict[str, Distribution] = Field(default_factory=dict)
    """Ranges instead of the recipe's, by the same names."""
    generated: bool = False
    """Whether images are drawn where the real ones are absent."""


class Recipe(Config):
    """A benchmark, the methods of its table and how they are run."""

    title: str
    """Heading of the page."""
    family: Literal["dir", "rank-n-contrast", "pretrained"]
    """Which published rows may stand beside it."""
    published: Literal["agedb_dir", "imdb_wiki_dir", "sts_b_dir"] | None = None
    """The published table."""
    about: str
    """What a reader must know of how this is trained."""
    fixed: dict[str, Any]
    """Part of every trial's configuration."""
    shared: Annotated[dict[str, Distribution], Field(min_length=1)]
    """Knobs that are searched for every method."""
    stage2: Annotated[dict[str, Distribution], Field(min_length=1)]
    """Knobs of stage 2, searched on top of a method's best stage 1."""
    ordinality: Annotated[dict[str, Distribution], Field(min_length=1)]
    """Knobs of norm ordinality, searched for the two-stage method."""
    objectives: Annotated[tuple[str, ...], Field(min_length=1)]
    """What is minimised on val; the first decides."""
    methods: Annotated[dict[str, Method], Field(min_length=1)]
    """Base methods by key, as published tables have them; "vanilla" is the base of the two-stage method."""
    scales: dict[Size, Scale]
    """What `SCALE=` may be."""
    values: dict[str, Any] = Field(default_factory=dict)
    """Knobs of every trial by dotted name, over everything else."""

    @model_validator(mode="after")
    def _has_vanilla(self) -> "Recipe":
        if next(iter(self.methods)) != "vanilla":
            raise ValueError("methods must begin with vanilla: all others are compared with it")
        return self


def names() -> list[str]:
    """The recipes there are."""
    found = (file.name.removesuffix(".yaml") for file in files(__package__).joinpath("recipes").iterdir())
    return sorted(name for name in found if name != METHODS)


def read(name: str) -> Recipe:
    """A recipe by name. ValueError if there is none, or if it is not right."""
    known = names()
    if name.replace("-", "_") not in known:
        near = nearest(name.replace("-", "_"), known)
        hint = f" (did you mean {near.replace('_', '-')!r}?)" if near else ""
        raise ValueError(f"no recipe {name!r}{hint}; there are {', '.join(known).replace('_', '-')}")
    name = name.replace("-", "_")
    tree, common = _tree(name), _tree(METHODS)
    tree["methods"] = {key: over(common[key], change) for key, change in tree["methods"].items()}
    try:
        return Recipe.model_validate(tree)
    except ValueError as error:
        raise ValueError(explain(error, f"recipes/{name}.yaml")) from None


def chosen(recipe: Recipe, asked: str | None) -> Recipe:
    """The recipe with some of its methods alone ("vanilla,ranksim"); vanilla is always among them."""
    if asked is None:
        return recipe
    keys = {"vanilla", *(key.strip() for key in asked.split(","))}
    unknown = keys - set(recipe.methods)
    if unknown:
        raise ValueError(f"no method {sorted(unknown)[0]!r} here; there are {', '.join(recipe.methods)}")
    return recipe.model_copy(
        update={"methods": {key: method for key, method in recipe.methods.items() if key in keys}}
    )


def with_values(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    """The recipe with knobs of every trial set by dotted name, at every scale.

    Raises:
        ValueError: a knob is searched in this recipe, so that to set it would do nothing.
    """
    own = [name for method in recipe.methods.values() for name in method.searched]
    searched = {*recipe.shared, *recipe.stage2, *recipe.ordinality, *own}
    for name in values:
        if any(other == name or other.startswith(f"{name}.") for other in searched):
            raise ValueError(
                f"--set {name}: this recipe searches it, or a part of it, so it would do nothing"
            )
    return recipe.model_copy(update={"values": values})


def check(recipe: Recipe, scale: Scale) -> None:
    """ValueError, before anything is trained, if a configuration of the recipe cannot be."""
    try:
        for key in recipe.methods:
            followed(recipe, scale, key, alone(recipe, scale, key).default_config()).default_config()
        two_stage(recipe, scale).default_config()
    except ValueError as error:
        told = f"the recipe with --set {', '.join(recipe.values)}" if recipe.values else "the recipe"
        raise ValueError(explain(error, told)) from None


def alone(recipe: Recipe, scale: Scale, key: str) -> SweepSpec:
    """The search of a base method by itself."""
    method = recipe.methods[key]
    off = {"stage1": {"norm_ordinality": {"name": "none"}}, "stage2": None}
    return _spec(
        f"How good is {method.title}, tuned?",
        over(over(over(recipe.fixed, scale.fixed), method.fixed), off),
        {**recipe.shared, **method.searched},
        recipe,
        scale,
        scale.trials,
    )


def followed(recipe: Recipe, scale: Scale, key: str, best: TrialConfig) -> SweepSpec:
    """The search of the stage 2 that follows the best stage 1 of a base method."""
    fixed = best.model_dump(mode="json")
    fixed["stage2"] = over(recipe.fixed, scale.fixed).get("stage2", {})
    question = f"What does stage 2 add to {recipe.methods[key].title}, tuned?"
    return _spec(question, fixed, recipe.stage2, recipe, scale, scale.trials)


def two_stage(recipe: Recipe, scale: Scale) -> SweepSpec:
    """The search of both stages on the plain model: as many trials as a method and its stage 2 have."""
    fixed = over(over(recipe.fixed, scale.fixed), recipe.methods["vanilla"].fixed)
    searched = {**recipe.shared, **recipe.methods["vanilla"].searched, **recipe.ordinality, **recipe.stage2}
    question = "How good is the two-stage method, tuned?"
    return _spec(question, fixed, searched, recipe, scale, 2 * scale.trials, mode="staged")


def over(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """A copy of a nested `base` with a `change` laid over it; a branch with another `name` replaces."""
    result = dict(base)
    for key, value in change.items():
        before = result.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            same = value.get("name", before.get("name")) == before.get("name")
            result[key] = over(before, value) if same else value
        else:
            result[key] = value
    return result


def _spec(
    question: str,
    fixed: dict[str, Any],
    searched: dict[str, Distribution],
    recipe: Recipe,
    scale: Scale,
    trials: int,
    **fields: Any,
) -> SweepSpec:
    ranges = {name: scale.searched.get(name, given) for name, given in searched.items()}
    tree = {
        "question": question,
        "fixed": _with_values(fixed, recipe.values),
        "searched": {name: given.model_dump(mode="json", by_alias=True) for name, given in ranges.items()},
        "objectives": recipe.objectives,
        "budget": {"trials": trials},
        **fields,
    }
    return parse_spec(tree, "the recipe")


def _with_values(fixed: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """The fixed part with values set; those of stage 2 wait until there is one."""
    config = TrialConfig.model_validate(fixed)
    own = {name: value for name, value in values.items() if config.stage2 or not name.startswith("stage2")}
    whole, result = config.with_overrides(own).model_dump(mode="json"), merged(fixed, own)
    for name in own:  # a branch that was left at its default says which it is
        full, part = whole, result
        for step in name.split(".")[:-1]:
            place: Any = int(step) if isinstance(full, list) else step
            full, part = full[place], part[place]
            if isinstance(full, dict) and "name" in full:
                part.setdefault("name", full["name"])
    return result


def _tree(name: str) -> dict[str, Any]:
    text = files(__package__).joinpath("recipes", f"{name}.yaml").read_text()
    return dict(yaml.safe_load(text))
