"""How weights are trained: optimizers, learning-rate decay, base losses and sample weightings.

Variants are unions told apart by `name`, so that a knob which would do nothing cannot be set.
Schedules are fractions of the epochs, so that searching the epochs never invalidates another knob.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from dirsweep.config.dataset import Config

Fraction = Annotated[float, Field(gt=0, lt=1)]


class Adam(Config):
    """Adam (Kingma and Ba, 2015)."""

    name: Literal["adam"] = "adam"
    lr: PositiveFloat = 1.0e-3
    """Peak learning rate."""
    weight_decay: NonNegativeFloat = 0.0
    """L2 penalty on the weights."""
    rho: NonNegativeFloat = 0.0
    """Radius of sharpness-aware steps, which take twice as long; 0: none. With weighting sqinv: BSAM."""


class SGD(Config):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"] = "sgd"
    lr: PositiveFloat = 0.1
    """Peak learning rate."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Share of the last step that is kept."""
    weight_decay: NonNegativeFloat = 0.0
    """L2 penalty on the weights."""
    rho: NonNegativeFloat = 0.0
    """Radius of sharpness-aware steps, which take twice as long; 0: none. With weighting sqinv: BSAM, whose
    published radius is 0.2 on AgeDB-DIR and 0.05 on IMDB-WIKI-DIR."""


Optimizer = Annotated[Adam | SGD, Field(discriminator="name")]


class Constant(Config):
    """The learning rate stays at its peak."""

    name: Literal["constant"] = "constant"


class Cosine(Config):
    """The learning rate falls to 0 along half a cosine."""

    name: Literal["cosine"] = "cosine"


class StepDecay(Config):
    """The learning rate is multiplied by `factor` at each fraction of the epochs."""

    name: Literal["step"] = "step"
    at: Annotated[tuple[Fraction, ...], Field(min_length=1)] = (2 / 3, 8 / 9)
    """Fractions of the epochs at which the rate drops."""
    factor: Fraction = 0.1
    """What the rate is multiplied by."""


LRDecay = Annotated[Constant | Cosine | StepDecay, Field(discriminator="name")]


class L1(Config):
    """Absolute error."""

    name: Literal["l1"] = "l1"


class MSE(Config):
    """Squared error."""

    name: Literal["mse"] = "mse"


class Huber(Config):
    """Quadratic below `beta`, linear above."""

    name: Literal["huber"] = "huber"
    beta: PositiveFloat = 1.0
    """Error, in units of the standardised label, at which the loss turns linear."""


class FocalR(Config):
    """Focal-R (Yang et al., 2021): an error times a gate that is small where the error is."""

    name: Literal["focal_r"] = "focal_r"
    error: Literal["l1", "mse"] = "l1"
    """What is gated: the absolute or the squared error."""
    gate: Literal["sigmoid", "tanh"] = "sigmoid"
    """How the gate rises from 0 to 1."""
    beta: PositiveFloat = 3.2
    """Steepness of the gate, per unit of the standardised label: 0.2 a year on AgeDB-DIR is 3.2 here, and 20
    a unit of similarity / 5 on STS-B-DIR is 5.9."""
    gamma: NonNegativeFloat = 1.0
    """Power of the gate; 0 leaves the error alone."""


class BalancedMSE(Config):
    """Balanced MSE (Ren et al., 2022): squared error, less what the imbalance of the labels explains."""

    name: Literal["balanced_mse"] = "balanced_mse"
    integral: Literal["bmc", "bni", "gai"] = "bmc"
    """Over the labels in the batch (bmc), over the bins by their counts (bni), or over a mixture of eight
    normal distributions fitted to the training labels (gai)."""
    sigma: PositiveFloat = 0.6
    """Deviation of the noise, in units of the standardised label; 10 years on AgeDB-DIR are 0.63."""
    sigma_lr: NonNegativeFloat = 0.0
    """Learning rate of sigma, which starts from the above in every phase and in stage 2, and stays at least
    0.001; 0 keeps it. 0.01 for years is 6.3e-4 here."""


class DistLoss(Config):
    """Dist Loss (Nie et al., 2025): the sorted predictions are to lie as the training labels do."""

    name: Literal["dist"] = "dist"
    error: Literal["l1", "mse"] = "l1"
    """Absolute or squared error, of predictions and of sorted predictions."""
    weight: PositiveFloat = 1.0
    """lambda, of the sorted predictions' error."""
    bandwidth: PositiveFloat = 0.5
    """Deviation of the kernel that smooths the training labels, in units of the standardised label."""
    strength: PositiveFloat = 1.6
    """Of the soft sorting, per unit of the standardised label; 0.1 a year on AgeDB-DIR is 1.6 here."""


class NIG(Config):
    """VIR's loss (Wang and Wang, 2023): the prediction is where a normal-inverse-gamma distribution lies.

    Sample weights scale its pseudo-counts, not the error; published with weighting lds. The rest of it is
    read off the feature, by weights that start anew in every phase and in stage 2.
    """

    name: Literal["nig"] = "nig"
    evidence: NonNegativeFloat = 0.16
    """Weight of the absolute error times the evidence; 0.01 beside years on AgeDB-DIR is 0.16 here."""


class NoLoss(Config):
    """No error of the prediction: the feature method alone trains, and a later phase the head."""

    name: Literal["none"] = "none"


Loss = Annotated[
    NoLoss | L1 | MSE | Huber | FocalR | BalancedMSE | DistLoss | NIG, Field(discriminator="name")
]


class Unweighted(Config):
    """Every sample weighs 1."""

    name: Literal["none"] = "none"


class INV(Config):
    """Weight proportional to 1 / n_b, n_b clipped to [clip_low, clip_high] (DIR recipe for ages)."""

    name: Literal["inv"] = "inv"
    clip_low: PositiveInt = 5
    """Smallest count that is used, in training samples of a bin."""
    clip_high: PositiveInt = 1000
    """Largest count that is used, in training samples of a bin."""

    @model_validator(mode="after")
    def _ordered(self) -> "INV":
        if self.clip_low > self.clip_high:
            raise ValueError(f"clip_low ({self.clip_low}) exceeds clip_high ({self.clip_high})")
        return self


class SQINV(Config):
    """Weight proportional to 1 / sqrt(n_b)."""

    name: Literal["sqinv"] = "sqinv"


class Window(Config):
    """A smoothing window over bins, of LDS, FDS and VIR."""

    kernel: Literal["gaussian", "triang", "laplace"] = "gaussian"
    """Shape of the window."""
    size: Annotated[int, Field(ge=3)] = 5
    """Width of the window in bins, odd."""
    sigma: PositiveFloat = 2.0
    """Spread of the gaussian or laplace window, in bins; the triangle has none and refuses it."""

    @model_validator(mode="after")
    def _has_a_centre(self) -> "Window":
        if self.size % 2 == 0:
            raise ValueError(f"size must be odd, so that the window has a centre; found {self.size}")
        if self.kernel == "triang" and self.sigma != 2.0:
            raise ValueError("the triangular window has no sigma; leave it out")
        return self


class LDS(Window):
    """Label distribution smoothing (Yang et al., 2021): weights from counts smoothed over bins."""

    name: Literal["lds"] = "lds"
    root: bool = True
    """Smooth the square roots of the counts, as the reference code does with SQINV."""


class DenseWeight(Config):
    """DenseWeight (Steininger et al., 2021): weights from a kernel density of the training labels."""

    name: Literal["dense_weight"] = "dense_weight"
    alpha: NonNegativeFloat = 1.0
    """How much commonness lowers a weight; 0 weighs all alike, from 1 on the most common weigh nothing."""
    epsilon: Fraction = 1.0e-6
    """Smallest weight, before weights are scaled to a mean of 1."""


Weighting = Annotated[Unweighted | INV | SQINV | LDS | DenseWeight, Field(discriminator="name")]
