"""Turn a sweep into tables: what its ledger says, ranked and beside its controls.

Reads the sweep's folder alone; needs neither Ray nor PyTorch, and works while the sweep runs.
"""

from dirsweep.report.as_json import as_json
from dirsweep.report.leaderboard import leaderboard
from dirsweep.report.load import SweepReport, damage, load
from dirsweep.report.progress import counts, draw, epoch_line, line, message_line
from dirsweep.report.spending import spending
from dirsweep.report.trial import trial_table

__all__ = [
    "SweepReport",
    "as_json",
    "counts",
    "damage",
    "draw",
    "epoch_line",
    "leaderboard",
    "line",
    "load",
    "message_line",
    "spending",
    "trial_table",
]
