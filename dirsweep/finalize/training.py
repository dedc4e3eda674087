"""Train every configuration of a plan once per fresh seed, through Ray.

A run has a folder of its own below `finalize/runs/`, named by configuration and seed: what is there with its
`metrics.json` is done, what was interrupted goes on from its checkpoint, and a later opening finds it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dirsweep.config import TrialConfig
from dirsweep.finalize.plan import Row
from dirsweep.storage import Folder, Record, refusal
from dirsweep.sweep import Resources, stopping
from dirsweep.sweep.session import room
from dirsweep.together import train_together

FOLDER = "finalize/runs"
FRESH = 1_000_000
"""Added to the sweep's seed and 1, 2 ... for the seeds of a verdict: none that a search has seen."""
RETRIES = 2
"""How often Ray tries a run again whose worker died, or one of whose several processes was lost."""
LOOK_SECONDS = 1.0

OnDone = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """One configuration with one seed; the folder holds its trial."""

    row: Row
    seed: int
    folder: Folder

    @property
    def config(self) -> TrialConfig:
        """The trial's configuration."""
        return self.row.config.with_overrides({"seed": self.seed})

    @property
    def done(self) -> bool:
        """Whether it is trained."""
        return self.folder.exists("metrics.json")

    @property
    def metrics(self) -> dict[str, float]:
        """What the trained run reports."""
        return dict(json.loads(self.folder.read("metrics.json")))


def fresh_seeds(sweep_seed: int, count: int) -> list[int]:
    """Seeds of a verdict, the same ones first however many are asked for."""
    return [FRESH + sweep_seed + number for number in range(1, count + 1)]


def trained(rows: Sequence[Row], sweep: Folder) -> list[Run]:
    """The runs of these rows that are there, whichever opening asked for them."""
    found = []
    for row in rows:
        place = sweep.absolute() / FOLDER / row.folder
        found += [Run(row, int(seed), place / seed) for seed in place.folders() if seed.isdecimal()]
    return [run for run in found if run.done]


def runs(rows: Sequence[Row], seeds: Sequence[int], sweep: Folder) -> list[Run]:
    """Every row with every seed; those that share a stage 1 are a whole row apart, so that none waits."""
    place = sweep.absolute() / FOLDER
    return [Run(row, seed, place / f"{row.folder}/{seed}") for row in rows for seed in seeds]


def train(
    todo: Sequence[Run], owner: Folder, store: Folder, resources: Resources, on_done: OnDone
) -> dict[Run, str]:
    """Train the runs inside a Ray session; gives those that cannot be trained, with the reason.

    Args:
        owner: folder of the sweep they belong to, where `dirsweep stop` leaves its mark.
        store: the folder of stage 1s that are shared.
        on_done: is told of each run that has ended.

    Raises:
        ValueError: a worker died too often, or failed otherwise; the same call goes on.
        OSError: a disk takes no write; likewise.
        KeyboardInterrupt: `dirsweep stop` was called; the same call goes on.
    """
    import ray
    from ray.train import TrainingFailedError

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    alone = {"num_cpus": resources.cpus_per_trial, "num_gpus": resources.gpus_per_trial}
    together = {"num_cpus": 0, "num_gpus": 0}  # its processes take what it is given
    # on a GPU a process for each run, as for a sweep's trials: what one left there the next would lack
    worker = ray.remote(max_calls=1 if resources.gpus_per_trial else 0)(_train)

    def start(run: Run) -> Any:
        takes = alone if run.config.processes == 1 else together
        return worker.options(**takes, max_retries=RETRIES, retry_exceptions=[TrainingFailedError]).remote(
            run.config.model_dump_json(),
            str(run.folder.absolute()),
            str(store.absolute()),
            resources.gpu_share,
            resources.per_process(run.config.processes),
        )

    failed: dict[Run, str] = {}
    waiting: dict[Any, Run] = {}
    next_up = list(todo)
    while waiting or next_up:
        while next_up and (next_up[0].config.processes == 1 or len(waiting) < room(nodes, resources)):
            run = next_up.pop(0)
            waiting[start(run)] = run
        ended, _ = ray.wait(list(waiting), timeout=LOOK_SECONDS)
        if owner.exists(stopping.FILE):
            raise KeyboardInterrupt
        for reference in ended:
            run = waiting.pop(reference)
            try:
                reason = ray.get(reference)
            except ray.exceptions.RayError as error:
                raise _explained(run, error) from error
            if reason:
                failed[run] = reason
            said = f"cannot be trained: {reason}" if reason else "is trained"
            place = f"{len(todo) - len(waiting) - len(next_up)} of {len(todo)}"
            on_done(f"run {place}: {run.row.label} with seed {run.seed} {said}")
    return failed


def _explained(run: Run, error: Any) -> Exception:
    """What is wrong with a run that no worker gets through, from what Ray says of it."""
    cause = getattr(error, "cause", None) or str(error).strip().splitlines()[0]
    on = "then the same command goes on, and what is trained is kept"
    if isinstance(cause, OSError) and (remedy := refusal.remedy(cause)):
        return refusal.Refused(f"{refusal.told(cause)}; {remedy}, {on}")
    return ValueError(f"{run.folder}: no worker gets through this run: {cause}; mend that, {on}")


def _train(config: str, folder: str, store: str, gpu_share: float, per_process: dict[str, float]) -> str:
    """One run in a worker; the reason if its numbers break down, else "".

    With another seed they may not. Any other error is the configuration's or the machine's, and raised: a
    verdict without such a row would be another one than was asked for.
    """
    from dirsweep import pipeline
    from dirsweep.checkpoint import Store

    trial = TrialConfig.model_validate_json(config)
    try:
        if trial.processes > 1:
            train_together(trial, Folder(folder), _ignore, store=store, per_process=per_process)
        else:
            pipeline.run_trial(
                trial, Folder(folder), _ignore, store=Store(Folder(store)), gpu_share=gpu_share
            )
    except FloatingPointError as error:
        return str(error)
    return ""


def _ignore(record: Record) -> None:
    """Nobody watches the epochs of a run."""
