"""Run the trials of a search space on Ray; stop, resume and watch them.

`driver` decides what happens next and `book` writes it down; `tune` is the part that knows Ray Tune.
"""

from dirsweep.sweep.again import further_trials, is_there
from dirsweep.sweep.progress import Progress
from dirsweep.sweep.session import Resources, at_once
from dirsweep.sweep.start import Outcome, resume, run
from dirsweep.sweep.status import Status, list_sweeps, status, stop

__all__ = [
    "Outcome",
    "Progress",
    "Resources",
    "Status",
    "at_once",
    "further_trials",
    "is_there",
    "list_sweeps",
    "resume",
    "run",
    "status",
    "stop",
]
