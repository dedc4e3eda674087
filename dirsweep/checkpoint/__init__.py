"""Save and find a trial's state: checkpoints, attempts, epoch records.

The trial owns its folder, so a dead worker, a lost node, a lost driver and a fork are one restore
path: read the last whole checkpoint and the records, and go on.
"""

from dirsweep.checkpoint.files import (
    Checkpoint,
    Superseded,
    check_current,
    claim,
    clear,
    discard,
    identity,
    latest,
    save,
)
from dirsweep.checkpoint.journal import RECORDS, Journal, Stopped, read_records
from dirsweep.checkpoint.state import load_optimizer, optimizer_tensors, pack, unpack
from dirsweep.checkpoint.store import Store

__all__ = [
    "RECORDS",
    "Checkpoint",
    "Journal",
    "Stopped",
    "Store",
    "Superseded",
    "check_current",
    "claim",
    "clear",
    "discard",
    "identity",
    "latest",
    "load_optimizer",
    "optimizer_tensors",
    "pack",
    "read_records",
    "save",
    "unpack",
]
