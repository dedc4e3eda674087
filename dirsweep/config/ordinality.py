"""The norm-ordinality term (METHOD section 2): its kinds, and which bins it compares."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from dirsweep.config.dataset import Config


class PrototypesBatch(Config):
    """Compare the bins that are in the batch."""

    name: Literal["batch"] = "batch"


class PrototypesEMA(Config):
    """Compare all bins seen so far: those absent from the batch by a detached running mean."""

    name: Literal["ema"] = "ema"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Share of the running mean that a step keeps."""


Prototypes = Annotated[PrototypesBatch | PrototypesEMA, Field(discriminator="name")]


class NoNormOrdinality(Config):
    """The base method: no norm-ordinality term."""

    name: Literal["none"] = "none"


class _Ordinal(Config):
    weight: NonNegativeFloat = 0.1
    """beta, the weight of the whole term; 0 is bit for bit the base method."""
    ordinal_entropy: NonNegativeFloat = 0.0
    """alpha, the weight of ordinal entropy inside the term; refused when `weight` is 0."""
    prototypes: Prototypes = PrototypesEMA()
    """Which bins are compared in a step."""

    @model_validator(mode="after")
    def _alpha_needs_beta(self) -> "_Ordinal":
        if self.weight == 0 and self.ordinal_entropy > 0:
            raise ValueError(
                f"ordinal_entropy is {self.ordinal_entropy:g}, but it acts inside a term of weight 0; "
                "raise norm_ordinality.weight or set ordinal_entropy to 0"
            )
        return self


class KL(_Ordinal):
    """Match pairwise distances of norms to those of labels by a KL divergence (the paper's family)."""

    name: Literal["kl"] = "kl"
    tau: PositiveFloat = 1.0
    """Temperature of the distances, on z-scored labels and norms."""
    direction: Literal["increasing", "decreasing", "free"] = "increasing"
    """Which way norms should go with the label."""


class Hinge(_Ordinal):
    """Neighbouring bins must rise by a margin."""

    name: Literal["hinge"] = "hinge"
    margin: Annotated[float, Field(ge=0, le=1)] = 0.5
    """m: share of the z-scored label distance that the z-scored norms must rise by."""
    direction: Literal["increasing", "decreasing"] = "increasing"
    """Which way norms should go with the label."""


class Rank(_Ordinal):
    """Logistic loss on the order of every pair."""

    name: Literal["rank"] = "rank"
    tau: PositiveFloat = 1.0
    """Temperature of the z-scored norm differences."""
    direction: Literal["increasing", "decreasing"] = "increasing"
    """Which way norms should go with the label."""


class Isotonic(_Ordinal):
    """Squared distance of the norms to their isotonic fit."""

    name: Literal["isotonic"] = "isotonic"
    direction: Literal["increasing", "decreasing"] = "increasing"
    """Which way norms should go with the label."""


NormOrdinality = Annotated[NoNormOrdinality | KL | Hinge | Rank | Isotonic, Field(discriminator="name")]
