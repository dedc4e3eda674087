"""The trials of a sweep by its ledger, each that is complete with what it is ranked by."""

from dirsweep.ledger import FILE, Ledger, TrialRecord, trials
from dirsweep.search.model import SweepSpec
from dirsweep.storage import Folder


def known_trials(spec: SweepSpec, ledger: Ledger, folder: Folder) -> dict[str, TrialRecord]:
    """The trials and controls that the ledger in `folder` knows, by name.

    Raises ValueError if one was told complete without an objective of the spec, which no sweep does.
    """
    found = trials(ledger.records)
    for trial in found.values():
        lacking = [name for name in spec.objectives if name not in trial.metrics]
        if trial.state == "COMPLETE" and lacking:
            raise ValueError(
                f"{folder}/{FILE}: trial {trial.trial} is told complete without {lacking[0]}, an objective "
                "of its space; restore the file from a copy"
            )
    return found
