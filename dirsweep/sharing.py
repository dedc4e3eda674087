"""How fast trials train that share a device: so many at once, each in a process of its own, for seconds.

What is timed are the steps of stage 1, without evaluation. All processes warm up first, and begin together.
"""

import contextlib
import multiprocessing
import signal
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from dirsweep.checkpoint import Journal, Stopped, claim
from dirsweep.config import TrialConfig, settings
from dirsweep.storage import Folder
from dirsweep.trouble import OutOfMemory, naming_trouble

STEPS, TIMED_SECONDS = 20, 3.0
"""Of the warm-up, and between two looks at the clock; how long each process then trains."""
GRACE = 10.0  # seconds, for processes that are late to say so
LATE = "the time for timing was over"


@dataclass(frozen=True)
class Sharing:
    """So many trials at once on one device.

    each: steps a second of one of them, in the mean.
    memory: bytes that PyTorch took of the GPU, or on a CPU the whole process, for the one that took most.
    refused: why they were not timed; then the rest is 0.
    """

    count: int
    each: float = 0.0
    memory: int = 0
    refused: str = ""

    @property
    def whole(self) -> float:
        """Steps a second of all of them."""
        return self.count * self.each


def at_once(config: TrialConfig, count: int, ends: float) -> Sharing:
    """Time so many of the trial at once; they give up when `time.monotonic` comes to `ends`."""
    context, lines, processes = multiprocessing.get_context("spawn"), list[Connection](), []
    with tempfile.TemporaryDirectory() as place:  # of all: a process that is killed removes nothing
        try:
            for number in range(count):
                line, other = context.Pipe()
                lines.append(line)
                told = (other, f"{place}/{number}", config.model_dump_json(), 1 / count, ends)
                process = context.Process(target=_work, args=told)
                process.start()
                processes.append(process)
                other.close()  # so that its death is heard here
            refused = next(filter(None, [_heard(line, ends) for line in lines]), None)
            if refused is None:
                for line in lines:
                    line.send("begin")
                answers = [_heard(line, ends) for line in lines]
                refused = next((answer for answer in answers if isinstance(answer, str)), None)
        except (EOFError, ConnectionError):
            refused = "a process that timed it died; if memory ran out, fewer may do"
        finally:
            for process in processes:  # whatever it is at: all that it had to say was heard
                process.kill()
                process.join()
    if refused is not None:
        return Sharing(count, refused=refused)
    each, memory = zip(*answers, strict=True)
    return Sharing(count, sum(each) / count, max(memory))


def _heard(line: Connection, ends: float) -> Any:
    """What a process says: why not, or None once it is warm and then its steps a second and its memory."""
    return line.recv() if line.poll(max(0.0, ends + GRACE - time.monotonic())) else LATE


def _work(line: Connection, place: str, config: str, share: float, ends: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it hears of Ctrl-C, and ends it
    with contextlib.suppress(EOFError, ConnectionError):  # or is gone
        try:
            answer: Any = _timed(line, place, TrialConfig.model_validate_json(config), share, ends)
        except (ValueError, OutOfMemory) as error:
            answer = str(error)
        except Stopped:
            answer = LATE
        line.send(answer)


def _timed(line: Connection, place: str, config: TrialConfig, share: float, ends: float) -> tuple[float, int]:
    import torch

    from dirsweep import data, device, pipeline, stage1
    from dirsweep.loop import cut, stepping

    dataset = data.load(config.dataset)
    pipeline.check(config, dataset)
    device.check(config, 1)
    with naming_trouble(config, share):
        folder = Folder(place)
        journal = Journal(folder, claim(folder), lambda record: None, 0, lambda: time.monotonic() > ends)
        trial = pipeline.set_up(config, dataset, journal, share)
        phase = stage1.phase(trial, settings(config.stage1)[0], 0, last=True)
        epoch = stepping(cut(trial, STEPS * phase.batch_size), phase)
        epoch()
        line.send(None)
        line.recv()
        begun, done = time.perf_counter(), 0
        while time.perf_counter() - begun < TIMED_SECONDS:
            done += epoch()
        seconds = time.perf_counter() - begun
    memory = torch.cuda.max_memory_reserved() if config.device == "cuda" else peak_memory()
    return done / seconds, memory


def peak_memory() -> int:
    """Bytes. Not `getrusage`'s, which begins with what the parent process held when it started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
