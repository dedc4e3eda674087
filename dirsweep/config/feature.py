"""Feature methods: what a base method adds to its loss to shape the feature z."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from dirsweep.config.dataset import Config


class NoFeatureMethod(Config):
    """The loss alone."""

    name: Literal["none"] = "none"


class RankSim(Config):
    """RankSim (Gong et al., 2022): the ranks of feature similarities follow those of label similarities."""

    name: Literal["ranksim"] = "ranksim"
    weight: PositiveFloat = 6.3
    """gamma, beside a loss on the standardised label: 100 beside years on AgeDB-DIR is 6.3 here, and 3.0e-4
    beside the squared error of similarity / 5 on STS-B-DIR is 3.4e-3."""
    interpolation: PositiveFloat = 2.0
    """lambda: how far similarities are pushed along the gradient to see their ranks change."""


class OrdinalEntropy(Config):
    """Ordinal entropy (Zhang et al., 2023): tight features in a bin, distant ones between distant bins."""

    name: Literal["ordinal_entropy"] = "ordinal_entropy"
    weight: PositiveFloat = 1.0e-3
    """Weight of the term."""


class FDS(Config):
    """Feature distribution smoothing (Yang et al., 2021): features of a bin move toward its neighbours'."""

    name: Literal["fds"] = "fds"
    kernel: Literal["gaussian", "triang", "laplace"] = "gaussian"
    """Shape of the smoothing window over bins."""
    size: Annotated[int, Field(ge=3)] = 5
    """Width of the window in bins, odd."""
    sigma: PositiveFloat = 2.0
    """Spread of the gaussian or laplace window, in bins; the triangle has none and refuses it."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Share of a bin's running statistics that an epoch keeps."""
    start_update: NonNegativeInt = 0
    """Epochs of the phase before statistics are gathered."""
    start_smooth: PositiveInt = 1
    """Epochs of the phase before features are moved."""
    clip_low: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Smallest ratio of variances that a feature is scaled by; 0.5 on STS-B-DIR."""
    clip_high: Annotated[float, Field(ge=1)] = 10.0
    """Largest ratio of variances that a feature is scaled by; 2 on STS-B-DIR."""
    reference: bool = False
    """Use statistics an epoch late, and count empty bins as mean 0 and variance 1, as the reference code."""

    @model_validator(mode="after")
    def _window(self) -> "FDS":
        if self.size % 2 == 0:
            raise ValueError(f"size must be odd, so that the window has a centre; found {self.size}")
        if self.kernel == "triang" and self.sigma != 2.0:
            raise ValueError("the triangular window has no sigma; leave it out")
        return self


FeatureMethod = Annotated[NoFeatureMethod | FDS | RankSim | OrdinalEntropy, Field(discriminator="name")]
