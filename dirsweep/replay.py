"""Run a tracked trial again from its record alone, and say whether the same numbers come out.

On a CPU they do, bit for bit, with the same versions, data and files; which of these differs is told first,
since it is the likeliest reason. Other versions do not stop a replay; other data or files of the encoder do,
for then it is another trial.
"""

import csv
import json
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dirsweep import METHOD_VERSION, data, models, pipeline
from dirsweep.checkpoint import read_records
from dirsweep.config import PLACES, TrialConfig, explain
from dirsweep.storage import Folder, Record
from dirsweep.sweep import provenance
from dirsweep.tracking.record import RunRecord

TIMES = frozenset({"seconds", "reused_seconds"})
"""Final metrics that no two runs share."""
NUMBERS = ("torch", "numpy", "pandas", "scipy", "python")
"""Packages that make the numbers; they are told before others."""


@dataclass(frozen=True)
class Outcome:
    """What came of a replay.

    first: the first difference in data, files or numbers, "" where there is none.
    versions: what is installed in another version than there, most telling first.
    trained: whether the trial ran; it does not on other data.
    """

    first: str
    versions: tuple[str, ...]
    trained: bool

    @property
    def identical(self) -> bool:
        """Whether all numbers came out the same."""
        return self.trained and not self.first


def replay(record: RunRecord, tell: Callable[[str], None], on_epoch: Callable[[Record], None]) -> Outcome:
    """Train the trial of `record` in a temporary folder, its stage 1 too, and compare.

    Args:
        tell: is handed what is worth knowing before it trains.
        on_epoch: is handed each epoch's record.

    Raises:
        ValueError: its configuration or its data cannot be had here.
        FloatingPointError: it diverges.
    """
    versions = tuple(_versions(record))
    for line in versions:
        tell(line)
    config = config_of(record)
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"run {record.run}: ran on a GPU, and PyTorch finds none here; replay it where one is"
        )
    if config.processes > 1:
        raise ValueError(
            f"run {record.run}: was trained by {config.processes} processes, whose numbers one process does "
            "not have to the last digit, so a replay would differ; train it anew with torchrun, and compare"
        )
    dataset = data.load(config.dataset)
    if changed := _data(record, config, dataset.hash):
        return Outcome(changed, versions, trained=False)
    pipeline.check(config, dataset)
    if changed := _files(record, config):
        return Outcome(changed, versions, trained=False)
    if config.device != "cpu":
        tell(f"on {config.device} the same trial need not give the same numbers twice")
    with tempfile.TemporaryDirectory(prefix="dirsweep-") as place:
        folder = Folder(place)
        metrics = pipeline.run_trial(config, folder, on_epoch)
        first = _epochs(record, read_records(folder)) or _final(record.metrics, metrics)
        first = first or _bins(record.bins, folder.read("bins.csv").decode())
    return Outcome(first, versions, trained=True)


def in_words(outcome: Outcome) -> str:
    """The outcome in a sentence."""
    versions = "; ".join(outcome.versions)
    if outcome.identical:
        return f"identical, although {versions}" if versions else "identical"
    if not outcome.trained:
        return f"not trained, for it would be another trial: {outcome.first}"
    return f"differs, first at {outcome.first}" + (f"; versions differ: {versions}" if versions else "")


def _versions(record: RunRecord) -> list[str]:
    """Each version that differs: of the method, of dirsweep, then of packages."""
    there = {"method version": record.facts.get("method_version"), **record.versions}
    here: dict[str, Any] = {"method version": METHOD_VERSION, **provenance.versions()}
    order = dict.fromkeys(("method version", "dirsweep", *NUMBERS, *there))
    return [
        f"{name} {there[name]} there and {here[name]} here"
        for name in order
        if name in there and name in here and there[name] != here[name]
    ]


def config_of(record: RunRecord) -> TrialConfig:
    """The configuration of a recorded trial. ValueError if this dirsweep takes no such one."""
    try:
        return TrialConfig.model_validate(record.config)
    except ValueError as error:
        raise ValueError(explain(error, f"run {record.run}: config.json")) from None


def _data(record: RunRecord, config: TrialConfig, here: str) -> str:
    """How the data differ; "" if they do not."""
    there = record.facts.get("data", "")
    if there == here:
        return ""
    tree = config.dataset.model_dump(mode="json")
    place = next((tree[key] for key in PLACES if tree.get(key)), config.dataset.name)
    return f"the data ({place}): hash {there} there and {here} here; put back what it was trained on"


def _files(record: RunRecord, config: TrialConfig) -> str:
    """Which of the encoder's files differs; "" if none does."""
    there, here = record.facts.get("encoder", {}), models.contents(config.encoder)
    for name in here:
        if there.get(name) != here[name]:
            knob = "path" if name == "source" else name
            what = f"encoder.{knob} ({getattr(config.encoder, knob)})"
            return f"{what}: hash {there.get(name)} there and {here[name]} here; put back what it was"
    return ""


def _epochs(record: RunRecord, records: list[Record]) -> str:
    """The first metric of the first epoch that differs, among those that the run keeps by epoch.

    A value that is not finite is in no run, and an epoch of which it has nothing was never delivered.
    """
    known = {epoch for points in record.history.values() for epoch in points}
    for one in records:
        if one["epoch"] not in known:
            continue
        for name, value in one["metrics"].items():
            if name not in record.history:
                continue
            there, here = record.history[name].get(one["epoch"], math.nan), value
            if not _same(there, here if math.isfinite(here) else math.nan):
                return f"epoch {one['epoch']}, {name}: {_both(there, here)}"
    return ""


def _final(there: Mapping[str, float], here: Mapping[str, float]) -> str:
    """The first final metric that differs."""
    for name in dict.fromkeys((*there, *here)):
        if name in TIMES:
            continue
        if name not in there or name not in here:
            return f"{name} at the end: {_both(there.get(name), here.get(name))}"
        if not _same(there[name], here[name]):
            return f"{name} at the end: {_both(there[name], here[name])}"
    return ""


def _bins(there: str, here: str) -> str:
    """The first cell of the table of bins that differs."""
    theirs, ours = (list(csv.DictReader(text.splitlines())) for text in (there, here))
    columns = [list(table[0]) if table else [] for table in (theirs, ours)]
    if columns[0] != columns[1]:
        return f"bins.csv, its columns: {_both(*(', '.join(names) for names in columns))}"
    if len(theirs) != len(ours):
        return f"bins.csv, its rows: {_both(len(theirs), len(ours))}"
    for row, (left, right) in enumerate(zip(theirs, ours, strict=True), 1):
        for column in left:
            if left[column] != right[column]:  # a number's shortest text, so its bits too
                return f"bins.csv, row {row}, {column}: {_both(left[column], right[column])}"
    return ""


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the very same; NaN is NaN."""
    return bool(one == other) or (one != one and other != other)


def _both(there: Any, here: Any) -> str:
    return f"{_shown(there)} there and {_shown(here)} here"


def _shown(value: Any) -> str:
    """A value with all its digits."""
    if value is None or value == "":
        return "nothing"
    return value if isinstance(value, str) else json.dumps(value)
