"""Show a sweep in MLflow: a parent run for the sweep, a child run per trial.

The only package that imports MLflow. What is written here is a view: the ledger and the trials' folders
are the truth, so a tracking failure is told once, retried and counted, and never reaches a trial. Importing
this imports no MLflow; the tracker's own thread does that while the first trials already run.
"""

from dirsweep.tracking.calls import Calls
from dirsweep.tracking.machine import watched
from dirsweep.tracking.model import register_model, registered_name
from dirsweep.tracking.runs import Sweep
from dirsweep.tracking.store import Moved, Unreachable, check, database_path, default_uri, shown
from dirsweep.tracking.tracker import Tracker
from dirsweep.tracking.ui import MODE, address, serve_ui, ui_command
from dirsweep.tracking.writer import Writer

__all__ = [
    "MODE",
    "Calls",
    "Moved",
    "Sweep",
    "Tracker",
    "Unreachable",
    "Writer",
    "address",
    "check",
    "database_path",
    "default_uri",
    "register_model",
    "registered_name",
    "serve_ui",
    "shown",
    "ui_command",
    "watched",
]
