"""Where the time of a trial goes: seconds of its parts, and a trace of a few steps of each phase.

The loop names its parts as it works (`loop.Trial.part`), without a profile at no cost. Seconds are counted
over the whole trial; PyTorch's profiler, which slows what it watches, runs for a few steps alone, so that a
trace stays small however long the trial is. On a GPU each part waits for what it has begun there, else its
time would fall to a later one: a profiled trial is slower, and its parts never overlap.
"""

import os
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, record_function

from dirsweep.storage import Folder

PARTS = ("data", "forward", "methods", "backward", "optimizer", "evaluation", "checkpoint", "report")
REST, UNCOUNTED = "the rest", "the profiler itself"
STEPS = 8
"""Steps of an epoch that are traced, its last, and what follows up to the next epoch."""
EPOCHS = 2
"""Epochs of a phase that are traced, of those trained here; the second replaces the first, which warms up."""


@dataclass
class Trace:
    """What PyTorch's profiler saw of the end of an epoch; `seconds` of wall time."""

    stage: str
    epoch: int
    profiler: torch.profiler.profile
    seconds: float


@dataclass(frozen=True)
class Spent:
    """What was found.

    seconds: of each of PARTS and of REST; together the wall time from the first training step on.
    operations: of the traced steps, (name, calls, seconds in it alone), the longest first.
    traced: wall seconds of the traced steps.
    files: names of the traces in the trial's folder.
    """

    seconds: dict[str, float]
    operations: list[tuple[str, int, float]]
    traced: float
    files: list[str]


class Profile:
    """Watches one trial, in the process that trains it."""

    def __init__(self, device: str) -> None:
        self._cuda = device == "cuda"
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._now, self._since = UNCOUNTED, time.perf_counter()
        self._running: Trace | None = None
        self._traces: dict[str, Trace] = {}
        self._first: dict[str, int] = {}
        """The first epoch that was trained here, of each stage."""

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what is done inside as `name`, but for parts within."""
        outer = self._turn(name)
        try:
            with record_function(name):
                yield
        finally:
            self._turn(outer)

    def step(self, stage: str, epoch: int, left: int) -> None:
        """A step is to begin in `epoch` of a phase, the last but `left` - 1 of the epoch."""
        outer = self._turn(UNCOUNTED)
        if self._running is not None and (self._running.stage, self._running.epoch) != (stage, epoch):
            self._end()
        first = self._first.setdefault(stage, epoch)  # of this process: the trial may have gone on
        if self._running is None and epoch < first + EPOCHS and left <= STEPS:
            self._begin(stage, epoch)
        self._turn(REST if outer == UNCOUNTED else outer)

    def finish(self, folder: Folder) -> Spent:
        """Write the traces into the trial's folder; what was found. The profile is at its end."""
        self._turn(UNCOUNTED)
        if self._running is not None:
            self._end()
        seconds = {name: self._seconds[name] for name in (*PARTS, REST)}
        files = {f"trace-{stage}.json": trace for stage, trace in self._traces.items()}
        for name, trace in files.items():
            folder.put(name, _exported(trace.profiler))
        operations = _operations(list(self._traces.values()), cuda=self._cuda)
        return Spent(seconds, operations, sum(t.seconds for t in self._traces.values()), list(files))

    def _turn(self, name: str) -> str:
        """From now on time belongs to `name`; returns to what it did."""
        if self._cuda:
            torch.cuda.synchronize()
        now, before = time.perf_counter(), self._now
        self._seconds[before] += now - self._since
        self._now, self._since = name, now
        return before

    def _begin(self, stage: str, epoch: int) -> None:
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it tells stderr of each start, and of no GPU
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if self._cuda else [])]
        profiler = torch.profiler.profile(activities=activities)
        profiler.start()
        self._running = Trace(stage, epoch, profiler, -time.perf_counter())

    def _end(self) -> None:
        trace = self._running
        assert trace is not None, "the caller has looked"
        trace.seconds += time.perf_counter()
        trace.profiler.stop()
        self._traces[trace.stage], self._running = trace, None


def _exported(profiler: torch.profiler.profile) -> bytes:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "trace.json"
        profiler.export_chrome_trace(str(path))
        return path.read_bytes()


def _operations(traces: list[Trace], *, cuda: bool) -> list[tuple[str, int, float]]:
    """PyTorch's own operations by the time spent in each alone: on the GPU where there is one."""
    calls: Counter[str] = Counter()
    seconds: defaultdict[str, float] = defaultdict(float)
    for trace in traces:
        for found in trace.profiler.key_averages():
            if found.device_type.name != "CPU" or found.is_user_annotation:
                continue
            calls[found.key] += found.count
            alone = found.self_device_time_total if cuda else found.self_cpu_time_total
            seconds[found.key] += alone / 1e6
    longest = sorted(seconds.items(), key=lambda item: -item[1])
    return [(name, calls[name], spent) for name, spent in longest if spent > 0]
