"""A trial that sleeps where a real one trains, and leaves and reports what a real one does.

It imports no torch, so a worker takes about 150 MB and not 800: a machine of two cores then holds as many
workers as 16 nodes have.
"""

import json
import math
import os
import time
import zlib
from typing import Any

import ledgers
import numpy as np

from dirsweep import trainable
from dirsweep.storage import Folder
from dirsweep.trainable import Assignment

EPOCHS = 20
SECONDS = "DIRSWEEP_SLEEP"
"""Names the environment variable with the seconds that an epoch sleeps."""
BINS = 74


def trial(assignment: Assignment) -> None:
    """Sleep through the epochs of one trial; in the place of `trainable.trial`."""
    stopped = trainable.stop_check(assignment["sweep"])
    folder, config = Folder(assignment["folder"]), json.loads(assignment["config"])
    begun, rng = time.monotonic(), np.random.default_rng(zlib.crc32(assignment["key"].encode()))
    folder.put("config.json", json.dumps(config, indent=2).encode())
    mae = error(config) * (1 + 0.01 * rng.normal())
    for epoch in range(assignment["emitted"] + 1, EPOCHS + 1):
        time.sleep(float(os.environ[SECONDS]))
        if stopped():
            return
        now = mae * (1 + math.exp(-epoch / 5))
        seconds = time.monotonic() - begun
        metrics = {name: value for name, value in _metrics(now, rng).items() if name.startswith("val/")}
        record = {"epoch": epoch, "attempt": 1, "seconds": seconds, "of": EPOCHS}
        record |= {"stage": "stage1" if epoch <= EPOCHS - 5 else "stage2", "metrics": metrics}
        folder.append("records.jsonl", record)
        trainable.report_epoch(record)
    final = _metrics(mae, rng) | {"epoch": float(EPOCHS), "seconds": time.monotonic() - begun}
    folder.put("metrics.json", json.dumps(final).encode())
    folder.put("facts.json", json.dumps({"data": assignment["data"], "method_version": 3}).encode())
    line = ",".join(f"{rng.random():.6g}" for _ in range(14))
    folder.put("bins.csv", "\n".join([line] * BINS).encode())
    trainable.report_final("COMPLETE", final)


def error(config: dict[str, Any]) -> float:
    """An error that two of the searched values decide: a search has something to find."""
    term, second = config["stage1"].get("norm_ordinality") or {}, config.get("stage2") or {}
    off = math.log10(term.get("weight") or 1.0e-3) + 1.0
    return 780.0 + 20.0 * off**2 + 10.0 * math.log10(second.get("norm_weight") or 1.0e-3) ** 2


def _metrics(mae: float, rng: np.random.Generator) -> dict[str, float]:
    return ledgers.metrics(mae, mae * (1.7 + 0.05 * rng.normal()), rng)
