"""Bring the samples of each step to the device.

Inputs that fit live there whole, and a step picks its rows there. Images that do not fit stay in their mapped
store: while a step computes, a thread gathers the rows of the next ones into pinned memory and a stream of
its own copies them. Only bytes travel; what is random about a sample is drawn on the device, so both ways
give the same numbers.
"""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from dirsweep import models
from dirsweep.models import Rows

AHEAD = 2
"""Batches that are on their way while a step computes."""

Chosen = Tensor | slice
Arriving = tuple[Rows, torch.cuda.Event]


def feed(rows: Rows, chosen: Iterable[Chosen], device: str) -> Generator[Rows]:
    """The chosen samples of each step, on the device, in turn.

    Close it (`contextlib.closing`) where it may not be read to its end.

    Args:
        rows: on the device, or in memory.
        chosen: (B,) places of samples, best where the rows are, or a slice.
    """
    if device == "cpu" or models.place(rows).type != "cpu":
        for part in chosen:
            yield models.to(models.take(rows, part), device)
        return
    copies = torch.cuda.Stream()
    arriving: deque[Future[Arriving]] = deque()
    with ThreadPoolExecutor(1, "feed") as thread:
        for part in chosen:
            arriving.append(thread.submit(_bring, rows, part, copies))
            if len(arriving) > AHEAD:
                yield _arrived(arriving.popleft())
        while arriving:
            yield _arrived(arriving.popleft())


def in_order(rows: Rows, size: int, device: str) -> Generator[Rows]:
    """All samples in their order, at most `size` at a time, on the device."""
    return feed(rows, (slice(start, start + size) for start in range(0, models.count(rows), size)), device)


def _bring(rows: Rows, part: Chosen, copies: torch.cuda.Stream) -> Arriving:
    """Begin to copy the chosen samples; in the thread."""
    parts = (rows,) if isinstance(rows, Tensor) else rows
    with torch.cuda.stream(copies):
        there = [_pinned(tensor, part).to("cuda", non_blocking=True) for tensor in parts]
        done = copies.record_event()
    return (there[0] if isinstance(rows, Tensor) else tuple(there)), done


def _pinned(tensor: Tensor, part: Chosen) -> Tensor:
    """The chosen rows, gathered straight into pinned memory; its allocator waits until they are copied."""
    if isinstance(part, slice):
        return tensor[part].pin_memory()
    found = torch.empty((len(part), *tensor.shape[1:]), dtype=tensor.dtype, pin_memory=True)
    return torch.index_select(tensor, 0, part.cpu(), out=found)


def _arrived(future: "Future[Arriving]") -> Rows:
    """Let the steps' stream wait for a copy, not the process."""
    rows, done = future.result()
    stream = torch.cuda.current_stream()
    stream.wait_event(done)
    for tensor in (rows,) if isinstance(rows, Tensor) else rows:
        tensor.record_stream(stream)
    return rows
