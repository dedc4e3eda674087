"""The Ray side of a trial: an assignment in, one report per epoch out, and a `final` one.

What would come again (a bad threshold, a loss that turned NaN, a GPU with too little memory) is reported
as FAIL, not raised, for Tune and the sweep take an exception for a fault worth another attempt. A trial
that was stopped reports no `final`: it stays open and goes on at resume. Tune gets a line of text;
checkpoints and records are in the trial's own folder. What the trial warns of goes with the next report, for
Ray would leave it in a file of the worker's.

Importing this brings neither torch nor Ray: the driver names `trial` before Ray has its settings.
"""

import json
import math
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NotRequired, TypedDict

from dirsweep.config import TrialConfig
from dirsweep.leftover import Memory
from dirsweep.storage import STOP, Folder, Place, Record, refusal
from dirsweep.together import hearing, train_together

POLL_SECONDS = 1.0
ERROR_FILE = "error.txt"
REPORT = "report"
REFUSED = "REFUSED"
"""How a trial ends whose disk takes no write."""
ALIVE: Record = {"alive": True}
"""What a trial says between two epochs, so that a long one is told from a trial that hangs."""
MEMORY = Memory()
"""Of this process, whatever trials it runs."""


class Assignment(TypedDict):
    """What a worker is told."""

    key: str
    """Name of the trial in its sweep: "7", "default-plain"."""
    config: str
    """A TrialConfig as JSON: text, for Tune takes a tree apart and copies it at each report."""
    folder: str
    """The trial's folder."""
    emitted: int
    """Last epoch that the ledger holds; the trial reports from the next one on."""
    data: str
    """The dataset's hash when the sweep began; a trial on other data would not belong to it."""
    store: str
    """The folder of stage 1s that trials of all sweeps share."""
    sweep: str
    """The sweep's folder: while its stop mark is there, trials save and end."""
    alive_every: NotRequired[float]
    """Seconds after which a sign of life is wanted; left out, none is."""
    gpu_share: NotRequired[float]
    """Its part of a GPU that others share; left out, it has one for itself, or none."""
    per_process: NotRequired[dict[str, float]]
    """"CPU" and "GPU" of each of its processes, where it has several."""


def trial(assignment: Assignment, memory: Memory = MEMORY) -> None:
    """Run one trial and report to Tune; the function that a sweep hands to Tune.

    Raises Leftover, before anything of the trial has begun, where the process is no longer fit for one.
    """
    if Folder(assignment["sweep"]).exists(STOP):
        return
    memory.check()
    with listening() as notes:
        _run(assignment, notes)


def _run(assignment: Assignment, notes: "Notes") -> None:
    from dirsweep import data, pipeline

    def say(record: Record) -> None:
        report_epoch(record, notes.take())

    folder = Folder(assignment["folder"])
    try:
        config = TrialConfig.model_validate_json(assignment["config"])
        train = _together(assignment) if config.processes > 1 else _alone(assignment)
        if (found := data.load(config.dataset).hash) != assignment["data"]:
            reason = (
                f"trial {assignment['key']}: the data were changed since the sweep began (their hash was "
                f"{assignment['data']}, now it is {found}); put them back"
            )
            report_final("OPEN", {}, reason, notes.take())
            return
        metrics = train(config, folder, say, emitted=assignment["emitted"])
    except pipeline.Stopped:
        return
    except (ValueError, FloatingPointError, pipeline.OutOfMemory) as error:
        folder.put(ERROR_FILE, traceback.format_exc().encode())
        report_final("FAIL", {}, str(error), notes.take())
    except OSError as error:
        ours = str(error.filename or "").startswith((assignment["sweep"], assignment["store"]))
        if not (remedy := refusal.remedy(error)) or not (ours or remedy == refusal.ROOM):
            raise
        report_final(REFUSED, {}, f"{refusal.told(error)}; {remedy}", notes.take())
    else:
        report_final("COMPLETE", metrics, notes=notes.take())


def _alone(assignment: Assignment) -> Callable[..., dict[str, float]]:
    """Train in this process, which gives its first sign of life here."""
    from dirsweep import pipeline
    from dirsweep.checkpoint import Store

    return partial(
        pipeline.run_trial,
        should_stop=poll(assignment, alive),
        store=Store(Folder(assignment["store"])),
        gpu_share=assignment.get("gpu_share", 1.0),
    )


def _together(assignment: Assignment) -> Callable[..., dict[str, float]]:
    """Train in processes that Ray Train starts, the first of which gives signs of life."""
    return partial(
        train_together,
        begin_looking=partial(poll, assignment),
        on_alive=alive,
        store=assignment["store"],
        per_process=assignment["per_process"],
    )


class Notes:
    """Warnings that wait to be reported."""

    def __init__(self) -> None:
        self._heard: list[str] = []

    def hear(self, text: str) -> None:
        """Keep what was warned of."""
        self._heard.append(text)

    def take(self) -> list[str]:
        """What was warned of since the last call."""
        heard, self._heard = self._heard, []
        return heard


@contextmanager
def listening() -> Iterator[Notes]:
    """What dirsweep warns of in this process inside the block."""
    notes = Notes()
    with hearing(notes.hear):
        yield notes


def report_epoch(record: Record, notes: Sequence[str] = ()) -> None:
    """Report one epoch (`pipeline`'s record) to Tune, and what the trial warned of since the last."""
    _report({**record, "fraction": record["epoch"] / record["of"], "notes": notes})


def report_final(state: str, metrics: dict[str, float], reason: str = "", notes: Sequence[str] = ()) -> None:
    """Report how the trial ended; OPEN (the data are others) and REFUSED are ends that are not its own."""
    _report({"final": True, "state": state, "reason": reason, "metrics": metrics, "notes": notes})


def _report(said: Record) -> None:
    """Report as text: of every number Tune keeps a history, half a megabyte for the metrics of a trial."""
    from ray import tune

    tune.report({REPORT: json.dumps(said)})


def said(result: Mapping[str, Any]) -> Record:
    """What a trial said, from the result that Tune hands on."""
    return dict(json.loads(result[REPORT]))


def alive() -> None:
    """Report to Tune that the trial lives."""
    _report(ALIVE)


def poll(assignment: Assignment, alive: Callable[[], None]) -> Callable[[], bool]:
    """What a trial calls again and again while it works: gives signs of life, and looks for the stop mark."""
    stopped, every = stop_check(assignment["sweep"]), assignment.get("alive_every", math.inf)
    said = time.monotonic()
    if every < math.inf:
        alive()

    def look() -> bool:
        nonlocal said
        if time.monotonic() - said >= every:
            said = time.monotonic()
            alive()
        return stopped()

    return look


def stop_check(sweep: Place) -> Callable[[], bool]:
    """Whether the stop mark of the sweep in that folder is there, looked up at most once a second."""
    sweep = Folder(sweep)
    checked, found = -POLL_SECONDS, False

    def stopped() -> bool:
        nonlocal checked, found
        if not found and time.monotonic() - checked >= POLL_SECONDS:
            checked, found = time.monotonic(), sweep.exists(STOP)
        return found

    return stopped
