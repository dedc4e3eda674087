"""Which rules there are for what dirsweep reads, and which of them were broken while something ran.

A rule is either a place that raises ValueError (or notes a problem) in a module that reads, or a limit that a
field of a configuration declares. Both are found by looking at the code, so a new one is there by itself.
"""

import ast
import inspect
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

import dirsweep
from dirsweep.config.names import options, tag

PACKAGE = Path(dirsweep.__file__).parent
LIMITS = {
    "gt": "greater_than",
    "ge": "greater_than_equal",
    "lt": "less_than",
    "le": "less_than_equal",
    "min_length": "too_short",
    "max_length": "too_long",
    "pattern": "string_pattern_mismatch",
}
"""What a limit is called in a field, and in pydantic's errors."""


# ---- places that refuse


@dataclass(frozen=True)
class Place:
    """A statement that refuses: its file below the package, its function, its lines and its text."""

    file: str
    function: str
    first: int
    last: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.first} {self.function}: {self.text}"

    @property
    def name(self) -> str:
        """What it is called where lines move."""
        return f"{self.file} {self.function}: {self.text}"


@lru_cache
def places(files: tuple[str, ...]) -> list[Place]:
    """All places of some files of the package that refuse, in the order of the files."""
    return [place for file in files for place in _places(file)]


def _places(file: str) -> Iterator[Place]:
    source = (PACKAGE / file).read_text()
    for function, node in _statements(ast.parse(source), ""):
        if _refuses(node):
            text = " ".join((ast.get_source_segment(source, node) or "").split())
            yield Place(file, function, node.lineno, node.end_lineno or node.lineno, text[:90])


def _statements(node: ast.AST, function: str) -> Iterator[tuple[str, ast.stmt]]:
    for child in ast.iter_child_nodes(node):
        inside = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
        if isinstance(child, ast.stmt):
            yield function, child
        yield from _statements(child, inside)


def _refuses(node: ast.stmt) -> bool:
    """`raise ValueError(...)`, or `found.append("...")` where all problems are gathered first."""
    match node:
        case ast.Raise(exc=ast.Call(func=ast.Name(id="ValueError" | "_Named"))):
            return True
        case ast.Expr(ast.Call(ast.Attribute(ast.Name("found"), "append"), [ast.JoinedStr()])):
            return True
    return False


# ---- limits of fields


def limits(*roots: type[BaseModel]) -> set[str]:
    """Every limit of every field below some models, "Huber.beta: greater_than", by who declares it."""
    found, waiting, seen = set[str](), list(roots), set[type[BaseModel]]()
    while waiting:
        model = waiting.pop()
        if model in seen:
            continue
        seen.add(model)
        for name, info in model.model_fields.items():
            if name != "name":
                found |= {f"{_owner(model, name)}.{name}: {kind}" for kind in _kinds(info)}
            waiting += _models(info.annotation)
    return found


def _owner(model: type[BaseModel], name: str) -> str:
    """The class that declares a field."""
    return next(base.__name__ for base in reversed(model.__mro__) if name in inspect.get_annotations(base))


def _kinds(info: FieldInfo) -> Iterator[str]:
    if info.is_required():
        yield "missing"
    yield from _of_metadata(info.annotation, info.metadata)
    yield from _of_annotation(info.annotation, discriminated=info.discriminator is not None)


def _of_annotation(annotation: Any, *, discriminated: bool = False) -> Iterator[str]:
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        known = [item for item in inside[1:] if isinstance(item, FieldInfo)]
        yield from _of_metadata(inside[0], [*inside[1:], *(one for item in known for one in item.metadata)])
        tagged = discriminated or any(item.discriminator is not None for item in known)
        yield from _of_annotation(inside[0], discriminated=tagged)
    elif origin is Literal:
        yield "literal_error"
    elif discriminated and len(_models(annotation)) > 1:
        yield "union_tag_invalid"
    else:
        for one in inside:
            yield from _of_annotation(one)


def _of_metadata(annotation: Any, metadata: Iterable[Any]) -> Iterator[str]:
    for item in metadata:
        for limit, kind in LIMITS.items():
            if getattr(item, limit, None) is not None:
                text = "length" in limit and annotation is str
                yield f"string_{kind}" if text else kind


def _models(annotation: Any) -> list[type[BaseModel]]:
    found = []
    for option in options(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel):
            found.append(option)
        else:
            found += [model for inside in get_args(option) for model in _models(inside)]
    return found


# ---- what was broken


@dataclass
class Broken:
    """What was reached: lines of the package by file, and limits as `limits` names them."""

    lines: set[tuple[str, int]] = field(default_factory=set)
    limits: set[str] = field(default_factory=set)

    def reached(self, place: Place) -> bool:
        """Whether some line of a place was."""
        return any((place.file, line) in self.lines for line in range(place.first, place.last + 1))


@contextmanager
def watched(broken: Broken, files: tuple[str, ...], roots: Iterable[type[BaseModel]]) -> Iterator[None]:
    """Add to `broken` the lines of some files, and the errors of models, that the block reaches."""
    names = {str(PACKAGE / file): file for file in files}
    refusing = {(place.file, place.function) for place in places(files)}
    by_title = {root.__name__: root for root in roots}

    def follow(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            broken.lines.add((names[frame.f_code.co_filename], frame.f_lineno))
        elif event == "exception" and isinstance(argument[1], ValidationError):
            for problem in argument[1].errors():
                broken.limits |= set(_limit(by_title.get(argument[1].title), problem))
        return follow

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        file = names.get(frame.f_code.co_filename)
        if file is None:
            return None
        frame.f_trace_lines = (file, frame.f_code.co_name) in refusing
        return follow

    before = sys.gettrace()
    threading.settrace(enter)
    sys.settrace(enter)
    try:
        yield
        assert sys.gettrace() is enter, "an error inside the watch itself has ended it"
    finally:
        sys.settrace(before)
        threading.settrace(before)


def _limit(model: Any, problem: Any) -> Iterator[str]:
    """The limit that an error of a model is about."""
    owner = name = ""
    for part in problem["loc"]:
        variants = [one for one in _models(model) if part in (tag(one), one.__name__.lower())]
        if variants and len(_models(model)) > 1:
            model = variants[0]
            continue
        holder = next((one for one in _models(model) if _field(one, part)), None)
        if holder is None:  # a place in a list, or a key of names and values
            continue
        name = _field(holder, part)
        owner, model = _owner(holder, name), holder.model_fields[name].annotation
    if name:
        yield f"{owner}.{name}: {problem['type']}"


def _field(model: type[BaseModel], part: Any) -> str:
    """The field that an error calls by its name or its alias."""
    known = {info.alias or name: name for name, info in model.model_fields.items()}
    return known.get(part, "")
