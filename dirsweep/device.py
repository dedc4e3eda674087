"""How a trial computes on its device, and how much of a GPU's memory it may take.

On a GPU every choice that changes numbers is made here or in the config: which products may be rounded to
TF32 (`precision`), and algorithms that give the same numbers twice, so that a trial resumes there as on a
CPU. Convolutions are not timed to choose their algorithm, for another start might then choose another.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from dirsweep.config import TrialConfig

ROOM = 0.4
"""Share of the GPU memory that a trial may take which its inputs may fill; more is brought batch by batch."""
CAP = 0.9
"""Of its share of a GPU, what a trial's tensors may take where others share it; CUDA itself needs some."""


class OutOfMemory(RuntimeError):
    """A trial asked for more memory than its share of the GPU has left; it would again."""


def check(config: TrialConfig, processes: int) -> None:
    """Refuse a trial on GPUs where there are fewer than its processes here, for each has one. ValueError."""
    import torch

    if config.device != "cuda":
        return
    found = torch.cuda.device_count()
    if not found:
        raise ValueError("device is cuda, but PyTorch finds no GPU here; set device to cpu")
    if found < processes:
        raise ValueError(
            f"device is cuda and processes is {processes}, but PyTorch finds {found} GPUs here, and each "
            f"process has one; set processes to {found} or less, or device to cpu"
        )


def set_up(config: TrialConfig, share: float) -> None:
    """Let this process compute as the trial wants it; `share` is its part of a GPU, up to 1."""
    import torch

    torch.set_num_threads(config.threads)
    if config.device != "cuda":
        return
    products = "tf32" if config.precision == "tf32" else "ieee"
    torch.backends.cuda.matmul.fp32_precision = products
    # public settings, of which PyTorch's own annotations of these modules do not know (so the ignores)
    torch.backends.cudnn.conv.fp32_precision = products  # type: ignore[attr-defined]
    torch.backends.cudnn.rnn.fp32_precision = products  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    os.environ.setdefault(
        "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
    )  # else its products may differ from run to run
    torch.use_deterministic_algorithms(True, warn_only=True)  # an encoder of the user's own may know no other
    # a property of the module, which costs a fill of each new tensor; mypy sees a plain module
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.cuda.empty_cache()  # of an earlier trial of this process
    torch.cuda.reset_peak_memory_stats()
    torch.cuda.set_per_process_memory_fraction(CAP * share if share < 1 else 1.0)


def room(share: float) -> int:
    """Bytes that a trial's inputs may take on a GPU of which it has a share."""
    import torch

    return int(ROOM * share * torch.cuda.get_device_properties().total_memory)


@contextmanager
def naming_memory(config: TrialConfig, share: float) -> Iterator[None]:
    """Raise OutOfMemory, which says what the trial held, where PyTorch finds no more memory on the GPU."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(_told(config, share)) from error


def _told(config: TrialConfig, share: float) -> str:
    import torch

    most, (free, total) = torch.cuda.max_memory_allocated() / 2**30, torch.cuda.mem_get_info()
    gpu = f"{torch.cuda.get_device_name()}, {total / 2**30:.1f} GiB"
    allowed = f"; {CAP * share * total / 2**30:.1f} GiB were its own" if share < 1 else ""
    return (
        f"the GPU's memory ran out: this trial's tensors took up to {most:.1f} GiB of it ({gpu}{allowed}; "
        f"{free / 2**30:.1f} GiB are free), with stage1.batch_size {config.stage1.batch_size} and precision "
        f"{config.precision}; lower the batch size, or give each trial more of a GPU (--gpus-per-trial)"
    )
