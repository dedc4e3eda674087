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
from typing import Any

import numpy as np

from dirsweep.checkpoint import Journal, Store, claim
from dirsweep.config import TrialConfig, settings
from dirsweep.data import Dataset, Split
from dirsweep.device import NotCompiled, OutOfMemory, naming_trouble, set_up
from dirsweep.shots import Ints
from dirsweep.storage import Folder, Record

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
    return Pace(job.trial, job.params, first, second, stored / len(keys), weights, _peak_memory())


def _peak_memory() -> int:
    """Bytes. Not `getrusage`'s, which begins with what the parent process held when it started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def _stages(config: TrialConfig, dataset: Dataset, gpu_share: float) -> tuple[float, float, int]:
    """Trainer-seconds of both stages, and the bytes of the weights."""
    import torch

    from dirsweep import models, stage1, stage2
    from dirsweep.data.target import target_unit
    from dirsweep.loop import Phase, Trial, evaluate, rows_of, steps

    set_up(config, gpu_share)
    unit = target_unit(config.stage1.target_transform, dataset.train.label)
    rows = rows_of(config, dataset, gpu_share)
    built = models.build(config.encoder, rows[dataset.train], config.seed)
    model = models.placed(built, config.device)

    def trial_on(some: Dataset, folder: Path, emit: Callable[[Record], None]) -> Trial:
        journal = Journal(Folder(folder), claim(Folder(folder)), emit, 0, lambda: False)
        return Trial(config, some, unit, model, journal, 1, rows, len(dataset.train.label))

    with tempfile.TemporaryDirectory() as place:
        whole = trial_on(dataset, Path(place) / "whole", lambda record: None)
        evaluation = median(_seconds(lambda: evaluate(whole, dataset.val)) for _ in range(LEAST))
        share = (len(dataset.train.label) + len(dataset.val.label)) / len(dataset.val.label)

        def stage_seconds(phase: Phase) -> float:
            chosen = _some(dataset.train, STEPS * phase.batch_size)
            few = replace(dataset, train=_chosen(dataset.train, chosen))
            rows[few.train] = models.take(rows[dataset.train], torch.as_tensor(chosen))
            epoch = _epoch_seconds(trial_on, few, phase, Path(place))
            counted = steps(len(few.train.label), phase.batch_size)
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
    weights = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    return first, second, weights


def _epoch_seconds(trial_on: Callable[..., Any], few: Dataset, phase: Any, place: Path) -> float:
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
        train(trial_on(few, folder, emit), replace(phase, epochs=MOST, warmup=0.0))
    return median(np.diff(times)) if len(times) > 1 else 0.0


def _some(split: Split, count: int) -> Ints:
    """(count,) rows of a split drawn at random, or all of them."""
    return np.random.default_rng(0).permutation(len(split.label))[:count]


def _chosen(split: Split, rows: Ints) -> Split:
    """The split of these rows alone; its inputs are passed over, for what the encoder takes is there."""
    fields = {name: value[rows] for name, value in vars(split).items() if name != "inputs"}
    return Split(**fields, inputs=split.inputs)


def _seconds(call: Callable[[], object]) -> float:
    begun = time.monotonic()
    call()
    return time.monotonic() - begun
