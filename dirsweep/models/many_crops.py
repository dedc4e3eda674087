"""The resized crop of a whole batch at once, for a GPU: each image has draws of its own, and no loop waits.

What is done to an image, given its draws, is what torchvision does (`on_images` calls it image by image on a
CPU). Two things differ: bytes are rounded once, at the end, and the four changes of colour come in an order
that the batch shares.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dirsweep.config import ResizedCrop

TRIES = 10
"""Crops that are drawn until one lies within the image, as torchvision does; else the whole is taken."""
STRENGTH = 0.4, 0.4, 0.4, 0.1
"""Of brightness, contrast, saturation and hue."""
GREY = 0.2989, 0.587, 0.114


@dataclass(frozen=True)
class Draws:
    """What is done to each of B images.

    top, left, height, width: (B,) of the crop, in pixels.
    flip, jitter, grey: (B,) whether it is flipped, its colours change, they are dropped.
    brightness, contrast, saturation: (B,) factors; hue: (B,) a shift, in turns.
    order: in which the four come.
    """

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    flip: Tensor
    jitter: Tensor
    grey: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    order: tuple[int, ...]


def resized_crop(config: ResizedCrop, pixels: Tensor) -> Tensor:
    """(B, C, H, W) bytes to the same shape, by draws from the global generators."""
    return changed(pixels, draw(config, len(pixels), pixels.shape[2], pixels.device))


def draw(config: ResizedCrop, count: int, side: int, device: torch.device) -> Draws:
    """For `count` square images."""
    area, ratio, down, right = torch.rand(4, count, TRIES, device=device)
    area = config.area + (1 - config.area) * area
    ratio = torch.exp((2 * ratio - 1) * torch.log(torch.tensor(4 / 3)).item())
    width = (side * (area * ratio).sqrt()).round()  # (B, TRIES)
    height = (side * (area / ratio).sqrt()).round()
    fits = (width <= side) & (height <= side) & (width > 0) & (height > 0)
    first = fits.to(torch.uint8).argmax(1, keepdim=True)
    any_fits = fits.any(1)
    width, height, down, right = (part.gather(1, first)[:, 0] for part in (width, height, down, right))
    width, height = torch.where(any_fits, width, side), torch.where(any_fits, height, side)
    chance = torch.rand(3, count, device=device)
    factor = 2 * torch.rand(4, count, device=device) - 1
    return Draws(
        top=(down * (side - height + 1)).floor(),
        left=(right * (side - width + 1)).floor(),
        height=height,
        width=width,
        flip=chance[0] < 0.5 * config.flip,
        jitter=chance[1] < config.jitter,
        grey=chance[2] < config.grey,
        brightness=1 + STRENGTH[0] * factor[0],
        contrast=1 + STRENGTH[1] * factor[1],
        saturation=1 + STRENGTH[2] * factor[2],
        hue=STRENGTH[3] * factor[3],
        order=tuple(torch.randperm(4).tolist()),  # of the generator on the CPU: no wait
    )


def changed(pixels: Tensor, draws: Draws) -> Tensor:
    """(B, C, H, W) bytes, each image by its own draws."""
    found = _cropped(pixels.float(), draws)
    colours = pixels.shape[1] == 3
    steps = (
        lambda x: x * _each(draws.brightness),
        lambda x: _blended(x, _grey(x).mean((1, 2, 3), keepdim=True), draws.contrast),
        lambda x: _blended(x, _grey(x), draws.saturation) if colours else x,
        lambda x: _turned(x, draws.hue) if colours else x,
    )
    jittered = found
    for number in draws.order:
        jittered = steps[number](jittered).clamp(0, 255)
    found = torch.where(_each(draws.jitter), jittered, found)
    found = torch.where(_each(draws.grey), _grey(found).expand_as(found), found)
    return found.round().to(torch.uint8)


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _cropped(pixels: Tensor, draws: Draws) -> Tensor:
    """The crops at full size: bilinear, and as they only grow, without smoothing first."""
    height, width = pixels.shape[2:]
    rows = _places(height, draws.top, draws.height)  # (B, H)
    columns = _places(width, draws.left, draws.width)
    columns = torch.where(draws.flip[:, None], columns.flip(1), columns)
    y = (2 * rows / (height - 1) - 1)[:, :, None].expand(-1, -1, width)
    x = (2 * columns / (width - 1) - 1)[:, None, :].expand(-1, height, -1)
    return F.grid_sample(pixels, torch.stack([x, y], dim=3), padding_mode="border", align_corners=True)


def _places(size: int, begin: Tensor, length: Tensor) -> Tensor:
    """(B, size) where in the image the pixels of a crop lie, never outside the crop."""
    step = torch.arange(size, device=begin.device) + 0.5
    inside = step[None, :] * length[:, None] / size - 0.5
    return begin[:, None] + torch.minimum(inside.clamp(min=0), length[:, None] - 1)


def _grey(x: Tensor) -> Tensor:
    """(B, 1, H, W)."""
    if x.shape[1] == 1:
        return x
    # to mypy a sum may also be its start, the number 0
    return sum(share * x[:, channel, None] for channel, share in enumerate(GREY))  # type: ignore[return-value]


def _blended(x: Tensor, other: Tensor, share: Tensor) -> Tensor:
    return _each(share) * x + (1 - _each(share)) * other


def _turned(x: Tensor, hue: Tensor) -> Tensor:
    """Colours with their hue shifted, by way of hue, saturation and value."""
    red, green, blue = x.unbind(1)
    value, low = x.amax(1), x.amin(1)
    span = value - low
    safe = torch.where(span > 0, span, 1)
    turn = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    turn = torch.where(span > 0, turn, 0) + 6 * hue[:, None, None]
    found = []
    for number in (5, 3, 1):
        k = (number + turn) % 6
        found.append(value - span * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(found, dim=1)
