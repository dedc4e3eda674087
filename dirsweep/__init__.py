"""Hyperparameter sweeps for two-stage deep imbalanced regression.

Read `pipeline.run_trial` first: its body is the diagram of one trial. `load_sweep` is for notebooks.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dirsweep.report.frames import SweepFrames

__version__ = "0.1.0"

METHOD_VERSION = 5
"""Changes whenever the numbers of a trial change for the same config, data and seed."""


def load_sweep(path: str | Path) -> "SweepFrames":
    """A sweep's folder as pandas DataFrames `trials`, `epochs` and `bins`; see `report.frames.load_sweep`."""
    from dirsweep.report import frames  # pandas takes a while, and every command imports this module

    return frames.load_sweep(path)
