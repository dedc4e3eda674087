"""How many stage 1s a sweep trains: its trials may ask for the same one, and a space may not allow many."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dirsweep.config import TrialConfig
from dirsweep.search.distribution import Choice, Distribution, Int, Uniform
from dirsweep.search.model import SweepSpec
from dirsweep.search.parts import Staged, StagedSimple
from dirsweep.search.staged import base, of_stage1

MANY = 1000
"""Different draws above which a space counts as endless."""
Range = tuple[float, float, float]
"""Low, middle, high."""


def parents(spec: SweepSpec, trials: float) -> Range:
    """How many stage 1s are trained; an adaptive search may draw any number between its two floors.

    Trials of a joint sweep that agree in stage 1 share it too, by the store: all of them where nothing of
    it is searched. A staged sweep trains its base parent and what it draws beside.
    """
    drawn = _drawn(spec)
    match spec.mode:
        case StagedSimple(parents=number):
            draws = min(number, trials) - 1
            few = middling = many = drawn.distinct(draws)
        case Staged(new_parents=floor):
            further = trials - 1
            few = drawn.distinct(further * floor)
            middling = drawn.distinct(further * math.sqrt(floor * (1 - floor)))
            many = drawn.distinct(further * (1 - floor))
        case _:
            low, middle, high = drawn.distinct(trials)
            return max(1.0, low), max(1.0, middle), max(1.0, high)
    return 1 + few[0], 1 + middling[1], 1 + many[2]


@dataclass(frozen=True)
class _Drawn:
    """What a random draw of the searched values may be for stage 1.

    chances: of each stage 1 of which there are finitely many.
    endless: that it is one of so many that no two draws agree.
    """

    chances: tuple[float, ...]
    endless: float

    def distinct(self, draws: float) -> Range:
        """How many different stage 1s `draws` of them bring: at least, expected, at most."""
        if not self.chances:
            return (draws, draws, draws) if self.endless else (0.0, 0.0, 0.0)
        expected = self.endless * draws + sum(1 - (1 - chance) ** draws for chance in self.chances)
        return min(1.0, draws), expected, draws if self.endless else min(len(self.chances), draws)


def _drawn(spec: SweepSpec) -> _Drawn:
    """The draws of a space; without those that are refused and, in a staged sweep, the base parent's."""
    known = [] if not isinstance(spec.mode, Staged | StagedSimple) else [_stage1(spec.config(base(spec)))]
    switches = {other for distribution in spec.searched.values() for other in distribution.when}
    ways: list[tuple[dict[str, Any], float]] = [({}, 1.0)]
    endless = 0.0
    for name in spec.order():
        if not of_stage1(name) and name not in switches:
            continue
        before, ways = ways, []
        for params, chance in before:
            if not spec.active(name, params):
                ways.append((params, chance))
            elif (values := _values(spec.searched[name])) is None:
                endless += chance
            elif len(ways) + len(values) > MANY:
                return _Drawn((), 1.0)
            else:
                ways += [({**params, name: value}, chance / len(values)) for value in values]
    chances: dict[str, float] = {}
    for params, chance in ways:
        try:
            text = _stage1(spec.config(params))
        except ValueError:  # values that do not go together
            continue
        chances[text] = chances.get(text, 0.0) + chance
    return _Drawn(tuple(chance for text, chance in chances.items() if text not in known), endless)


def _stage1(config: TrialConfig) -> str:
    """What two trials have in common if they share their stage 1."""
    return config.model_dump_json(exclude={"stage2"})


def _values(distribution: Distribution) -> Sequence[Any] | None:
    """The values that may be asked; None if they are endless."""
    match distribution:
        case Choice(values=values):
            return list(values)
        case Int(ends=(low, high), step=step):
            return range(low, high + 1, step)
        case Uniform(ends=ends, step=float(gap)):
            return [ends[0] + place * gap for place in range(round((ends[1] - ends[0]) / gap) + 1)]
    return None
