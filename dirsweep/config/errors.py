"""Say what is wrong with a configuration: the file, the key, what was found and what would be right.

Pydantic names a place by field and variant; a reader knows it by the dotted name that sets it.
"""

import contextlib
import difflib
import re
from collections.abc import Iterable
from itertools import takewhile
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from dirsweep.config.encoder import BACKBONES
from dirsweep.config.names import knobs, options, tag
from dirsweep.config.trial import TrialConfig

SYNONYMS = {
    "alpha": "ordinal_entropy",
    "beta": "weight",
    "learning_rate": "lr",
    "mu": "norm_weight",
    "temperature": "tau",
    "theta": "majority_threshold",
    "wd": "weight_decay",
}
"""Other words for the last part of a name, from METHOD and from common use."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was most likely meant by `name`; None if it is like none.

    Either its last part is the same (or another word for it) or the whole is nearly the same; of several,
    the one that lies in the same branch of the tree.
    """
    names = sorted(known)
    *way, last = name.split(".")
    ends = {last, SYNONYMS.get(last, last)}
    same_end = {other for other in names if other.rsplit(".", 1)[-1] in ends}
    similar = same_end | set(difflib.get_close_matches(name, names, 5, 0.9))
    if not similar:
        return next(iter(difflib.get_close_matches(name, names, 1, 0.6)), None)
    return min(
        similar,
        key=lambda other: (-_shared(way, other), other not in same_end, -_likeness(name, other), other),
    )


def _shared(way: list[str], other: str) -> int:
    """How many leading parts a name has in common with the parts `way`."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(way, other.split("."), strict=False))))


def _likeness(name: str, other: str) -> float:
    return difflib.SequenceMatcher(None, name, other).ratio()


def unknown(name: str, model: type[BaseModel] = TrialConfig) -> str:
    """What to say of a dotted name that cannot be set: the variant that has it, or the nearest known name."""
    known = knobs(model=model)
    general = re.sub(r"\bthen\.\d+", "then.0", name)
    owners = [knob.variant for knob in known if knob.name in (general, f"{general}.name") and knob.variant]
    if owners:
        picks, owner = f"{name.rpartition('.')[0]}.name", _either(owners)
        return f"'{name}' belongs to {owner}; set {picks} to {owner}, or leave it out"
    parts = [knob.name.split(".") for knob in known]
    guess = nearest(general, {".".join(part[: end + 1]) for part in parts for end in range(len(part))})
    hint = f"; did you mean '{guess}'?" if guess else "."
    if model is TrialConfig:
        return f"unknown parameter '{name}'{hint} `dirsweep params` lists them all."
    allowed = _keys(name.split(".")[:-1], model)
    every = f"; allowed here: {', '.join(allowed)}" if allowed else ""
    return f"unknown parameter '{name}'{f' (did you mean {guess!r}?)' if guess else ''}{every}"


def _keys(way: list[str], model: Any) -> list[str]:
    """The keys that may stand below `model` where the parts `way` lead; none where that is not known."""
    for part in way:
        model = _below(model, part)
    models = [
        option for option in options(model) if isinstance(option, type) and issubclass(option, BaseModel)
    ]
    return sorted({info.alias or field for option in models for field, info in option.model_fields.items()})


def no_such(key: str, found: Any, allowed: Iterable[str]) -> str:
    """What to say where `name` picks a variant that there is not."""
    return f"'{key}.name': there is no {shown(found)}; choose {_either(allowed)}"


def _either(words: Iterable[str]) -> str:
    """Words for a reader: "kl", "kl or rank", "kl, rank or hinge"."""
    *most, last = dict.fromkeys(words)
    return f"{', '.join(most)} or {last}" if most else last


def explain(error: ValueError, where: str, model: type[BaseModel] = TrialConfig) -> str:
    """One line per problem that `model` found: the file or place `where`, the key, and what to do."""
    if not isinstance(error, ValidationError):
        said = str(error)
        return said if said.startswith(f"{where}: ") else f"{where}: {said}"
    problems = error.errors()
    places = [problem["loc"] for problem in problems]
    told = [  # a list whose items are wrong is also "too short": its items say it better
        problem
        for problem in problems
        if not any(place != problem["loc"] == place[: len(problem["loc"])] for place in places)
    ]
    return "\n".join(f"{where}: {_problem(problem, model)}" for problem in told)


def _problem(problem: Any, model: type[BaseModel]) -> str:
    key, found = _dotted(problem["loc"], model), problem["input"]
    message = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    match problem["type"]:
        case "extra_forbidden":
            return unknown(key, model)
        case "missing":
            return f"'{key}' is missing"
        case "union_tag_invalid":
            allowed = problem["ctx"]["expected_tags"].replace("'", "").split(", ")
            if "backbone" in allowed:  # each of them may stand there by its own name
                place = allowed.index("backbone")
                allowed[place : place + 1] = BACKBONES
            return no_such(key, problem["ctx"]["tag"], allowed)
        case "union_tag_not_found":
            return f"'{key}.name' is missing; it says which variant the other keys belong to"
        case "model_attributes_type" if isinstance(found, str):
            return f"'{key}': found {shown(found)}; write {{name: {found}}}"
        case "value_error" if isinstance(found, dict):
            return f"'{key}': {message}" if key else message
    return f"'{key}': {message}; found {shown(found)}{_number_hint(found)}"


def shown(found: Any) -> str:
    """What was found, cut short where it is long."""
    text = repr(found)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _number_hint(found: Any) -> str:
    """YAML takes 1e2 for text; a whole number cannot be read from that text."""
    if isinstance(found, str) and "e" in found.lower():
        with contextlib.suppress(ValueError):
            return f" (YAML reads it as text; write {float(found):.1f})"
    return ""


def _dotted(location: tuple[Any, ...], model: Any) -> str:
    """The dotted name of a place below `model`; the variant names that pydantic puts in are left out."""
    parts: list[str] = []
    for part in location:
        variants = [option for option in options(model) if tag(option) == part]
        if variants and len(options(model)) > 1:
            model = variants[0]
            continue
        parts.append(str(part))
        model = _below(model, part)
    return ".".join(parts)


def _below(model: Any, part: Any) -> Any:
    """The type of field (or list item) `part` of a type; None where there is no such thing."""
    for option in options(model):
        if isinstance(option, type) and issubclass(option, BaseModel) and part in option.model_fields:
            return option.model_fields[part].annotation
        if get_origin(option) is tuple:
            return get_args(option)[0]
    return None
