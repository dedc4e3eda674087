"""`SweepSpec`: what a search-space file says, as one frozen model.

The structure is validated here; what it means for a trial (names, ranges, conditions) in `check`.
"""

import hashlib
import json
from functools import cached_property
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, model_validator

from dirsweep.config import PLACES, Config, TrialConfig
from dirsweep.search.distribution import Distribution, encoded
from dirsweep.search.parts import (
    ASHA,
    GP,
    NSGA2,
    TPE,
    Budget,
    Constraint,
    Joint,
    Median,
    Metric,
    NoScheduler,
    QuasiRandom,
    Random,
    Repeats,
    Staged,
    StagedSimple,
)


class SweepSpec(Config):
    """One search space and how to search it."""

    question: Annotated[str, Field(min_length=1)]
    """What the sweep is to answer, in a sentence."""
    fixed: dict[str, Any] = Field(default_factory=dict)
    """Part of a trial's configuration, as a tree; a searched name that is here too gets its default here."""
    searched: Annotated[dict[str, Distribution], Field(min_length=1)]
    """Dotted name to distribution."""
    objectives: Annotated[tuple[Metric, ...], Field(min_length=1)] = ("val/all/mae",)
    """What is minimised; with several, the first decides the winner."""
    constraints: tuple[Constraint, ...] = ()
    """What must hold for a trial to win."""
    mode: Annotated[Joint | Staged | StagedSimple, Field(discriminator="name")] = Joint()
    """Whether both stages are searched together, or stage 2s of stage 1s that are trained."""
    sampler: Annotated[TPE | Random | QuasiRandom | NSGA2 | GP, Field(discriminator="name")] = TPE()
    """Where the next values come from."""
    scheduler: Annotated[NoScheduler | ASHA | Median, Field(discriminator="name")] = NoScheduler()
    """Whether weak trials stop early."""
    warm_start: tuple[str, ...] = ()
    """Folders of earlier sweeps on the same data, relative to this file: the sampler learns from their
    complete trials, which count neither for the budget nor for the leaderboard."""
    repeats: Repeats = Repeats()
    """How many seeds the most promising configurations get; a number is short for `{seeds: number}`."""
    budget: Budget = Budget()
    """When the sweep is over."""
    seed: NonNegativeInt = 0
    """Seed of the sampler. The trials' own is `fixed.seed`."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("mode"), str):
            data = {**data, "mode": {"name": data["mode"]}}
        if isinstance(data, dict) and type(data.get("repeats")) is int:
            data = {**data, "repeats": {"seeds": data["repeats"]}}
        return data

    @model_validator(mode="after")
    def _distinct_objectives(self) -> "SweepSpec":
        for place, metric in enumerate(self.objectives):
            if metric in self.objectives[:place]:
                raise ValueError(f"objective {metric!r} is there twice; each counts once")
        return self

    @model_validator(mode="after")
    def _learns(self) -> "SweepSpec":
        if self.warm_start and isinstance(self.sampler, Random | QuasiRandom):
            raise ValueError(
                f"warm_start does nothing with sampler '{self.sampler.name}', which learns from no result; "
                "take tpe, nsga2 or gp, or leave warm_start out"
            )
        for place, folder in enumerate(self.warm_start):
            if folder in self.warm_start[:place]:
                raise ValueError(f"warm_start has {folder!r} twice; each counts once")
        return self

    @model_validator(mode="after")
    def _stages_apart(self) -> "SweepSpec":
        if isinstance(self.mode, Joint):
            return self
        if not any(name.startswith("stage2.") for name in self.searched):
            raise ValueError(
                f"mode '{self.mode.name}' shares stage 1 among stage 2s, but no name of stage 2 is searched; "
                "search one, or leave mode out"
            )
        for name, distribution in self.searched.items():
            late = [other for other in distribution.when if other.startswith("stage2.")]
            if late and not name.startswith("stage2."):
                raise ValueError(
                    f"'searched.{name}' depends on {late[0]}, but in mode '{self.mode.name}' "
                    "stage 1 comes first"
                )
        return self

    def default_config(self) -> TrialConfig:
        """The fixed part over the defaults: what the default controls run."""
        return TrialConfig.model_validate(self.fixed)

    @cached_property
    def metrics(self) -> tuple[str, str]:
        """What the field's tables show of the data; the first compares configurations."""
        return self.default_config().dataset.metrics

    @cached_property
    def label_unit(self) -> str:
        """In what labels and errors are measured."""
        return self.default_config().dataset.label_unit or "label units"

    def config(self, params: dict[str, Any]) -> TrialConfig:
        """The configuration of a trial with these searched values by dotted name."""
        return self.default_config().with_overrides(params)

    def active(self, name: str, params: dict[str, Any]) -> bool:
        """Whether `name` is asked once `params` are, among them all that its conditions speak of."""
        return all(
            other in params and encoded(params[other]) in map(encoded, allowed)
            for other, allowed in self.searched[name].conditions().items()
        )

    def order(self) -> list[str]:
        """Searched names, each after those that its conditions speak of, else alphabetically.

        Not as in the file: moving a line must not change what is asked.

        Raises:
            ValueError: conditions that wait for each other.
        """
        waiting, done = sorted(self.searched), list[str]()
        while waiting:
            ready = next((name for name in waiting if set(self.searched[name].when) <= set(done)), None)
            if ready is None:
                raise ValueError(f"the conditions of {', '.join(waiting)} wait for each other")
            waiting.remove(ready)
            done.append(ready)
        return done

    @property
    def hash(self) -> str:
        """sha256 of all that decides the asks and, with the code and the data, their results.

        Left out: the question, the budget (a resume may raise it), where a CSV file lies (its content
        is in the data's own hash), and where warm starts come from (what was taken is in the ledger).
        """
        deciding = {"searched", "objectives", "constraints", "mode", "sampler", "scheduler", "seed"}
        # What stands at its default is left out, so that a key added later keeps the hashes of older files.
        told = {
            name
            for name in deciding
            if SweepSpec.model_fields[name].is_required()
            or getattr(self, name) != SweepSpec.model_fields[name].default
        }
        content = self.model_dump(mode="json", by_alias=True, include=told)
        default = self.default_config()
        fixed = default.model_dump(mode="json", exclude_unset=True)
        if default.precision != "float32":  # also where nobody set it
            fixed["precision"] = default.precision
        for key in PLACES:
            fixed.get("dataset", {}).pop(key, None)
        canonical = json.dumps({**content, "fixed": fixed}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()
