"""CPU, memory and GPUs of this machine beside a sweep's numbers, by the names that MLflow's UI knows.

MLflow's own monitor writes by itself and ends for good when the store fails once; here its collectors are
read, and what they find goes the way of all numbers.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dirsweep.tracking import store
from dirsweep.tracking.calls import Calls

logger = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds between two samples."""


@contextmanager
def watched(calls: Calls, since: float, every: float = EVERY) -> Iterator[None]:
    """Sample this machine inside the block, on the sweep's parent run.

    Args:
        since: unix seconds at which the sweep began; a sample's step is the number of periods since then.
        every: a period, in seconds.
    """
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(calls, since, every, over), name="machine", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(every)


def _watch(calls: Calls, since: float, every: float, over: threading.Event) -> None:
    try:
        monitors = _monitors()
        ended, begun = False, time.time() - time.monotonic()
        while not ended:
            ended = over.wait(every)  # one more sample then, so that a short sweep has some
            now = begun + time.monotonic()  # whatever the clock is set to meanwhile
            found = {f"system/{name}": float(value) for name, value in _sample(monitors).items()}
            calls.log_load(found, round((now - since) / every), now)
    except Exception:  # a sensor that fails must not be heard of in the sweep
        logger.warning("tracking: the machine's load is no longer recorded", exc_info=True)


def _monitors() -> list[Any]:
    """MLflow's collectors for what this machine has."""
    store.quiet()
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

    found: list[Any] = [CPUMonitor()]
    try:
        found.append(GPUMonitor())
    except (ImportError, RuntimeError) as error:
        logger.info("no GPU is watched: %s", error)
    _sample(found)  # a share of CPU time is one since the sample before
    return found


def _sample(monitors: list[Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for monitor in monitors:
        monitor.collect_metrics()
        found |= monitor.aggregate_metrics()
        monitor.clear_metrics()
    return found
