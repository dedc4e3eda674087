"""The resized crop of a batch against torchvision's of each image, given the same draws."""

import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as plain

from dirsweep.config import ResizedCrop
from dirsweep.models import many_crops

SIDE = 40


def photographs(count, channels=3):
    """Smooth bytes with some noise."""
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, channels, 5, 5, generator=draw)
    smooth = torch.nn.functional.interpolate(coarse, SIDE, mode="bicubic").clamp(0, 1) * 235
    return (smooth + 20 * torch.rand(smooth.shape, generator=draw)).to(torch.uint8)


def by_torchvision(image, draws, number):
    """One image with float pixels, so that nothing is rounded between the steps."""
    place = [int(getattr(draws, name)[number]) for name in ("top", "left", "height", "width")]
    found = plain.resized_crop(image.float() / 255, *place, [SIDE, SIDE], antialias=True)
    if draws.flip[number]:
        found = plain.horizontal_flip(found)
    factors = [float(getattr(draws, n)[number]) for n in ("brightness", "contrast", "saturation", "hue")]
    changes = (
        plain.adjust_brightness,
        plain.adjust_contrast,
        plain.adjust_saturation,
        plain.adjust_hue,
    )
    if draws.jitter[number]:
        for step in draws.order:
            found = changes[step](found, factors[step])
    if draws.grey[number] and len(image) == 3:
        found = plain.rgb_to_grayscale(found, num_output_channels=3)
    return 255 * found


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_each_image_is_what_torchvision_makes_of_it(channels, seed):
    pixels = photographs(24, channels)
    torch.manual_seed(seed)
    draws = many_crops.draw(ResizedCrop(), 24, SIDE, pixels.device)
    found = many_crops.changed(pixels, draws)
    assert (found.dtype, found.shape) == (torch.uint8, pixels.shape)
    for number, image in enumerate(pixels):
        wanted = by_torchvision(image, draws, number)
        assert (found[number] - wanted).abs().max() <= 0.52  # half a byte, for the rounding


def test_draws_are_as_wide_as_asked_and_lie_within_the_image():
    torch.manual_seed(0)
    draws = many_crops.draw(ResizedCrop(jitter=0.3, grey=0.1), 4000, 224, torch.device("cpu"))
    area = draws.height * draws.width / 224**2
    assert 0.19 < area.min() < 0.22
    theirs = v2.RandomResizedCrop(224, scale=(0.2, 1.0))
    drawn = [theirs.make_params([torch.empty(3, 224, 224)]) for _ in range(2000)]
    wanted = sum(one["height"] * one["width"] for one in drawn) / 2000 / 224**2
    assert area.mean() == pytest.approx(wanted, abs=0.02)
    ratio = draws.width / draws.height
    assert 0.73 < ratio.min() < ratio.max() < 1.37
    assert (draws.top >= 0).all()
    assert (draws.top + draws.height <= 224).all()
    assert (draws.left + draws.width <= 224).all()
    assert (draws.top + draws.height == 224).any()
    for mask, share in ((draws.flip, 0.5), (draws.jitter, 0.3), (draws.grey, 0.1)):
        assert mask.float().mean() == pytest.approx(share, abs=0.03)
    assert float(draws.hue.abs().max()) == pytest.approx(0.1, abs=0.001)
    assert float(draws.contrast.min()) == pytest.approx(0.6, abs=0.01)
    assert many_crops.draw(ResizedCrop(area=1.0, flip=False), 50, 224, torch.device("cpu")).flip.sum() == 0


def test_the_order_of_the_changes_follows_the_seed_and_varies():
    orders = set()
    for seed in range(30):
        torch.manual_seed(seed)
        orders.add(many_crops.draw(ResizedCrop(), 1, 8, torch.device("cpu")).order)
    assert len(orders) > 10
