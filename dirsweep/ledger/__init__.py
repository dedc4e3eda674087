"""The append-only record of a sweep, and its replay.

Everything that decides what a sweep does next (asks, reports, tells, budgets), and every opening of
test, is one numbered, checksummed record in `ledger.jsonl`; nothing else is a source of truth, so a sweep
that died anywhere goes on from this file. A record that was being written when the driver died is cut short
and passed over: what it said is asked or reported again. A record that is missing in the middle is
damage, and refused.
"""

from dirsweep.ledger.file import DURABLE, FILE, Ledger
from dirsweep.ledger.trial import SEED, TrialRecord, fold, trials
from dirsweep.ledger.whole import budget, identity, of_drivers, sweep_run, sweeps

__all__ = [
    "DURABLE",
    "FILE",
    "SEED",
    "Ledger",
    "TrialRecord",
    "budget",
    "fold",
    "identity",
    "of_drivers",
    "sweep_run",
    "sweeps",
    "trials",
]
