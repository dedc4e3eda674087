"""The two stages: regularised pretraining in phases; majority-shot fit and fine-tune."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from dirsweep.config.dataset import Config
from dirsweep.config.feature import FDS, VIR, FeatureMethod, NoFeatureMethod
from dirsweep.config.ordinality import KL, NoNormOrdinality, NormOrdinality
from dirsweep.config.training import (
    L1,
    Adam,
    Cosine,
    Loss,
    LRDecay,
    NoLoss,
    Optimizer,
    Unweighted,
    Weighting,
)

SELECTABLE = tuple(
    f"val/{shot}/{metric}"
    for shot in ("all", "many", "median", "few")
    for metric in ("mae", "gm", "mse", "balanced_mae")
)
"""Validation metrics that can choose an epoch or serve as an objective; smaller is better."""

Selection = Literal[("last", *SELECTABLE)]  # type: ignore[valid-type]


class NextPhase(Config):
    """A further phase of stage 1: says only what changes; what is left out stays as in the phase before."""

    epochs: PositiveInt
    """Passes over the training split."""
    batch_size: PositiveInt | None = None
    """Samples in a step."""
    optimizer: Optimizer | None = None
    """A phase begins with a fresh optimizer; left out, of the same kind and rate."""
    decay: LRDecay | None = None
    """How the learning rate falls over the phase."""
    warmup: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the phase in which the rate rises from 0."""
    loss: Loss | None = None
    """Base loss."""
    weighting: Weighting | None = None
    """Sample weights."""
    feature_method: FeatureMethod | None = None
    """What is added to the loss to shape the feature."""
    norm_ordinality: NormOrdinality | None = None
    """The norm-ordinality term."""
    layers: Literal["all", "last_block", "head"] | None = None
    """Which layers are trained; `head` is a linear probe."""
    reset_head: bool = False
    """Draw the head's weights anew when the phase begins (regressor retraining)."""


class Stage1(Config):
    """Stage 1: train the encoder and the head end to end, with norm ordinality."""

    epochs: PositiveInt = 30
    """Passes over the training split."""
    batch_size: PositiveInt = 256
    """Samples in a step."""
    accumulate: PositiveInt = 1
    """Gradient accumulation, in stage 2 too: parts in which a step's batch goes through the encoder, for the
    memory of one part. Losses and methods see the whole batch, batch norm a part; from 2 on it takes a
    further forward pass."""
    optimizer: Optimizer = Adam()
    """Optimizer of the weights."""
    decay: LRDecay = Cosine()
    """How the learning rate falls over the epochs."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the epochs in which the rate rises from 0."""
    loss: Loss = L1()
    """Base loss, on the standardised label."""
    weighting: Weighting = Unweighted()
    """Sample weights, mean 1 over the training split."""
    target_transform: Literal["standard", "log", "quantile"] = "standard"
    """What the model predicts: the standardised label, the standardised log of it, or the normal deviate of
    its rank among the training labels."""
    feature_method: FeatureMethod = NoFeatureMethod()
    """What the base method adds to its loss to shape the feature; stage 2 does without."""
    norm_ordinality: NormOrdinality = KL()
    """The regulariser that makes norms rise with the label."""
    select: Selection = "last"
    """Which epoch is handed on: the last, or the best by a validation metric (of the last phase)."""
    then: tuple[NextPhase, ...] = ()
    """Further phases."""

    @model_validator(mode="after")
    def _no_dead_knobs(self) -> "Stage1":
        for number, (setting, change) in enumerate(zip(settings(self)[1:], self.then, strict=True)):
            absent: dict[str, tuple[Config | None, ...]] = {
                "norm_ordinality": (None, NoNormOrdinality()),
                "feature_method": (None, NoFeatureMethod()),
            }
            for name, none in absent.items():
                if setting.layers == "head" and getattr(change, name) not in none:
                    raise ValueError(
                        f"then.{number}.{name} would do nothing in a phase that trains the head alone; "
                        "leave it out, or set layers"
                    )
        return self

    @model_validator(mode="after")
    def _something_to_train_by(self) -> "Stage1":
        chain = settings(self)
        for setting in chain:
            main, where = setting.main, setting.stage.removeprefix("stage1").lstrip(".")
            place = f"{where}." if where else ""
            if not isinstance(main.loss, NoLoss):
                continue
            if setting.layers == "head" or isinstance(main.feature_method, NoFeatureMethod | FDS | VIR):
                raise ValueError(
                    f"{place}loss is none, so the phase needs a feature method that is a loss of its own, "
                    "and layers that it trains; set feature_method, or another loss"
                )
            if not isinstance(main.weighting, Unweighted):
                raise ValueError(f"{place}weighting would do nothing where the loss is none; leave it out")
            if setting is chain[-1]:
                raise ValueError(
                    f"{place}loss is none in the last phase, so the head would never be trained; add a phase "
                    "with a loss to `then`, for instance {epochs: 10, layers: head, loss: {name: l1}}"
                )
        return self

    @property
    def total_epochs(self) -> int:
        """Epochs of all phases together."""
        return self.epochs + sum(phase.epochs for phase in self.then)


@dataclass(frozen=True)
class Setting:
    """The settings of one phase, with everything that it takes over from the phase before."""

    stage: str
    """"stage1", "stage1.then.0" ..."""
    main: Stage1
    """Settings in force, `epochs` among them; its `then` is of no account."""
    layers: str = "all"
    reset_head: bool = False


def settings(config: Stage1) -> list[Setting]:
    """The phases of stage 1 in order, each complete."""
    found = [Setting("stage1", config)]
    for number, change in enumerate(config.then):
        found.append(_after(found[-1], f"stage1.then.{number}", change))
    return found


def _after(before: Setting, stage: str, change: NextPhase) -> Setting:
    given = {name: value for name, value in change if value is not None and name in Stage1.model_fields}
    return Setting(
        stage,
        before.main.model_copy(update=given),
        before.layers if change.layers is None else change.layers,
        change.reset_head,
    )


class Fit(Config):
    """The closed-form fit of norm on label over the majority bins."""

    weighted: bool = False
    """Weigh each bin by its training count."""
    ridge: NonNegativeFloat = 0.0
    """Ridge penalty on the slope, added to the (weighted) variance of the standardised labels."""
    curve: Literal["line", "exponential"] = "line"
    """A line, or an exponential curve (the line is fitted on log F)."""


class Schedule(Config):
    """Schedule of the fine-tune."""

    epochs: NonNegativeInt = 10
    """Passes over the training split; 0 returns stage 1 bit for bit."""
    lr: PositiveFloat = 1.0e-4
    """Peak learning rate; the optimizer is the kind that stage 1 ended with."""
    decay: LRDecay = Cosine()
    """How the learning rate falls."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the epochs in which the rate rises from 0."""


class Stage2(Config):
    """Stage 2: fit label to norm on the majority bins, fine-tune toward the extended line."""

    majority_threshold: NonNegativeInt = 100
    """theta: the fit uses bins with more training samples than this; it never moves the shots."""
    fit: Fit = Fit()
    """How the majority line is fitted."""
    norm_weight: NonNegativeFloat = 1.0
    """mu, the weight of the norm term; 0 is the control that only fine-tunes."""
    reduction: Literal["mean", "sum"] = "mean"
    """Whether the norm term is averaged or summed over the bins in the batch."""
    schedule: Schedule = Schedule()
    """Epochs and learning rate."""
    layers: Literal["all", "last_block"] = "all"
    """Trained layers: all, or the encoder's last block and the head."""
    freeze_batch_norm: bool | None = None
    """Keep batch norm's statistics and weights as stage 1 left them; null: wherever there is batch norm."""
    sampling: Literal["balanced", "natural"] = "balanced"
    """Draw samples so that every bin comes up equally often, or as they come."""
    select: Selection = "last"
    """Which epoch is handed on: the last, or the best by a validation metric."""
