"""What all image encoders share: bytes to numbers, augmentation, and numbers fed beside the image.

An image encoder takes a pair: pixels (B, C, H, W) as bytes, and (B, k) further numbers, k often 0. Its stem
turns that into (maps, numbers), its last block into z.
"""

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from dirsweep.config import Augmentation, CropFlip, NoAugmentation, ResizedCrop
from dirsweep.models import many_crops, shifted

Pair = tuple[Tensor, Tensor]


class OnPixels(nn.Module):
    """Apply layers to the pixels, or to what has become of them; the numbers beside them stay."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, pair: Pair) -> Pair:
        """(B, C, H, W) and (B, k) to (B, ...) and (B, k)."""
        return self.layers(pair[0]), pair[1]


class Fuse(nn.Module):
    """Apply layers to the maps, and put the numbers behind what comes out: (B, d + k)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, pair: Pair) -> Tensor:
        """(B, ...) and (B, k) to (B, d + k)."""
        found = self.layers(pair[0])
        return torch.cat([found, pair[1].to(found.dtype)], dim=1)


class Scale(nn.Module):
    """Bytes to numbers: (value / 255 - mean) / std for every channel; grey becomes as many as are wanted."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 1 or C, H, W) bytes to (B, C, H, W)."""
        if pixels.is_cuda or pixels.shape[1] < len(self.mean):
            return (pixels.float() - self.mean) / self.std
        # the same numbers, for a CPU: along channels, which may lie last, it would work on three at a time
        mean, std = (_spread(part, pixels) for part in (self.mean, self.std))
        return pixels.to(torch.float32, copy=True).sub_(mean).div_(std)


def _spread(channels: Tensor, pixels: Tensor) -> Tensor:
    """(C, 1, 1) to (1, C, H, W), laid out in memory as each of the images is."""
    last = pixels.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    return channels.expand(1, *pixels.shape[1:]).contiguous(memory_format=layout)


class Augment(nn.Module):
    """Change images in training, and never in evaluation.

    Draws come from the global generator, which the training loop seeds for every step.
    """

    def __init__(self, config: CropFlip | ResizedCrop) -> None:
        super().__init__()
        self.config = config

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) bytes to the same shape."""
        match self.config:
            case _ if not self.training:
                return pixels
            case CropFlip():
                return _crop_flip(self.config, pixels)
            case ResizedCrop(area=area, flip=flip, jitter=jitter, grey=grey):
                cropped: Tensor = _resized_crop(pixels, area, flip, jitter, grey)
                return cropped


def _crop_flip(config: CropFlip, pixels: Tensor) -> Tensor:
    """Flip left and right every other time, pad by some pixels and crop back at a random place."""
    count, device = len(pixels), pixels.device
    turned = torch.zeros(count, dtype=torch.bool, device=device)
    if config.flip:
        turned = torch.rand(count, device=device) < 0.5
    if config.pad == 0:
        return torch.where(turned[:, None, None, None], pixels.flip(3), pixels)
    top, left = torch.randint(0, 2 * config.pad + 1, (2, count), device=device)
    few = pixels.is_cuda or torch.compiler.is_compiling()  # which knows no numbers that are drawn in a step
    moved = shifted.at_once if few else shifted.one_by_one
    return moved(pixels, turned, top, left, config.pad)


@torch.library.custom_op("dirsweep::resized_crop", mutates_args=(), tags=torch.Tag.nondeterministic_seeded)
def _resized_crop(pixels: Tensor, area: float, flip: bool, jitter: float, grey: float) -> Tensor:
    """A random part of each image at its full size, flipped, in other colours or in none.

    As Rank-N-Contrast has it (Zha et al., 2023, after SimCLR): area from a fifth on, jitter of 0.4, 0.4, 0.4
    and 0.1. Torchvision draws once a call, so that each image has a call of its own; on a GPU, where so many
    small calls take longer than the step, `many_crops` does it for all at once.

    To PyTorch's compiler it is an operator like its own, called as it is: what it does to an image, or in
    which order, depends on the draws, and would be compiled anew for others.
    """
    config = ResizedCrop(area=area, flip=flip, jitter=jitter, grey=grey)
    if pixels.is_cuda:
        return many_crops.resized_crop(config, pixels)
    colours = v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    change = v2.Compose(
        [
            v2.RandomResizedCrop(pixels.shape[2:], scale=(config.area, 1.0), antialias=True),
            v2.RandomHorizontalFlip(p=0.5 * config.flip),
            v2.RandomApply([colours], p=config.jitter),
            v2.RandomGrayscale(p=config.grey),
        ]
    )
    return torch.stack([change(image) for image in pixels])


@_resized_crop.register_fake
def _(pixels: Tensor, area: float, flip: bool, jitter: float, grey: float) -> Tensor:
    return pixels.new_empty(pixels.shape)


def augment(config: Augmentation) -> list[nn.Module]:
    """The layer, where there is any."""
    return [] if isinstance(config, NoAugmentation) else [Augment(config)]
