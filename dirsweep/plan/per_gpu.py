"""How many trials are to share a GPU: as many as bring more steps a second in all."""

import itertools
import time
from collections.abc import Sequence

from dirsweep.config import TrialConfig
from dirsweep.search.model import SweepSpec
from dirsweep.sharing import Sharing, at_once
from dirsweep.sweep import Resources

COUNTS = (1, 2, 4, 8)
GAIN = 0.1
"""What more at once are to bring at the least, as a share of the steps that all take in a second."""
SECONDS = 60.0
"""For all counts, most of it for processes to start."""


def per_gpu(spec: SweepSpec, resources: Resources) -> list[Sharing]:
    """How fast so many of the spec's default trials train that share one GPU here; [] where none is to."""
    import torch

    config, gpus = spec.default_config(), torch.cuda.device_count()
    if not resources.gpus_per_trial or config.processes > 1 or config.device != "cuda" or not gpus:
        return []
    most = max(1, resources.local_workers // gpus)  # for more the CPU has no cores
    return measure(config, [count for count in COUNTS if count <= most])


def measure(config: TrialConfig, counts: Sequence[int], seconds: float = SECONDS) -> list[Sharing]:
    """Time so many of the trial at once on its device, one count after the other while more bring more."""
    ends, found = time.monotonic() + seconds, list[Sharing]()
    for count in counts:
        found.append(at_once(config, count, ends))
        if best(found) is not found[-1]:
            break
    return found


def best(found: Sequence[Sharing]) -> Sharing | None:
    """The one after which more at once bring less than GAIN, or cannot be; None where not one trial can."""
    timed = [one for one in found if not one.refused]
    for one, more in itertools.pairwise(timed):
        if more.whole < (1 + GAIN) * one.whole:
            return one
    return timed[-1] if timed else None


def advice(found: Sequence[Sharing]) -> str:
    """What to type, and why."""
    chosen, last = best(found), found[-1]
    if chosen is None:
        return f"How many are to share a GPU was not measured: {last.refused}"
    if chosen is last:
        why = f"more than {last.count} at once were not timed"
    elif last.refused:
        why = f"{last.count} at once: {last.refused}"
    else:
        why = f"{last.count} at once bring less than {GAIN:.0%} more in all"
    return f"Recommended: --gpus-per-trial {1 / chosen.count:g} ({why})"
