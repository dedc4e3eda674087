"""Encoders, each with a linear head: inputs (B, ...) to the feature z (B, d) and a prediction (B,).

An encoder is a module with `stem`, `last_block` (z = last_block(stem(x))) and `features` = d. To add
one: a file here, its config in `config.trial`, a line in `build`.
"""

import torch
from torch import Tensor, nn

from dirsweep.config import MLP
from dirsweep.models.mlp import MLPEncoder
from dirsweep.randomness import seed_of


class Model(nn.Module):
    """An encoder and the linear head y^ = w.z + c."""

    def __init__(self, encoder: MLPEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.features, 1)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (B, ...) to z (B, d) and predictions (B,) in model units."""
        z = self.encoder.last_block(self.encoder.stem(inputs))
        return z, self.head(z).squeeze(-1)

    def parts(self, layers: str) -> tuple[nn.Module, nn.Module]:
        """What stays as it is and what is trained before the head, when `layers` are trained.

        z = trained(frozen(x)); for "all" the frozen part is the identity, for "head" the trained one.
        """
        encoder = self.encoder
        match layers:
            case "all":
                return nn.Identity(), nn.Sequential(encoder.stem, encoder.last_block)
            case "last_block":
                return encoder.stem, encoder.last_block
            case _:
                return nn.Sequential(encoder.stem, encoder.last_block), nn.Identity()


def build(config: MLP, inputs: int, seed: int) -> Model:
    """A fresh model for inputs of (B, `inputs`), its weights drawn from the trial's seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "weights"))
        return Model(MLPEncoder(config, inputs))


def reset_head(model: Model, seed: int, stage: str) -> None:
    """Draw the head's weights anew (regressor retraining)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, stage, "head"))
        model.head.reset_parameters()
