"""Feature methods: what a base method adds to its loss to shape the feature z."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from dirsweep.config.dataset import Config
from dirsweep.config.training import Window


class NoFeatureMethod(Config):
    """The loss alone."""

    views: ClassVar = 1
    name: Literal["none"] = "none"


class RankSim(Config):
    """RankSim (Gong et al., 2022): the ranks of feature similarities follow those of label similarities."""

    views: ClassVar = 1
    name: Literal["ranksim"] = "ranksim"
    weight: PositiveFloat = 6.3
    """gamma, beside a loss on the standardised label: 100 beside years on AgeDB-DIR is 6.3 here, and 3.0e-4
    beside the squared error of similarity / 5 on STS-B-DIR is 3.4e-3."""
    interpolation: PositiveFloat = 2.0
    """lambda: how far similarities are pushed along the gradient to see their ranks change."""


class OrdinalEntropy(Config):
    """Ordinal entropy (Zhang et al., 2023): tight features in a bin, distant ones between distant bins."""

    views: ClassVar = 1
    name: Literal["ordinal_entropy"] = "ordinal_entropy"
    weight: PositiveFloat = 1.0e-3
    """Weight of the term."""


class ConR(Config):
    """ConR (Keramati et al., 2024): unlike labels that are predicted alike push one another's features away.

    Sees two views of every sample: images by their augmentation, tables and sentences by dropout.
    """

    views: ClassVar = 2
    name: Literal["conr"] = "conr"
    weight: PositiveFloat = 0.25
    """beta; 4 beside years on AgeDB-DIR is 0.25 here."""
    window: NonNegativeFloat = 0.07
    """omega, how far apart labels that are alike may lie, in units of the standardised label; 1 year on
    AgeDB-DIR is 0.0634."""
    temperature: PositiveFloat = 0.2
    """What similarities are divided by."""
    strength: NonNegativeFloat = 0.16
    """e_c, how much more a push weighs per unit of label; 0.01 a year on AgeDB-DIR is 0.16 here."""
    reference: bool = False
    """Count as the released code does: pairs that are masked out enter the sums as similarity 0."""


class RankNContrast(Config):
    """Rank-N-Contrast (Zha et al., 2023), or SupCR: features lie the nearer, the nearer their labels are.

    Sees two views of every sample: images by their augmentation, tables and sentences by dropout. Published
    with `loss: {name: none}` and a linear probe as the next phase.
    """

    views: ClassVar = 2
    name: Literal["rank_n_contrast"] = "rank_n_contrast"
    weight: PositiveFloat = 1.0
    """Weight of the term; beside no other loss it only scales the gradient."""
    temperature: PositiveFloat = 2.0
    """What distances are divided by."""


class FDS(Window):
    """Feature distribution smoothing (Yang et al., 2021): features of a bin move toward its neighbours'."""

    views: ClassVar = 1
    name: Literal["fds"] = "fds"
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
    gather: Literal["after", "during"] = "after"
    """Take an epoch's statistics in a pass over the training split after it, or during its own steps, which
    saves that pass but sees features of weights that still change, with dropout and augmentation."""


class VIR(Window):
    """VIR's feature method (Wang and Wang, 2023): features are drawn, and their distributions smoothed.

    Its other half is the loss nig; published with that and with weighting lds. It learns d x d weights for d
    features: 4 million on a ResNet-50.
    """

    views: ClassVar = 1
    name: Literal["vir"] = "vir"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Share of a bin's running statistics that an epoch keeps."""
    variance: PositiveFloat = 0.014
    """Variance of every feature at the start; the released code's is log 2 / 49, over a map of 7 x 7."""
    kl: NonNegativeFloat = 0.0
    """Weight of the divergence of a drawn feature's distribution from the standard normal; 0 as released."""


FeatureMethod = Annotated[
    NoFeatureMethod | FDS | VIR | RankSim | OrdinalEntropy | ConR | RankNContrast, Field(discriminator="name")
]
