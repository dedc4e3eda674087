"""GPU memory that earlier trials left in a worker: one that holds any is not to begin another.

Where a worker process runs one trial after another (`Resources.reuse_actors`), what a trial left behind would
be missing in the next one's share of the GPU, and that one would fail for no fault of its own.
"""

import gc
from collections.abc import Callable

TOLERATED = 2**28
"""Bytes: cuBLAS keeps working memory for each thread that multiplies, which is no tensor of a trial's. It is
32 MiB as we set it, as much again for cuBLASLt, forward and backward: 128 MiB; twice that is let pass."""


class Leftover(RuntimeError):
    """A worker process holds memory of trials that it ran before; Tune ends the worker that raises it."""


def held() -> int:
    """Bytes of tensors that this process holds on the GPU; 0 where it has used none."""
    import torch

    if not torch.cuda.is_initialized():
        return 0
    gc.collect()  # a trial that failed may lie in a ring of its error and the frames that this came through
    torch.cuda.empty_cache()
    return torch.cuda.memory_allocated()


class Memory:
    """What this process held when it first began a trial; at each later one it is to hold no more."""

    def __init__(self, read: Callable[[], int] = held) -> None:
        """`read`: gives the bytes that the process holds now."""
        self._read = read
        self._first: int | None = None

    def check(self) -> None:
        """Called as a trial is to begin. Raises Leftover if more is held than at the first call."""
        now = self._read()
        if self._first is None:
            self._first = now
        elif now > self._first + TOLERATED:
            raise Leftover(
                f"its process holds {now / 2**20:,.0f} MiB of GPU memory, "
                f"{self._first / 2**20:,.0f} MiB when it first began a trial"
            )


def told(reason: str) -> str:
    """What a Leftover said, from the last line of its traceback; "" if that is of another error."""
    before, _, said = reason.partition(f"{Leftover.__module__}.{Leftover.__qualname__}: ")
    return "" if before else said
