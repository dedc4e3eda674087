"""One trial by several processes, as workers of Ray Train: each runs `pipeline.run_trial` with its part.

What they report is read where they leave it, in the trial's folder; Ray Train carries nothing. Nor does it
start again what failed: whoever called does, as with a trial of one process, and it goes on from its
checkpoint. All processes of a trial are on one machine, each with CPU cores, and on GPUs a card, of its own.
"""

import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

from dirsweep.config import TrialConfig
from dirsweep.storage import Folder, Place, Record

POLL_SECONDS = 0.5
"""Between two looks for new records."""


def train_together(
    config: TrialConfig,
    folder: Folder,
    emit: Callable[[Record], None],
    *,
    emitted: int = 0,
    begin_looking: Callable[[], Callable[[], bool]] | None = None,
    store: Place,
    per_process: dict[str, float],
) -> dict[str, float]:
    """Train one trial by `config.processes` workers inside a Ray session; as `pipeline.run_trial`.

    Args:
        begin_looking: called in a worker; gives what says whether to stop. None: it never does.
        store: the folder of stage 1s.
        per_process: "CPU" and "GPU" that each takes.

    Raises what `run_trial` raises in a worker, and ray.train.TrainingFailedError where one was lost.
    """
    from ray.train import RunConfig, ScalingConfig, WorkerGroupError
    from ray.train.torch import TorchConfig, TorchTrainer

    from dirsweep.group import BACKENDS, PATIENCE

    gpus = per_process["GPU"] > 0
    with tempfile.TemporaryDirectory(prefix="dirsweep-") as place:
        trainer = TorchTrainer(
            _work,
            train_loop_config={
                "config": config.model_dump_json(),
                "folder": str(folder.absolute()),
                "store": str(store),
                "begin_looking": begin_looking,
            },
            torch_config=TorchConfig(backend=BACKENDS if gpus else "gloo", timeout_s=PATIENCE),
            scaling_config=ScalingConfig(
                num_workers=config.processes,
                use_gpu=gpus,
                resources_per_worker={name: each for name, each in per_process.items() if each},
                placement_strategy="STRICT_PACK",
            ),
            run_config=RunConfig(name="trial", storage_path=place),  # its own notes; it keeps no checkpoint
        )
        training = _beside(trainer.fit)
        while not training.done():
            wait([training], POLL_SECONDS)
            emitted = _pass_on(folder, emit, emitted)
        _pass_on(folder, emit, emitted)  # what came while the last records were passed on
        try:
            metrics: dict[str, float] = training.result().return_value
        except WorkerGroupError as error:
            raise _cause(error) from error
    return metrics


def _beside(call: Callable[[], Any]) -> Future[Any]:
    """Call in a thread that dies with the process; the caller's own is free for Tune, which may end it."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _pass_on(folder: Folder, emit: Callable[[Record], None], emitted: int) -> int:
    """Emit the records that are new; returns the last epoch that was."""
    from dirsweep.checkpoint import read_records

    for record in read_records(folder):
        if record["epoch"] > emitted:
            emit(record)
            emitted = record["epoch"]
    return emitted


def _cause(error: Any) -> Exception:
    """What a worker raised of its own, where one did; others only find it gone.

    Ray hands on an exception with its traceback around it, in a field that is not public: should that have
    another name one day, the error counts as a lost worker's, and the trial is tried again.
    """
    from dirsweep import pipeline

    own = (ValueError, FloatingPointError, OSError, pipeline.OutOfMemory, pipeline.Stopped)
    failures = [getattr(failure, "_base_exc", failure) for failure in error.worker_failures.values()]
    return next((failure for failure in failures if isinstance(failure, own)), error)


def _work(told: dict[str, Any]) -> dict[str, float]:
    """One of the workers."""
    from dirsweep import pipeline
    from dirsweep.checkpoint import Store
    from dirsweep.group import joined

    begin_looking = told["begin_looking"]
    return pipeline.run_trial(
        TrialConfig.model_validate_json(told["config"]),
        Folder(told["folder"]),
        lambda record: None,
        should_stop=begin_looking() if begin_looking else lambda: False,
        store=Store(Folder(told["store"])),
        group=joined(),
    )
