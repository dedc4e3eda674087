"""Dotted names of all knobs, with what each takes, its default and its meaning.

`dirsweep params` prints what `knobs` finds; a search space may search exactly these names.
"""

import json
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dirsweep.config.trial import TrialConfig


@dataclass(frozen=True)
class Knob:
    """One knob: its dotted name, what it takes, its default and what it means.

    `variant` names the choice that has the knob ("kl"), where only some have it.
    """

    name: str
    takes: str
    default: str
    meaning: str
    variant: str = ""


def knobs(prefix: str = "", model: type[BaseModel] = TrialConfig) -> list[Knob]:
    """All knobs of a trial whose dotted name starts with `prefix`; `then.0` stands for any further phase."""
    return [knob for knob in _walk(model, "", "") if knob.name.startswith(prefix)]


def options(annotation: Any) -> list[Any]:
    """The alternatives of a type: those of a union, else itself."""
    if get_origin(annotation) is Annotated:
        return options(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [found for option in get_args(annotation) for found in options(option)]
    return [annotation]


def tag(model: Any) -> str | None:
    """The value of `name` that picks this variant."""
    if isinstance(model, type) and issubclass(model, BaseModel) and "name" in model.model_fields:
        return str(model.model_fields["name"].default)
    return None


def _walk(model: type[BaseModel], prefix: str, variant: str) -> Iterator[Knob]:
    for field, info in model.model_fields.items():
        name = f"{prefix}{field}"
        models = [option for option in options(info.annotation) if _is_model(option)]
        lists = [option for option in options(info.annotation) if get_origin(option) is tuple]
        if models:
            tags = [name for name in map(tag, models) if name]
            if len(tags) > 1:
                yield Knob(f"{name}.name", " | ".join(tags), _shown(info), info.description or "", variant)
            for option in models:
                label = (tag(option) or "") if len(models) > 1 else variant
                yield from _walk(option, f"{name}.", label)
        elif lists and _is_model(get_args(lists[0])[0]):
            yield from _walk(get_args(lists[0])[0], f"{name}.0.", variant)
        elif field != "name":
            yield Knob(name, _takes(info), _shown(info), info.description or "", variant)


def _is_model(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, BaseModel)


def _takes(info: FieldInfo) -> str:
    """What a knob accepts, in words: its choices, or its type and limits."""
    taken = options(info.annotation)
    choices = [str(value) for kind in taken if get_origin(kind) is Literal for value in get_args(kind)]
    if choices:
        return " | ".join(choices)
    limits = [
        f"{sign} {value:g}"
        for item in [*info.metadata, *_metadata(info.annotation)]
        for sign, value in _limits(item)
    ]
    words = {int: "whole number", float: "number", bool: "true | false", str: "text", type(None): "null"}
    first, *others = ["pairs" if get_origin(kind) is dict else words.get(kind, "list") for kind in taken]
    return " | ".join([f"{first} {', '.join(limits)}".strip(), *others])


def _metadata(annotation: Any) -> list[Any]:
    """Limits that stand inside `X | None`."""
    if get_origin(annotation) is Annotated:
        return [item for field in annotation.__metadata__ for item in getattr(field, "metadata", [field])]
    if get_origin(annotation) in (Union, types.UnionType):
        return [item for option in get_args(annotation) for item in _metadata(option)]
    return []


def _limits(item: Any) -> Iterator[tuple[str, float]]:
    for attribute, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<=")):
        value = getattr(item, attribute, None)
        if value is not None:
            yield sign, value


def _shown(info: FieldInfo) -> str:
    if info.is_required():
        return "(needed)"
    if isinstance(info.default, BaseModel):
        return tag(type(info.default)) or "(see below)"
    if info.default is None or isinstance(info.default, bool):
        return json.dumps(info.default)
    if isinstance(info.default, tuple):
        return "[" + ", ".join(f"{item:.3g}" for item in info.default) + "]"
    return str(info.default)
