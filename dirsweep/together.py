"""One trial by several processes, as workers of Ray Train: each runs `pipeline.run_trial` with its part.

What they say comes by a queue of Ray's, as it is said; Ray Train carries nothing. Nor does it start again
what failed: whoever called does, as with a trial of one process, and it goes on from its checkpoint. All
processes of a trial are on one machine, each with CPU cores, and on GPUs a card, of its own.
"""

import logging
import queue
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Literal, Protocol

from dirsweep.config import TrialConfig
from dirsweep.storage import Folder, Place, Record

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""Between two looks whether the workers have ended, while they say nothing."""

Message = tuple[Literal["epoch", "alive", "warning"], Any]
"""What a worker says: an epoch's record, that the trial lives (None), or what is to be heard of (a text)."""


class Line(Protocol):
    """What messages come by: `ray.util.queue.Queue`, or Python's own within a process."""

    def put(self, item: Message) -> None: ...
    def get(self, block: bool, timeout: float | None) -> Message: ...


def train_together(
    config: TrialConfig,
    folder: Folder,
    emit: Callable[[Record], None],
    *,
    emitted: int = 0,
    begin_looking: Callable[[Callable[[], None]], Callable[[], bool]] | None = None,
    on_alive: Callable[[], None] = lambda: None,
    store: Place,
    per_process: dict[str, float],
) -> dict[str, float]:
    """Train one trial by `config.processes` workers inside a Ray session; as `pipeline.run_trial`.

    What a worker warns of is warned of here.

    Args:
        begin_looking: called in the first worker, with what it is to call as a sign of life; gives what says
            whether to stop. None: it never does.
        on_alive: is called for each sign of life.
        store: the folder of stage 1s.
        per_process: "CPU" and "GPU" that each takes.

    Raises what `run_trial` raises in a worker, and ray.train.TrainingFailedError where one was lost.
    """
    from fsspec.implementations.memory import MemoryFileSystem
    from pyarrow.fs import FSSpecHandler, PyFileSystem
    from ray.train import RunConfig, ScalingConfig, WorkerGroupError
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.util.queue import Queue

    from dirsweep.group import BACKENDS, PATIENCE

    gpus = per_process["GPU"] > 0
    line = Queue(actor_options={"num_cpus": 0})
    trainer = TorchTrainer(
        _work,
        train_loop_config={
            "config": config.model_dump_json(),
            "folder": str(folder.absolute()),
            "emitted": emitted,
            "store": str(store),
            "begin_looking": begin_looking,
            "line": line,
        },
        torch_config=TorchConfig(backend=BACKENDS if gpus else "gloo", timeout_s=PATIENCE),
        scaling_config=ScalingConfig(
            num_workers=config.processes,
            use_gpu=gpus,
            resources_per_worker={name: each for name, each in per_process.items() if each},
            placement_strategy="STRICT_PACK",
        ),
        # its own notes, for it keeps no checkpoint: in memory, where nothing is left of a killed process
        run_config=RunConfig(
            name="trial",
            storage_path="dirsweep",
            storage_filesystem=PyFileSystem(FSSpecHandler(MemoryFileSystem())),
        ),
    )
    training = _beside(trainer.fit)
    for kind, said in _messages(line, training):
        match kind:
            case "epoch":
                emit(said)
            case "alive":
                on_alive()
            case "warning":
                log.warning("%s", said)
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


def _messages(line: Line, training: Future[Any]) -> Iterator[Message]:
    """What workers say until they have ended, each warning once: all of them may find the same amiss."""
    warned = set[str]()
    while True:
        over = training.done()  # looked at first: what they said before that is here by now
        try:
            kind, said = line.get(not over, POLL_SECONDS)
        except queue.Empty:
            if over:
                return
            continue
        if kind == "warning" and said in warned:
            continue
        if kind == "warning":
            warned.add(said)
        yield kind, said


def _cause(error: Any) -> Exception:
    """What a worker raised of its own, where one did; else a TrainingFailedError that says who was lost.

    Ray hands on an exception with its traceback around it, in a field that is not public: should that have
    another name one day, the error counts as a lost worker's, and the trial is tried again.
    """
    from ray.train import TrainingFailedError

    from dirsweep import pipeline

    own = (ValueError, FloatingPointError, OSError, pipeline.OutOfMemory, pipeline.Stopped)
    failures = [getattr(failure, "_base_exc", failure) for failure in error.worker_failures.values()]
    return next(
        (failure for failure in failures if isinstance(failure, own)),
        TrainingFailedError(_lost(error.worker_failures)),
    )


def _lost(failures: Mapping[int, Exception]) -> str:
    """Which processes were lost, and why, on one line; of none, what the others raised.

    Where Ray knows why a process is gone, it says so in a line with "because"; the others only find it gone.
    """
    told = {rank: traceback.format_exception_only(failure) for rank, failure in failures.items()}
    lines = {rank: "".join(text).strip().splitlines() for rank, text in told.items()}
    lost = {rank: line for rank, said in lines.items() for line in said if " because " in line}
    last = {rank: said[-1] for rank, said in lines.items()}
    return "; ".join(f"process {rank}: {line}" for rank, line in (lost or last).items())


def _work(told: dict[str, Any]) -> dict[str, float]:
    """One of the workers."""
    from dirsweep import pipeline
    from dirsweep.checkpoint import Store
    from dirsweep.group import joined

    group, line, begin_looking = joined(), told["line"], told["begin_looking"]
    looks = begin_looking is not None and group.leads
    with hearing(lambda text: line.put(("warning", text))):
        return pipeline.run_trial(
            TrialConfig.model_validate_json(told["config"]),
            Folder(told["folder"]),
            lambda record: line.put(("epoch", record)),
            emitted=told["emitted"],
            should_stop=begin_looking(lambda: line.put(("alive", None))) if looks else lambda: False,
            store=Store(Folder(told["store"])),
            group=group,
        )


@contextmanager
def hearing(hear: Callable[[str], None]) -> Iterator[None]:
    """Hand on what dirsweep warns of in this process inside the block: Ray would leave it in a file."""
    handler, logger = _Hearing(hear), logging.getLogger("dirsweep")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Hearing(logging.Handler):
    def __init__(self, hear: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        self._hear(record.getMessage())
