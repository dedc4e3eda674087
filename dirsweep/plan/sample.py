"""The configurations that a sweep would ask first."""

import tempfile
from typing import Any

from dirsweep.data import Dataset
from dirsweep.ledger import Ledger
from dirsweep.search.core import Search
from dirsweep.search.model import SweepSpec
from dirsweep.search.warm import gather
from dirsweep.storage import Folder

SAMPLED = 5


def first_asked(spec: SweepSpec, dataset: Dataset) -> dict[int, dict[str, Any]]:
    """Searched values by trial number, as the sweep asks them while none of its trials has ended.

    Constraints are left out: they may be relative to a control that nobody has run.
    """
    free = spec.model_copy(update={"constraints": ()})
    with tempfile.TemporaryDirectory() as place:
        ledger = Ledger.create(Folder(place), spec=free.hash, trials=spec.budget.trials)
        warm = gather(free, dataset.hash)
        if warm.trials:
            ledger.write("warm", trials=warm.trials, notes=warm.notes)
        search = Search(free, ledger)
        try:
            return dict(search.ask() for _ in range(min(SAMPLED, spec.budget.trials)))
        finally:
            search.close()
