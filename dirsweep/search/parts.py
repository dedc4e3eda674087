"""What a search-space file chooses from: constraints, modes, samplers, schedulers and the budget."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from dirsweep.config import SELECTABLE, Config

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
    """Tree-structured Parzen estimator (Bergstra et al., 2011): good for most spaces, conditions and all."""

    name: Literal["tpe"] = "tpe"
    startup: PositiveInt = 10
    """Trials that finish before the estimator takes over from random draws."""


class Random(Config):
    """Independent random draws: the reference that no prior belief favours."""

    name: Literal["random"] = "random"


class QuasiRandom(Config):
    """Scrambled Sobol points: covers a space more evenly than random draws; learns nothing from results."""

    name: Literal["qmc"] = "qmc"


class NSGA2(Config):
    """Genetic algorithm (Deb et al., 2002): for several objectives and hundreds of cheap trials.

    Names with a condition, and stage 1's in a staged sweep, are never crossed: they are drawn at random.
    """

    name: Literal["nsga2"] = "nsga2"
    population: Annotated[int, Field(ge=2)] = 20
    """Complete trials of one generation; those of the first are random draws."""


class GP(Config):
    """Gaussian process: for few long trials over few numbers; a suggestion takes seconds, in its own thread.

    Names with a condition, and stage 1's in a staged sweep, are not modelled: they are drawn at random.
    """

    name: Literal["gp"] = "gp"
    startup: PositiveInt = 10
    """Trials that finish before the process takes over from random draws."""


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


class Median(Config):
    """Median stopping (Golovin et al., 2017): a trial behind the others' median stops.

    Its best value so far is held against the median of the other trials' bests at the same share of
    their epochs.
    """

    name: Literal["median"] = "median"
    metric: Metric
    """The one metric that decides; smaller is better."""
    startup: PositiveInt = 5
    """Other trials that must have come as far before any is stopped."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of a trial's epochs before which it is not stopped."""


class Repeats(Config):
    """Noise-aware selection: the most promising configurations run again with further seeds.

    Once the budget of trials is used, the `top` trials by their first seed do (the Pareto set before
    others); they are ranked first, by the mean over their seeds. Where by their means none of them keeps the
    constraints, the best of the others leads, and the report says so. Like the controls, repeats come on
    top of the budget, and neither the sampler nor the scheduler hears of them.
    """

    seeds: Annotated[int, Field(ge=1)] = 1
    """Seeds of a promising configuration in all, its first among them; 1 repeats nothing."""
    top: PositiveInt = 3
    """How many configurations are promising."""

    @model_validator(mode="after")
    def _does_something(self) -> "Repeats":
        if self.seeds == 1 and "top" in self.model_fields_set and self.top != 3:
            raise ValueError(f"top ({self.top}) would do nothing with 1 seed; raise seeds")
        return self


class Budget(Config):
    """When a sweep is over, and when a trial hangs. It may change at resume, so the spec's hash omits it."""

    trials: PositiveInt = 24
    """Trials that are asked; the controls come on top."""
    minutes: PositiveFloat | None = None
    """Wall time of one start or resume, after which nothing is asked: trials that run end, and the winner is
    held against its controls; null for no limit."""
    trainer_seconds: PositiveFloat | None = None
    """Trainer-seconds of all asked trials together, over restarts too, without the controls; null for no
    limit. Once they are spent no trial is asked; those that run go on to their end."""
    silent_minutes: PositiveFloat | None = 120
    """Minutes without a sign of life after which a trial hangs: its process is ended, and it goes on in
    another, as after any other fault. Signs are its reports and, between them, its training steps; loading
    the data and each pass over a split must take less, and so must an epoch of a trial of several
    processes. null for no limit."""
