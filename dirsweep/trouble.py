"""What PyTorch could not do for a trial, in the words of a trial: no memory, or no code from its compiler."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dirsweep import device

if TYPE_CHECKING:  # the command knows OutOfMemory, and its --help loads no knobs
    from dirsweep.config import TrialConfig

GPU_IS_FULL = re.compile(r"CUDA.*\bout of memory|CU\w+_(ALLOC|DEVICE_ALLOCATION)_FAILED", re.IGNORECASE)
"""How CUDA and its libraries say so; only PyTorch's own allocator has an error for it."""
CPU_IS_FULL = "DefaultCPUAllocator: "
"""With what PyTorch begins to say so."""


class OutOfMemory(RuntimeError):
    """A trial asked for more memory than its share of the GPU has left; it would again."""


class NotCompiled(ValueError):
    """PyTorch's compiler cannot do with a trial's layers, or not here."""


@contextmanager
def naming_trouble(config: "TrialConfig", share: float) -> Iterator[None]:
    """Say in the words of a trial what PyTorch cannot do inside the block.

    Raises OutOfMemory, which says what the trial held, where the GPU has no more memory, MemoryError where
    the machine has none, which may pass, and NotCompiled, with the compiler's reason.
    """
    try:
        yield
    except Exception as error:  # none is swallowed: what is not known here goes on as it is
        if isinstance(error, RuntimeError) and (reason := _full_gpu(config, share, error)):
            raise OutOfMemory(reason) from error
        if reason := _full_machine(config, error):
            raise MemoryError(reason) from error
        if config.compiled and (reason := _not_compiled(error)):
            raise NotCompiled(f"compiled is true, but {reason}, or set compiled to false") from error
        raise


def _not_compiled(error: Exception) -> str:
    """What PyTorch's compiler could not do, and what to do about it; "" if the error is not its own."""
    from torch._dynamo import exc

    if isinstance(error, exc.FailOnRecompileLimitHit):
        return (
            "PyTorch's compiler has to compile the encoder over and over, as for batches of many shapes or a "
            "layer that goes by numbers outside of tensors; mend such a layer"
        )
    if isinstance(error, exc.TorchDynamoException):
        said = next((line for line in str(error).splitlines() if line.strip()), "")
        return (
            f"PyTorch's compiler cannot compile the encoder here ({said:.200}); see that a C++ compiler and "
            "Python's headers are installed"
        )
    return ""


def _full_gpu(config: "TrialConfig", share: float, error: RuntimeError) -> str:
    """What the trial held of a GPU that is full, and what to do about it; "" if none is."""
    import torch

    if not isinstance(error, torch.OutOfMemoryError) and not GPU_IS_FULL.search(str(error)):
        return ""
    return (
        f"the GPU's memory ran out{_held(share)}, with stage1.batch_size {config.stage1.batch_size} and "
        f"precision {config.precision}; lower the batch size, or give each trial more of a GPU "
        "(--gpus-per-trial)"
    )


def _full_machine(config: "TrialConfig", error: Exception) -> str:
    """What there was no memory for, and what to do about it; "" if there was."""
    said = str(error)
    if CPU_IS_FULL not in said and not isinstance(error, MemoryError):
        return ""
    wanted = said.partition(CPU_IS_FULL)[2] or said
    return (
        f"the machine's memory ran out ({wanted:.200}), with stage1.batch_size {config.stage1.batch_size}; "
        "lower the batch size, or train fewer trials at once"
    )


def _held(share: float) -> str:
    """What this process took of its GPU; "" of one so full that it cannot even be asked."""
    import torch

    if not torch.cuda.is_initialized():
        return ""
    try:
        most, (free, total) = torch.cuda.max_memory_allocated() / 2**30, torch.cuda.mem_get_info()
    except RuntimeError:
        return ""
    gpu = f"{torch.cuda.get_device_name()}, {total / 2**30:.1f} GiB"
    allowed = f"; {device.CAP * share * total / 2**30:.1f} GiB were its own" if share < 1 else ""
    return (
        f": this trial's tensors took up to {most:.1f} GiB of it ({gpu}{allowed}; {free / 2**30:.1f} GiB are "
        "free)"
    )
