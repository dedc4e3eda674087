"""Distributions of a search-space file, told apart by their one-word key: `log: [1.0e-3, 10.0]`."""

import json
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Discriminator, Field, JsonValue, PositiveFloat, PositiveInt, Tag, model_validator

from dirsweep.config import Config

EVERY_VALUE = 100
"""An int or choice with at most this many values is checked value by value, a larger one at its ends."""


MOST_STEPS = 10**15
"""Steps of a range, which 16 digits hold."""


class Conditional(Config):
    """A searched name that is only asked where every condition holds."""

    when: dict[str, JsonValue] = Field(default_factory=dict)
    """Another searched name and the value, or list of values, at which this one is asked."""

    def conditions(self) -> dict[str, list[JsonValue]]:
        """Each condition's name and its allowed values."""
        return {name: value if isinstance(value, list) else [value] for name, value in self.when.items()}


class Uniform(Conditional):
    """Any number between two ends, evenly."""

    ends: tuple[float, float] = Field(alias="uniform")
    """Lowest and highest value."""
    step: PositiveFloat | None = None
    """Distance between neighbouring values; left out, any number."""

    @model_validator(mode="after")
    def _range(self) -> "Uniform":
        _check_ends(self.ends, self.step)
        return self

    def probes(self) -> list[Any]:
        """Both ends and a value between them."""
        low, high = self.ends
        return [low, high, low + (self.step or (high - low) * 0.382)]


class Log(Conditional):
    """Any positive number between two ends, evenly on the log scale."""

    ends: tuple[PositiveFloat, PositiveFloat] = Field(alias="log")
    """Lowest and highest value."""

    @model_validator(mode="after")
    def _range(self) -> "Log":
        _check_ends(self.ends, None)
        return self

    def probes(self) -> list[Any]:
        """Both ends and a value between them."""
        low, high = self.ends
        return [low, high, low + (high - low) * 0.382]


class Int(Conditional):
    """Whole numbers between two ends, both included."""

    ends: tuple[int, int] = Field(alias="int")
    """Lowest and highest value."""
    step: PositiveInt = 1
    """Distance between neighbouring values."""
    log: bool = False
    """Evenly on the log scale; then there is no step."""

    @model_validator(mode="after")
    def _range(self) -> "Int":
        _check_ends(self.ends, self.step)
        if self.log and self.step != 1:
            raise ValueError(f"a log scale has no step; found step {self.step}, leave out one of the two")
        if self.log and self.ends[0] < 1:
            raise ValueError(f"a log scale starts at 1 or above; found {self.ends[0]}")
        return self

    def probes(self) -> list[Any]:
        """Every value if they are few, else the ends and the neighbour of each."""
        low, high = self.ends
        values = range(low, high + 1, self.step)
        return list(values) if len(values) <= EVERY_VALUE else [low, high, low + self.step, high - self.step]


class Choice(Conditional):
    """One of some values, without an order."""

    values: Annotated[tuple[JsonValue, ...], Field(min_length=1)] = Field(alias="choice")
    """The values; a list is one value for a knob that takes a list."""

    @model_validator(mode="after")
    def _distinct(self) -> "Choice":
        seen = set[str]()
        for value in self.values:
            if encoded(value) in seen:
                raise ValueError(f"{value!r} is there twice")
            seen.add(encoded(value))
            if isinstance(value, str) and _is_number(value):
                raise ValueError(f"{value!r} is text, not a number (YAML reads 1e-3 as text; write 1.0e-3)")
        return self

    def probes(self) -> list[Any]:
        """Every value."""
        return list(self.values)


def kind(value: Any) -> str | None:
    """Which distribution a mapping or a model stands for."""
    if isinstance(value, Conditional):
        return type(value).__name__.lower()
    if not isinstance(value, dict):
        return None
    # `log` last: `int: [1, 9], log: true` is an int.
    return next((key for key in ("choice", "int", "uniform", "log") if key in value), None)


Distribution = Annotated[
    Annotated[Uniform, Tag("uniform")]
    | Annotated[Log, Tag("log")]
    | Annotated[Int, Tag("int")]
    | Annotated[Choice, Tag("choice")],
    Discriminator(
        kind,
        custom_error_type="distribution",
        custom_error_message="expected one of uniform: [low, high], log: [low, high], int: [low, high], "
        "choice: [value, ...]",
    ),
]


def encoded(value: Any) -> str:
    """A value as JSON text, under which 1, 1.0 and true are three values."""
    return json.dumps(value, sort_keys=True)


def _check_ends(ends: tuple[float, float], step: float | None) -> None:
    low, high = ends
    if not low < high:
        raise ValueError(f"the first end must be below the second; found [{low:g}, {high:g}]")
    if step is not None and (high - low) / step > MOST_STEPS:
        raise ValueError(
            f"the range [{low:g}, {high:g}] has more steps of {step:g} than numbers tell apart; "
            "raise the step"
        )
    # Decimal, as Optuna counts; Optuna itself would lower the top end and only warn.
    if step is not None and (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)) != 0:
        raise ValueError(
            f"the range [{low:g}, {high:g}] is no multiple of the step {step:g}; change one of the two"
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
