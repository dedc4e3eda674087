"""Train each stage 1 once: fork a trial from the store, or train under a lease and deposit.

A fork copies the stored state into the trial's folder as a checkpoint, with the epoch records that go
with it, marked `reused`; from there on the trial is one that was interrupted, so there is one way to
restore and a forked trial reports the numbers of one that trained its own stage 1.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dirsweep import checkpoint, stage1
from dirsweep.checkpoint import Store, read_records
from dirsweep.checkpoint.lease import lease
from dirsweep.checkpoint.state import Notes, Tensors
from dirsweep.config import TrialConfig
from dirsweep.data import Dataset
from dirsweep.loop import Trial
from dirsweep.storage import TRIALS, Folder

FORK = "fork.json"
MEASURED = "stage1.json"
"""What the end of stage 1 measured; kept with a stored stage 1, so that the fit of a fork costs nothing."""


@contextmanager
def shared_stage1(
    config: TrialConfig,
    dataset: Dataset,
    folder: Folder,
    attempt: int,
    store: Store | None,
    should_stop: Callable[[], bool],
) -> Iterator[None]:
    """Fork a fresh trial from the store; hold the lease on its stage 1 while it is trained inside the block.

    A trial whose stage 1 is being trained by another waits for it. One that has a checkpoint of its
    own goes on from that. Without a store nothing is shared. Raises checkpoint.Stopped while waiting, and
    checkpoint.Superseded if an attempt after `attempt` has begun.
    """

    def gives_up() -> bool:
        checkpoint.check_current(folder, attempt)
        return should_stop()

    if store is None or checkpoint.latest(folder) is not None:
        yield
        return
    keys = stage1.keys(config, dataset)
    trial = checkpoint.identity(folder)
    with lease(store.folder, keys[-1], trial, lambda: store.has(keys[-1]), gives_up):
        _fork(config, folder, attempt, store, keys)
        yield


def _fork(config: TrialConfig, folder: Folder, attempt: int, store: Store, keys: list[str]) -> None:
    """Begin the trial with the longest stored part of its stage 1, if there is any. Raises Superseded."""
    checkpoint.check_current(folder, attempt)
    for name in (FORK, MEASURED):  # of an attempt that died before its checkpoint was there
        folder.delete(name)
    for key in reversed(keys):
        found = store.get(key)
        if found is not None:
            tensors, notes = found
            total = config.stage1.total_epochs + (config.stage2.schedule.epochs if config.stage2 else 0)
            reused = {"of": total, "attempt": 0, "seconds": 0.0, "reused": True}
            if donor := notes.get("trial"):  # entries of earlier versions do not say
                reused |= {"forked_from": donor, "forked_at": notes["time"]}
            for record in notes["records"]:
                folder.append(checkpoint.RECORDS, {**record, **reused})
            if key == keys[-1]:
                folder.put(MEASURED, json.dumps(notes["measured"]).encode())
            facts = {"key": key, "epoch": notes["epoch"], "seconds": notes["seconds"]}
            folder.put(FORK, json.dumps(facts).encode())
            checkpoint.save(folder, attempt, notes["epoch"], 0, tensors, notes["state"])
            return


def _named(folder: Folder) -> str:
    """How others call a trial: "all-1/7" for trial 7 of the sweep all-1."""
    place = folder.absolute()
    return f"{place.parent.parent.name if place.parent.name == TRIALS else place.parent.name}/{place.name}"


def reused_seconds(folder: Folder) -> float:
    """Trainer-seconds that a trial saved by its fork: what the reused part took when it was trained."""
    return float(json.loads(folder.read(FORK))["seconds"]) if folder.exists(FORK) else 0.0


def deposit(trial: Trial, store: Store, tensors: Tensors, state: Notes) -> None:
    """Put the end of a trial's stage 1 into the store, for others to fork from."""
    folder, epochs = trial.journal.folder, trial.config.stage1.total_epochs
    notes = {
        "state": state,
        "epoch": epochs,
        "records": [record for record in read_records(folder) if record["epoch"] <= epochs],
        "measured": json.loads(folder.read(MEASURED)),
        "seconds": trial.journal.seconds + reused_seconds(folder),
        "time": time.time(),
        "trial": _named(folder),
        "config": trial.config.model_dump(mode="json", exclude={"stage2"}),
    }
    store.put(stage1.keys(trial.config, trial.dataset)[-1], tensors, notes)
