"""Which trials of a sweep end early: the spec's rule, applied to the ledger's reports."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from dirsweep.config import TrialConfig
from dirsweep.ledger import TrialRecord
from dirsweep.search import parts
from dirsweep.search.model import SweepSpec
from dirsweep.storage import Record
from dirsweep.sweep.median import Median
from dirsweep.sweep.rungs import Rungs


class Rule(Protocol):
    """Decides from one scalar metric of the epochs reported so far."""

    @property
    def metric(self) -> str:
        """The metric it compares."""

    def stops(self, trial: str, epoch: int, of: int, metrics: Mapping[str, float | None]) -> bool:
        """Take in the report of one epoch; whether the trial should end here."""


def rule(spec: SweepSpec) -> Rule | None:
    """The spec's scheduler; None if every trial runs to its end."""
    match spec.scheduler:
        case parts.ASHA(metric=metric, rungs=at, reduction=reduction):
            return Rungs(metric, at, reduction)
        case parts.Median(metric=metric, startup=startup, warmup=warmup):
            return Median(metric, startup, warmup)
        case _:
            return None


class Pruning:
    """A rule and the reports it has seen; controls are never held against trials.

    In a staged sweep only stage 2 counts, for trials that share a stage 1 do not differ before it.
    """

    def __init__(self, spec: SweepSpec, rule: Rule | None, config: Callable[[str], TrialConfig]) -> None:
        """`config` gives a trial's configuration by its key."""
        self._rule, self._config = rule, config
        self._staged = not isinstance(spec.mode, parts.Joint)
        self._before: dict[str, int] = {}
        """Epochs before stage 2 by trial; making a configuration takes a millisecond, at each report."""

    def stops(self, record: TrialRecord, report: Mapping[str, Any]) -> bool:
        """Take in a report of a trial or control; whether it should end now."""
        if self._rule is None or record.kind != "ask":
            return False
        key, epoch, of = report["trial"], report["epoch"], report["of"]
        if self._staged:
            if key not in self._before:
                self._before[key] = self._config(key).stage1.total_epochs
            before = self._before[key]
            epoch, of = epoch - before, of - before
        return epoch > 0 and self._rule.stops(key, epoch, of, report["metrics"])

    def replay(self, reports: Iterable[Record], records: Mapping[str, TrialRecord]) -> set[str]:
        """Take in the ledger's records; the trials that its reports stopped, told or not."""
        return {
            report["trial"]
            for report in reports
            if report["kind"] == "report" and self.stops(records[report["trial"]], report)
        }
