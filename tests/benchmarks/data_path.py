"""Images from their files to a batch, without a model: ours against the field's loader, on a CPU.

The field's loader opens JPEG files of 250 px one by one and changes each by torchvision, in 2 processes. Ours
takes rows of a store that was decoded once: as bytes, which a GPU crops, flips and normalises itself, or as
numbers, with that done here. Decoding the store is left out; a sweep pays it once, the loader each epoch.
Each figure is of the processor's own time, all processes together (another's work does not count), the
shortest of several epochs that were taken in turns.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu import BATCH, PerImage, faces
from torch import Tensor

from dirsweep import data
from dirsweep.config import CropFlip, TrialConfig
from dirsweep.loop.feed import feed
from dirsweep.models.on_images import Augment, Scale

WORKERS = 2
IMAGES = 6 * BATCH
ROUNDS = 3
LEAST = {"numbers": 4.0, "bytes": 30.0}

Batches = Callable[[], Iterator[Tensor]]


def usual(files: list[str], label: np.ndarray) -> Batches:
    """The field's loader; its processes end with the epoch, so that their time is known."""
    loader = torch.utils.data.DataLoader(
        PerImage(files, label), batch_size=BATCH, shuffle=True, num_workers=WORKERS
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


def cost(batches: Batches) -> float:
    """The processor's seconds for an image, over one epoch."""
    begun = spent()
    count = sum(len(batch) for batch in batches())
    return (spent() - begun) / count


def spent() -> float:
    """The processor's seconds of this process and of those that it started and that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def main() -> None:
    """Measure in turns and print; exit status 1 if ours is not as much faster as it has to be."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        dataset, files, label = faces(Path(folder) / "faces", IMAGES)
        ways = {"usual": usual(files, label), **ours(dataset)}
        turns = [{name: cost(batches) for name, batches in ways.items()} for _turn in range(ROUNDS)]
    best = {name: min(turn[name] for turn in turns) for name in ways}
    ratios = {name: best["usual"] / best[name] for name in LEAST}
    print("images a second of a core, batch by batch:")
    print(f"a loader of {WORKERS} processes, image by image    {1 / best['usual']:8,.0f}")
    for name, words in (("numbers", "our store, cropped and normalised here"), ("bytes", "our store, bytes")):
        print(f"{words:40} {1 / best[name]:8,.0f}, {ratios[name]:.1f} times (at least {LEAST[name]:g})")
    if any(ratios[name] < least for name, least in LEAST.items()):
        sys.exit(1)


if __name__ == "__main__":
    main()
