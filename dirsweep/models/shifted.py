"""Images turned left to right and shifted by some pixels: one by one, and all at once.

Both give the same, in memory with the channels last. One by one only copies, which suits a CPU; all at once
takes few operations, which suits a GPU.
"""

import torch
from torch import Tensor, nn


def one_by_one(pixels: Tensor, turned: Tensor, top: Tensor, left: Tensor, pad: int) -> Tensor:
    """(B, C, H, W) images, with zeros where nothing is shifted to.

    Args:
        turned: (B,) which are turned first.
        top, left: (B,) where in the image, padded by `pad` on each side, the result begins.
    """
    found = torch.zeros_like(pixels, memory_format=torch.channels_last)
    down, right = (top - pad).tolist(), (left - pad).tolist()
    for place, (turn, y, x) in enumerate(zip(turned.tolist(), down, right, strict=True)):
        image = pixels[place].flip(2) if turn else pixels[place]
        (to_y, from_y), (to_x, from_x) = (
            _overlap(*pair) for pair in ((y, pixels.shape[2]), (x, pixels.shape[3]))
        )
        found[place, :, to_y, to_x] = image[:, from_y, from_x]
    return found


def _overlap(shift: int, size: int) -> tuple[slice, slice]:
    """Where what is seen of one side lies in the result, and in the image."""
    length = max(0, size - abs(shift))
    to, from_ = max(0, -shift), max(0, shift)
    return slice(to, to + length), slice(from_, from_ + length)


def at_once(pixels: Tensor, turned: Tensor, top: Tensor, left: Tensor, pad: int) -> Tensor:
    """As `one_by_one`."""
    pixels = torch.where(turned[:, None, None, None], pixels.flip(3), pixels)
    count, _, height, width = pixels.shape
    padded = nn.functional.pad(pixels, (pad,) * 4)
    rows = top[:, None] + torch.arange(height, device=pixels.device)  # (B, H)
    columns = left[:, None] + torch.arange(width, device=pixels.device)  # (B, W)
    sample = torch.arange(count, device=pixels.device)[:, None, None]
    # the channels last: indexing apart from one another puts the others in front
    return padded.permute(0, 2, 3, 1)[sample, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
