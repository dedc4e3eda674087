"""The benchmarks that tests use where they are at hand: below the folder that DIRSWEEP_DATA names."""

import os
from pathlib import Path

import pytest

PLACE = Path(os.environ.get("DIRSWEEP_DATA", "/nowhere"))
# The benchmarks may not be passed on with the project. CI has them, and counts a skipped test as failed.
NEEDED = pytest.mark.skipif(not PLACE.is_dir(), reason="DIRSWEEP_DATA names no folder with the benchmarks")
