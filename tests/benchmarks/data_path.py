"""Images from their files to a batch, without a model: ours against the field's loader, on a CPU.

The field's loader opens JPEG files of 250 px one by one and changes each by torchvision, in 2 processes. Ours
takes rows of a store that was decoded once: as bytes, which a GPU crops, flips and normalises itself, or as
numbers, with that done here. Decoding the store is left out; a sweep pays it once, the loader each epoch.
Both may use all cores, and the clock is what counts: the median of epochs that were taken in turns.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from gpu import BATCH, PerImage, faces
from torch import Tensor

from dirsweep import data, device
from dirsweep.config import CropFlip, TrialConfig
from dirsweep.loop.feed import feed
from dirsweep.models.on_images import Augment, Scale

WORKERS = 2
IMAGES = 6 * BATCH
ROUNDS = 5
LEAST = {"numbers": 4.0, "bytes": 30.0}

Batches = Callable[[], Iterator[Tensor]]


def usual(files: list[str], label: np.ndarray) -> Batches:
    """The field's loader; its processes live on from epoch to epoch."""
    loader = torch.utils.data.DataLoader(
        PerImage(files, label), batch_size=BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True
    )
    return lambda: (inputs for inputs, _target in loader)


def ours(dataset: dict[str, Any]) -> dict[str, Batches]:
    """Shuffled batches of the store: bytes as they are mapped, numbers as an encoder's stem makes them."""
    train = data.load(TrialConfig.model_validate({"dataset": dataset}).dataset).train
    pixels = torch.from_numpy(train.inputs.pixels)
    stem = torch.nn.Sequential(Augment(CropFlip()), Scale((0.5,) * 3, (0.5,) * 3)).train()

    def taken() -> Iterator[Tensor]:
        return feed(pixels, torch.randperm(len(pixels)).split(BATCH), "cpu")

    return {"bytes": taken, "numbers": lambda: (stem(batch) for batch in taken())}


def rate(batches: Batches) -> float:
    """Images a second over one epoch, by the clock."""
    begun = time.perf_counter()
    count = sum(len(batch) for batch in batches())
    return count / (time.perf_counter() - begun)


def main() -> None:
    """Measure in turns and print medians; exit status 1 if ours is not as much faster as it has to be."""
    with tempfile.TemporaryDirectory() as folder:
        dataset, files, label = faces(Path(folder) / "faces", IMAGES)
        ways = {"usual": usual(files, label), **ours(dataset)}
        rate(ways["usual"])  # warms up; its processes start before a trial's settings
        device.set_up(TrialConfig(threads=WORKERS), 1.0)
        rate(ways["bytes"])
        rate(ways["numbers"])
        turns = [{name: rate(batches) for name, batches in ways.items()} for _turn in range(ROUNDS)]
    found = {name: median(turn[name] for turn in turns) for name in ways}
    ratios = {name: median(turn[name] / turn["usual"] for turn in turns) for name in LEAST}
    print(f"images a second by the clock, batch by batch, {os.cpu_count()} cores:")
    print(f"a loader of {WORKERS} processes, image by image    {found['usual']:8,.0f}")
    for name, words in (("numbers", "our store, cropped and normalised here"), ("bytes", "our store, bytes")):
        print(f"{words:40} {found[name]:8,.0f}, {ratios[name]:.1f} times (at least {LEAST[name]:g})")
    if any(ratios[name] < least for name, least in LEAST.items()):
        sys.exit(1)


if __name__ == "__main__":
    main()
