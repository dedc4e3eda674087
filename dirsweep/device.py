"""How a trial computes on its device, and how much of a GPU's memory it may take.

On a GPU every choice that changes numbers is made here or in the config: which products may be rounded to
TF32 (`precision`), and algorithms that give the same numbers twice, so that a trial resumes there as on a
CPU. Convolutions are not timed to choose their algorithm, for another start might then choose another.
"""

import ctypes
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:  # the command knows OutOfMemory, and its --help loads no knobs
    from torch import nn

    from dirsweep.config import TrialConfig

ROOM = 0.4
"""Share of the GPU memory that a trial may take which its inputs may fill; more is brought batch by batch."""
CAP = 0.9
"""Of its share of a GPU, what a trial's tensors may take where others share it; CUDA itself needs some."""

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Settings of glibc (malloc.h): bytes that may lie free before they go back; large blocks with a map each."""


def check(config: "TrialConfig", processes: int) -> None:
    """Refuse, before anything is trained, a device or a compiler that is not here. ValueError.

    Each process has a GPU of its own.
    """
    import torch

    if config.device == "cuda":
        found = torch.cuda.device_count()
        if not found:
            raise ValueError("device is cuda, but PyTorch finds no GPU here; set device to cpu")
        if found < processes:
            raise ValueError(
                f"device is cuda and processes is {processes}, but PyTorch finds {found} GPUs here, and each "
                f"process has one; set processes to {found} or less, or device to cpu"
            )
    compiler = os.environ.get("CXX", "g++")  # as PyTorch looks for it
    if config.compiled and config.device == "cpu" and shutil.which(compiler) is None:
        raise ValueError(
            f"compiled is true, but there is no C++ compiler {compiler!r} here; install one, name it in the "
            "environment variable CXX, or set compiled to false"
        )


def set_up(config: "TrialConfig", share: float) -> None:
    """Let this process compute as the trial wants it; `share` is its part of a GPU, up to 1."""
    import torch

    torch.set_num_threads(config.threads)
    if config.device != "cuda":
        _keep_memory()
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


def _keep_memory() -> None:
    """Let glibc keep the memory of large tensors for later ones, until another trial begins in this process.

    Else it goes back to the kernel, which clears its pages anew for the next tensor: a fifth of a step of
    images. Other C libraries have no such setting.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, -1)
        library.malloc_trim(0)  # what an earlier trial has left


def compiled(config: "TrialConfig", layers: "nn.Module") -> "nn.Module":
    """The layers as training runs them: compiled, where the trial wants that; they keep the weights.

    Each shape is compiled for itself, whichever comes first, so that a resumed trial runs the same code as
    one that was not stopped. Draws are those of the layers uncompiled.
    """
    import torch

    if not config.compiled or not any(True for _ in layers.parameters()):
        return layers
    _own_caches()
    torch.compiler.reset()  # what other phases and trials of this process have compiled: it keeps but a few
    torch._dynamo.config.fail_on_recompile_limit_hit = True  # instead of going on uncompiled
    if config.device == "cpu":
        torch._inductor.config.compile_threads = 1  # a trial has a core or two, and leaves no process behind
    # of a module PyTorch makes a module, of which its types know only that it can be called
    return cast("nn.Module", torch.compile(layers, dynamic=False, options={"fallback_random": True}))


def _own_caches() -> None:
    """See that nobody else writes where PyTorch keeps compiled code, which it runs. ValueError."""
    from torch._inductor.runtime.cache_dir_utils import cache_dir, default_cache_dir  # it has no public name

    for folder in (Path(cache_dir()), Path(default_cache_dir())):  # headers lie in the second in any case
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = folder.stat()
        if kept.st_uid != os.getuid() or kept.st_mode & 0o022:
            raise ValueError(
                f"{folder}: compiled code is kept there and run (compiled is true), but others may write to "
                "it; name folders of your own in the environment variables TORCHINDUCTOR_CACHE_DIR and TMPDIR"
            )


def room(share: float) -> int:
    """Bytes that a trial's inputs may take on a GPU of which it has a share."""
    import torch

    return int(ROOM * share * torch.cuda.get_device_properties().total_memory)
