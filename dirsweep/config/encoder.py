"""What turns an input into the feature z."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from dirsweep.config.dataset import Config


class MLP(Config):
    """A multilayer perceptron for tables: `depth` blocks of linear, (batch norm,) ReLU, dropout."""

    name: Literal["mlp"] = "mlp"
    width: PositiveInt = 256
    """Units of each hidden layer; the feature z is the last one, after its ReLU."""
    depth: PositiveInt = 2
    """Number of hidden layers."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability of dropping a hidden unit in training; never on z itself, so it needs a `depth` of 2."""
    batch_norm: bool = False
    """Normalise each hidden layer over the batch."""

    @model_validator(mode="after")
    def _dropout_has_a_place(self) -> "MLP":
        if self.dropout > 0 and self.depth == 1:
            raise ValueError(
                f"dropout is {self.dropout:g}, but it acts between hidden layers and depth is 1; "
                "raise depth or set dropout to 0"
            )
        return self
