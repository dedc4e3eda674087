"""Where what can be fetched or computed again is kept, on this machine, for all sweeps."""

import os
from pathlib import Path


def cache_folder(name: str) -> Path:
    """The folder `name` in DIRSWEEP_CACHE, or in the user's own cache."""
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("DIRSWEEP_CACHE") or Path(user) / "dirsweep") / name
