"""A step of images on a CPU, with the memory that tensors give back kept by the process, and without.

ResNet-18, 224 px, batch 64, stage 1 as a trial trains it, on all cores. Processes of either kind in turns,
for the setting is a process's; of each the fastest epoch after a first one, and the most memory it held.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from unittest import mock

from gpu import TERM, Stepper, faces

from dirsweep import device
from dirsweep.config import TrialConfig

BATCH, STEPS, EPOCHS, TURNS = 64, 3, 3, 3


def measure(dataset: dict[str, Any], kept: bool) -> None:
    """Print seconds of an epoch and the most memory, in GiB; in a process of its own."""
    tree = {
        "dataset": dataset,
        "encoder": {"name": "resnet18", "augmentation": {"name": "crop_flip"}},
        "stage1": {"batch_size": BATCH, "norm_ordinality": TERM},
        "threads": os.cpu_count(),
    }
    if not kept:
        mock.patch.object(device, "_keep_memory").start()
    stepper = Stepper(TrialConfig.model_validate(tree))
    took = []
    for _ in range(EPOCHS):
        begun = perf_counter()
        stepper.epoch()
        took.append(perf_counter() - begun)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([min(took[1:]) / STEPS, most / 2**20]))


def apart(dataset: dict[str, Any], kept: bool) -> list[float]:
    """What `measure` prints."""
    command = [sys.executable, __file__, json.dumps(dataset), json.dumps(kept)]
    return list(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def main() -> None:
    """Measure in turns and print medians."""
    with tempfile.TemporaryDirectory() as folder:
        dataset, _files, _label = faces(Path(folder) / "faces", STEPS * BATCH)
        turns = [(apart(dataset, False), apart(dataset, True)) for _ in range(TURNS)]
    for name, side in (("given back", 0), ("kept", 1)):
        seconds, most = (median(turn[side][figure] for turn in turns) for figure in (0, 1))
        print(f"memory {name:10} {seconds:5.2f} s a step, {most:.2f} GiB at most")
    print(f"{median(old[0] / new[0] for old, new in turns):.2f} times as fast")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(json.loads(sys.argv[1]), json.loads(sys.argv[2]))
    else:
        main()
