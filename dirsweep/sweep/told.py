"""What the tracking store is told of a sweep and its trials, by what the ledger says of them.

A live sweep tells it as it happens, `dirsweep sync` at any later time from the same records.
"""

from typing import TYPE_CHECKING

from dirsweep.config import method_key
from dirsweep.ledger import TrialRecord
from dirsweep.search.model import SweepSpec
from dirsweep.storage import File, Folder, Record
from dirsweep.sweep import provenance, pruning
from dirsweep.sweep.controls import record_config
from dirsweep.sweep.progress import logged

if TYPE_CHECKING:
    from dirsweep.tracking import Calls

FILES = ("config.json", "facts.json", "metrics.json", "bins.csv")
"""Files of a trial's folder that its run shows."""
PICTURES = "pictures"
"""The folder of a trial that holds its pictures, and where they lie beside its run."""
AT_THE_END = ("fit/r2", "train/all/spearman", "train/all/out_of_order", "seconds", "reused_seconds")
"""Final metrics that the tracker keeps beside those of an epoch: its pages slow down with many."""


def kept(spec: SweepSpec) -> tuple[str, ...]:
    """Metrics of an epoch that the ledger and the tracker keep; the rest is in the trial's own records."""
    rule = pruning.rule(spec)
    return tuple(dict.fromkeys((*logged(spec.metrics), *((rule.metric,) if rule else ()))))


def begin(calls: "Calls", spec: SweepSpec, opening: Record, sweep: str, record: TrialRecord) -> None:
    """Begin the run of a trial of the sweep of that name, with the epochs that the ledger has."""
    tags = provenance.tags(spec, opening, sweep) | {"control": record.control, "of": record.of}
    try:
        config = record_config(spec, record)
    except ValueError:  # searched values that do not go together: the trial has failed by them
        tags["method"] = ""
    else:
        tags |= {"method": method_key(config), "seed": str(config.seed)}
    given = {name: tag for name, tag in tags.items() if tag}
    calls.start_trial(record.trial, record.params, given, record.begun or record.ended)
    calls.log_past(record.trial, record.reports)
    forked(calls, opening, sweep, record)


def forked(calls: "Calls", opening: Record, sweep: str, record: TrialRecord) -> None:
    """Name the one whose stage 1 the trial went on from, if it did; a control's name says enough already."""
    if record.forked_from:
        donor = _donor(opening, sweep, record)
        name = "" if record.kind == "control" else f"trial {record.trial} (stage 1 of {donor})"
        calls.name_trial(record.trial, name, {"forked_from": donor})


def _donor(opening: Record, sweep: str, record: TrialRecord) -> str:
    """What a trial calls the one that it went on from: by its number alone if it is of the same sweep.

    That may have been renamed since; and an earlier sweep, deleted or of another storage folder, may have had
    its name.
    """
    name, _, key = record.forked_from.rpartition("/")
    if name not in (sweep, opening.get("name", sweep)):
        return record.forked_from
    if record.forked_at and record.forked_at < opening["time"]:
        return f"{record.forked_from}, an earlier sweep"
    return key


def end(calls: "Calls", spec: SweepSpec, folder: Folder, record: TrialRecord) -> None:
    """End the run of a trial in `folder` as the ledger says that it ended.

    One that ran to its end has all of FILES; handed over unseen, one that is not there is reported as gone.
    """
    final = {name: record.metrics[name] for name in (*kept(spec), *AT_THE_END) if name in record.metrics}
    whole = record.state == "COMPLETE" and record.attempts > 0
    files = [File(folder, name) for name in FILES if whole or folder.exists(name)]
    if pictures := pictures_of(folder):  # before the end, which says that all is there
        calls.add_files(record.trial, pictures, PICTURES)
    calls.end_trial(record.trial, record.state, final, files, record.reason, record.ended)


def pictures_of(folder: Folder) -> list[File]:
    """The pictures that a trial's folder has."""
    return [File(folder, name) for name in folder.list(PICTURES) if name.endswith(".svg")]


def summary(spec: SweepSpec, best: TrialRecord | None) -> dict[str, float]:
    """The winner's objectives, as the parent run shows them."""
    return {f"best/{name}": best.metrics[name] for name in spec.objectives} if best else {}
