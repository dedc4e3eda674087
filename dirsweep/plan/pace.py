"""How long a configuration takes: a few real steps on the real data, as many at once as in a sweep."""

import contextlib
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from dirsweep.checkpoint import Journal, Store, claim
from dirsweep.config import TrialConfig, settings
from dirsweep.data import Dataset
from dirsweep.sharing import peak_memory
from dirsweep.storage import Folder, Record
from dirsweep.trouble import NotCompiled, OutOfMemory, naming_trouble

if TYPE_CHECKING:
    from dirsweep.loop import Phase, Trial

STEPS = 5
"""Steps of a timed epoch."""
LEAST, MOST = 3, 40
"""Timed epochs: the first is a warm-up."""
ENOUGH_SECONDS = 1.0
"""After so long no further epoch of a phase is timed, once there are LEAST of them."""


@dataclass(frozen=True)
class Pace:
    """What one configuration takes alone in its worker.

    stage1, stage2: trainer-seconds of the whole stage, were nothing of it in the store.
    stored: share of stage 1's epochs that the store holds.
    weights: bytes of the model's weights.
    memory: peak of the worker that timed it, in bytes, its data included.
    refused: why it cannot be trained; then the rest is 0.
    """

    trial: int
    params: Mapping[str, Any]
    stage1: float = 0.0
    stage2: float = 0.0
    stored: float = 0.0
    weights: int = 0
    memory: int = 0
    refused: str = ""


@dataclass(frozen=True)
class Job:
    """A configuration to time in a process of its own."""

    trial: int
    params: Mapping[str, Any]
    config: str
    store: str
    gpu_share: float


def paces(
    asked: Mapping[int, Mapping[str, Any]],
    config: Callable[[dict[str, Any]], TrialConfig],
    store: Store,
    workers: int,
    gpu_share: float = 1.0,
) -> list[Pace]:
    """The pace of each asked configuration, in their order, `workers` of them timed at once.

    ValueError if none of them can be trained, with the reason of the first, or if a process was killed.
    """
    refused, jobs = [], []
    for trial, params in asked.items():
        try:
            text = config(dict(params)).model_dump_json()
            jobs.append(Job(trial, params, text, str(store.folder), gpu_share))
        except ValueError as error:
            refused.append(Pace(trial, params, refused=str(error)))
    processes = max(1, min(workers, len(jobs)))
    company = jobs[: -len(jobs) % processes]  # so that the last are not timed on an idle machine
    try:
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            found = list(pool.map(timed, [*jobs, *company]))[: len(jobs)]
    except BrokenProcessPool:
        raise ValueError(
            f"a process that timed a configuration was killed, {processes} at once; if memory ran out, ask "
            "for fewer --workers"
        ) from None
    found = sorted([*found, *refused], key=lambda one: one.trial)
    if all(one.refused for one in found):
        raise ValueError(
            f"none of the first {len(found)} configurations can be trained: trial {found[0].trial}: "
            f"{found[0].refused}"
        )
    return found


def timed(job: Job) -> Pace:
    """Time one configuration here."""
    from dirsweep import data, device, pipeline, stage1

    config = TrialConfig.model_validate_json(job.config)
    dataset = data.load(config.dataset)
    try:
        pipeline.check(config, dataset)
        device.check(config, 1)  # it is timed by one process, however many are to train it
    except ValueError as error:
        return Pace(job.trial, job.params, refused=str(error))
    keys, store = stage1.keys(config, dataset), Store(Folder(job.store))
    stored = max((place for place, key in enumerate(keys, 1) if store.has(key)), default=0)
    try:
        with naming_trouble(config, job.gpu_share):
            first, second, weights = _stages(config, dataset, job.gpu_share)
    except (OutOfMemory, NotCompiled) as error:
        return Pace(job.trial, job.params, refused=str(error))
    return Pace(job.trial, job.params, first, second, stored / len(keys), weights, peak_memory())


def _stages(config: TrialConfig, dataset: Dataset, gpu_share: float) -> tuple[float, float, int]:
    """Trainer-seconds of both stages, and the bytes of the weights."""
    from dirsweep import pipeline, stage1, stage2
    from dirsweep.loop import cut, evaluate, steps

    with tempfile.TemporaryDirectory() as place:
        journal = _journal(Path(place) / "whole", lambda record: None)
        whole = pipeline.set_up(config, dataset, journal, gpu_share)
        evaluation = median(_seconds(lambda: evaluate(whole, dataset.val)) for _ in range(LEAST))
        share = (len(dataset.train.label) + len(dataset.val.label)) / len(dataset.val.label)

        def stage_seconds(phase: "Phase") -> float:
            few = cut(whole, STEPS * phase.batch_size)
            epoch = _epoch_seconds(few, phase, Path(place))
            counted = steps(len(few.dataset.train.label), phase.batch_size)
            step = max(0.0, epoch - evaluation) / counted
            return phase.epochs * (step * steps(len(dataset.train.label), phase.batch_size) + evaluation)

        chain = settings(config.stage1)
        phases = [stage1.phase(whole, setting, 0, last=False) for setting in chain]
        first = sum(stage_seconds(replace(phase, select="last")) for phase in phases) + share * evaluation
        second = 0.0
        if config.stage2 is not None:
            norms = np.linspace(1.0, 2.0, len(dataset.shots.counts))  # any will do: they cost the same
            line = stage2.majority_line(whole, config.stage2, norms)
            fine_tune = stage2.phase(whole, config.stage2, chain[-1].main, line, 0)
            if fine_tune.epochs:
                second = stage_seconds(replace(fine_tune, select="last")) + share * evaluation
    weights = sum(tensor.numel() * tensor.element_size() for tensor in whole.model.state_dict().values())
    return first, second, weights


def _journal(folder: Path, emit: Callable[[Record], None]) -> Journal:
    return Journal(Folder(folder), claim(Folder(folder)), emit, 0, lambda: False)


def _epoch_seconds(few: "Trial", phase: "Phase", place: Path) -> float:
    """Median seconds of an epoch over a few steps, its evaluation included."""
    from dirsweep.loop import train

    times: list[float] = []

    class Enough(Exception):
        """Timed for long enough."""

    def emit(record: Record) -> None:
        times.append(time.monotonic())
        if len(times) > LEAST and times[-1] - times[0] > ENOUGH_SECONDS:
            raise Enough

    folder = Path(tempfile.mkdtemp(dir=place))
    with contextlib.suppress(Enough, FloatingPointError):  # one that diverges is timed as far as it goes
        train(replace(few, journal=_journal(folder, emit)), replace(phase, epochs=MOST, warmup=0.0))
    return median(np.diff(times)) if len(times) > 1 else 0.0


def _seconds(call: Callable[[], object]) -> float:
    begun = time.monotonic()
    call()
    return time.monotonic() - begun
