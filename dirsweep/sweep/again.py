"""Whether a search space may go on as the sweep in a folder, for a job that is started more than once."""

from dirsweep import ledger
from dirsweep.ledger import Ledger
from dirsweep.search.model import SweepSpec
from dirsweep.search.spec import FILE, read_own_spec
from dirsweep.storage import Folder, Place


def is_there(folder: Place) -> bool:
    """Whether a sweep was begun in `folder`."""
    return Folder(folder).has_records(ledger.FILE)


def further_trials(spec: SweepSpec, folder: Place) -> int:
    """How many trials more than the sweep in `folder` was to have the budget of `spec` allows.

    Raises:
        ValueError: that sweep was begun with another space, or has other limits.
    """
    folder = Folder(folder)
    begun, records = read_own_spec(folder), Ledger.open(folder).records
    if spec.hash != begun.hash:
        raise ValueError(
            f"{folder}: was begun with another search space ({begun.hash[:12]}) than this one "
            f"({spec.hash[:12]}); put it back, or name another sweep"
        )
    for limit in ("minutes", "trainer_seconds", "silent_minutes"):
        wanted, found = getattr(spec.budget, limit), getattr(begun.budget, limit)
        if wanted != found:
            raise ValueError(
                f"{folder}: its budget.{limit} is {found}, that of the space given now {wanted}; change "
                f"it in {folder}/{FILE} too, or put it back"
            )
    return max(0, spec.budget.trials - ledger.budget(records))
