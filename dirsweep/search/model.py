"""`SweepSpec`: what a search-space file says, as one frozen model.

The structure is validated here; what it means for a trial (names, ranges, conditions) in `check`.
"""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from dirsweep.config import SELECTABLE, Config, TrialConfig
from dirsweep.search.distribution import Distribution, encoded

Metric = Literal[SELECTABLE]  # type: ignore[valid-type]


class Constraint(Config):
    """A trial that exceeds this is infeasible: it cannot win, and the sampler keeps away."""

    metric: Metric
    """Validation metric that must stay small."""
    at_most: PositiveFloat
    """Largest value allowed; with `of`, as a multiple of that control's value."""
    of: Literal["default-plain"] | None = None
    """The control that `at_most` is relative to: the default configuration's plain control."""


class TPE(Config):
    """Tree-structured Parzen estimator (Bergstra et al., 2011)."""

    name: Literal["tpe"] = "tpe"
    startup: PositiveInt = 10
    """Trials that finish before the estimator takes over from random draws."""


class Random(Config):
    """Independent random draws."""

    name: Literal["random"] = "random"


class Joint(Config):
    """Every trial asks for both stages at once."""

    name: Literal["joint"] = "joint"


class Staged(Config):
    """Trials that agree in stage 1 share it; new stage 1s and new stage 2s are asked as they pay."""

    name: Literal["staged"] = "staged"
    new_parents: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    """Least chance of a new stage 1, and of another stage 2 of one that is trained."""


class StagedSimple(Config):
    """First all stage 1s, then stage 2s of the best of them in turn."""

    name: Literal["staged_simple"] = "staged_simple"
    parents: Annotated[int, Field(ge=2)] = 8
    """Stage 1s to train, the one without norm ordinality among them."""
    best: PositiveInt = 3
    """How many of them get further stage 2s."""

    @model_validator(mode="after")
    def _not_more(self) -> "StagedSimple":
        if self.best > self.parents:
            raise ValueError(f"best ({self.best}) exceeds parents ({self.parents})")
        return self


class NoScheduler(Config):
    """Every trial runs to its end."""

    name: Literal["none"] = "none"


class ASHA(Config):
    """Asynchronous successive halving (Li et al., 2020): weak trials stop at a rung."""

    name: Literal["asha"] = "asha"
    metric: Metric
    """The one metric that decides at a rung; smaller is better."""
    rungs: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1)] = (0.25, 0.5)
    """Shares of a trial's epochs at which it may stop, rising, all below 1: no finished trial is pruned."""
    reduction: Annotated[float, Field(ge=2)] = 2
    """One in so many goes on at a rung."""

    @model_validator(mode="after")
    def _rising(self) -> "ASHA":
        for low, high in zip(self.rungs, self.rungs[1:], strict=False):
            if not low < high:
                raise ValueError(f"rungs must rise, but {high:g} follows {low:g}")
        return self


class Budget(Config):
    """When a sweep is over. It can be raised at resume, so it is no part of the spec's hash."""

    trials: PositiveInt = 24
    """Trials that are asked; the controls come on top."""
    minutes: PositiveFloat | None = None
    """Wall time of one start or resume; null for no limit."""


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
    sampler: Annotated[TPE | Random, Field(discriminator="name")] = TPE()
    """Where the next values come from."""
    scheduler: Annotated[NoScheduler | ASHA, Field(discriminator="name")] = NoScheduler()
    """Whether weak trials stop early."""
    budget: Budget = Budget()
    """When the sweep is over."""
    seed: NonNegativeInt = 0
    """Seed of the sampler. The trials' own is `fixed.seed`."""

    @model_validator(mode="before")
    @classmethod
    def _named_mode(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("mode"), str):
            return {**data, "mode": {"name": data["mode"]}}
        return data

    @model_validator(mode="after")
    def _distinct_objectives(self) -> "SweepSpec":
        for place, metric in enumerate(self.objectives):
            if metric in self.objectives[:place]:
                raise ValueError(f"objective {metric!r} is there twice; each counts once")
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

        Left out: the question, the budget (a resume may raise it), and where a CSV file lies (its
        content is in the data's own hash).
        """
        content = self.model_dump(
            mode="json",
            by_alias=True,
            include={"searched", "objectives", "constraints", "mode", "sampler", "scheduler", "seed"},
        )
        fixed = self.default_config().model_dump(mode="json", exclude_unset=True)
        fixed.get("dataset", {}).pop("path", None)
        canonical = json.dumps({**content, "fixed": fixed}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()
