"""A small convolutional network, for small images on a CPU."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from dirsweep.config import SmallCNN
from dirsweep.models.on_images import Fuse, OnPixels, Scale, augment


class SmallCNNEncoder(nn.Module):
    """`depth` blocks of convolution, (batch norm,) ReLU and pooling by 2, the channels doubling; then mean
    and maximum over the map, with the numbers beside the image, and one linear layer with ReLU.

    The convolutions are the stem, the linear layer the last block: z (B, width) is not negative.
    """

    evaluation_batch = 512

    def __init__(self, config: SmallCNN, channels: int, numbers: int) -> None:
        super().__init__()
        self.features = config.width
        sizes = [channels, *(config.channels * 2**block for block in range(config.depth))]
        blocks = [layer for pair in pairwise(sizes) for layer in _block(config, *pair)]
        scale = Scale((0.5,) * channels, (0.5,) * channels)
        self.stem = nn.Sequential(OnPixels(*augment(config.augmentation), scale, *blocks), Fuse(MeanAndMax()))
        self.last_block = nn.Sequential(nn.Linear(2 * sizes[-1] + numbers, config.width), nn.ReLU())


class MeanAndMax(nn.Module):
    """(B, C, H, W) to (B, 2 C): the mean and the largest value of each map."""

    def forward(self, maps: Tensor) -> Tensor:
        """Both of every map, the means first."""
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)


def _block(config: SmallCNN, inputs: int, outputs: int) -> list[nn.Module]:
    norm = [nn.BatchNorm2d(outputs)] if config.batch_norm else []
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=not config.batch_norm)
    return [convolution, *norm, nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)]
