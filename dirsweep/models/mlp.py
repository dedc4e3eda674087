"""A multilayer perceptron, for tables and for whatever else has become (B, D) numbers."""

from itertools import pairwise

from torch import nn

from dirsweep.config import Perceptron


class MLPEncoder(nn.Module):
    """`depth` blocks of linear, (batch norm,) ReLU; dropout between blocks, never on z.

    Inputs (B, D) to z (B, width); z is not negative.
    """

    evaluation_batch = 8192

    def __init__(self, config: Perceptron, inputs: int) -> None:
        super().__init__()
        self.features = config.width
        widths = [inputs] + [config.width] * config.depth
        blocks = [_block(config, *pair) for pair in pairwise(widths)]
        stem = [layer for block in blocks[:-1] for layer in (*block, *_dropout(config))]
        self.stem = nn.Sequential(*stem)
        self.last_block = nn.Sequential(*blocks[-1])


def _block(config: Perceptron, inputs: int, outputs: int) -> list[nn.Module]:
    norm = [nn.BatchNorm1d(outputs)] if config.batch_norm else []
    return [nn.Linear(inputs, outputs), *norm, nn.ReLU()]


def _dropout(config: Perceptron) -> list[nn.Module]:
    return [nn.Dropout(config.dropout)] if config.dropout else []
