"""Feature methods: what a base method adds to its loss to shape the feature z."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

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


FeatureMethod = Annotated[NoFeatureMethod | RankSim | OrdinalEntropy, Field(discriminator="name")]
