"""Read a sweep's folder: its spec, its trials and controls, and who leads."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from dirsweep.ledger import FILE, Ledger, TrialRecord, budget, of_drivers
from dirsweep.report import forecast
from dirsweep.report.forecast import Forecast
from dirsweep.report.spent import Spent, spent
from dirsweep.search.best import complete_seeds, pareto, ranked
from dirsweep.search.known import known_trials
from dirsweep.search.model import SweepSpec
from dirsweep.search.spec import read_own_spec
from dirsweep.storage import Folder, Place

DEFAULT = "default"
NOTES = 5
"""So many notes of trials are said, and so many names of those that say the same; all are in the ledger."""


@dataclass(frozen=True)
class SweepReport:
    """A sweep as its ledger tells it.

    trials: trials and controls by name, in the order asked.
    ranked: complete, feasible trials, best first; with means over seeds where they were repeated.
    pareto: names of the ranked trials that no other beats in all objectives.
    unranked: why nothing could be ranked, "" if it could.
    dropped: damaged lines of the ledger that were passed over.
    spent: trainer-seconds, and what sharing stage 1s saved.
    forecast: what `dirsweep plan` foretold of it; None if it was not asked for such a sweep, or if the sweep
        has not come to its end or was given more trials than it began with.
    """

    folder: Folder
    spec: SweepSpec
    trials: dict[str, TrialRecord]
    ranked: list[TrialRecord]
    pareto: frozenset[str]
    unranked: str
    dropped: int
    spent: Spent
    forecast: Forecast | None

    @property
    def asked(self) -> list[TrialRecord]:
        """The trials without the controls."""
        return [trial for trial in self.trials.values() if trial.kind == "ask"]

    @property
    def best(self) -> TrialRecord | None:
        """The winner so far."""
        return self.ranked[0] if self.ranked else None

    @property
    def states(self) -> Counter[str]:
        """How many trials are COMPLETE, PRUNED, FAIL and OPEN."""
        return Counter(trial.state for trial in self.asked)

    def controls(self, of: str) -> list[TrialRecord]:
        """The controls of a trial, or of the space's "default" configuration; its repeats are none."""
        known = [trial for trial in self.trials.values() if trial.kind == "control" and trial.of == of]
        return [trial for trial in known if not trial.is_repeat]

    def seeds(self, trial: TrialRecord) -> list[TrialRecord]:
        """A complete trial and its complete repeats."""
        return complete_seeds(self.trials[trial.trial], self.trials)


def load(folder: Place) -> SweepReport:
    """The sweep in `folder`, finished or not. ValueError that names the file if it cannot be read."""
    folder = Folder(folder)
    ledger = Ledger.open(folder)
    spec = read_own_spec(folder)
    found = known_trials(spec, ledger, folder)
    costs = spent(list(found.values()), ledger.records)
    extended = budget(ledger.records) != ledger.opening["trials"]  # a plan knows nothing of later trials
    last = of_drivers(ledger.records)[-1]
    whole = last["kind"] == "end" and last["why"] != "stopped" and not extended
    plan = forecast.found(folder, spec, ledger.opening) if whole else None
    try:
        order, front = ranked(spec, found), pareto(spec, found)
    except ValueError as error:  # a constraint is relative to a control that has not finished yet
        return SweepReport(folder, spec, found, [], frozenset(), str(error), ledger.dropped, costs, plan)
    names = frozenset(trial.trial for trial in front) if len(spec.objectives) > 1 else frozenset()
    return SweepReport(folder, spec, found, order, names, "", ledger.dropped, costs, plan)


def damage(report: SweepReport) -> list[str]:
    """What the sweep went on without, a sentence each: damaged records, and what its trials warned of."""
    said = _warned_of(report.trials.values())
    if len(said) > NOTES:
        said[NOTES:] = [f"... and {len(said) - NOTES} more notes of trials, in {report.folder}/{FILE}"]
    if report.dropped:
        dropped = (
            f"{report.folder}/{FILE}: {report.dropped} record(s) were cut short or damaged and are passed"
        )
        said.insert(0, f"{dropped} over; what they said is asked or reported again")
    return said


def _warned_of(trials: Iterable[TrialRecord]) -> list[str]:
    """What trials warned of; what several say alike, but for numbers, is told once."""
    alike = dict[tuple[str, int], dict[str, str]]()
    for trial in trials:
        said = Counter[str]()
        for note in trial.notes:
            kind = re.sub(r"[0-9.]+", "", note)
            said[kind] += 1
            alike.setdefault((kind, said[kind]), {})[trial.trial] = note
    return [_told(notes) for notes in alike.values()]


def _told(notes: dict[str, str]) -> str:
    """The first of some notes, behind the trials that say it."""
    names = list(notes)
    if len(names) > NOTES:
        names[NOTES:] = [f"{len(names) - NOTES} more"]
    whose = f" (the numbers are those of {names[0]})" if len(set(notes.values())) > 1 else ""
    return f"{', '.join(names)}: {notes[names[0]]}{whose}"
