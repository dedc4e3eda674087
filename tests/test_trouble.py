"""What PyTorch says where there is no memory, told in words of a trial; its compiler is in test_compiled."""

import numpy as np
import pytest
import torch

from dirsweep import trouble
from dirsweep.config import TrialConfig

MORE = "\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace [...]"
"""What PyTorch says behind an error of CUDA's."""


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total [...]"),
        torch.OutOfMemoryError("Allocation [...] would exceed allowed memory. (out of memory)"),
        torch.AcceleratorError(f"CUDA error: out of memory{MORE}", 2),
        RuntimeError(f"CUDA error: out of memory{MORE}"),
        RuntimeError("CUDA driver error: out of memory"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError(
            "NCCL error in: [...], unhandled cuda error [...]\nLast error:\nCuda failure 2 'out of memory'"
        ),
    ],
    ids=lambda error: str(error)[:40],
)
def test_a_full_gpu_is_told_in_the_words_of_a_trial_whoever_finds_it_full(error):
    config = TrialConfig.model_validate({"device": "cuda"})
    told = r"the GPU's memory ran out.*, with stage1.batch_size 256 and .*\(--gpus-per-trial\)$"
    with pytest.raises(trouble.OutOfMemory, match=told), trouble.naming_trouble(config, 1.0):
        raise error


def test_a_full_machine_is_told_in_the_words_of_a_trial():
    told = (
        r"^the machine's memory ran out \(can't allocate memory: you tried to allocate 40{15} bytes.*\), "
        r"with stage1.batch_size 256; lower the batch size, or train fewer trials at once$"
    )
    with pytest.raises(MemoryError, match=told), trouble.naming_trouble(TrialConfig(), 1.0):
        torch.empty(10**15)
    with pytest.raises(MemoryError, match="memory ran out"), trouble.naming_trouble(TrialConfig(), 1.0):
        np.empty(10**15)


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: invalid argument"), ValueError("out of memory")])
def test_an_error_that_is_not_of_memory_is_left_as_it_is(error):
    with pytest.raises(type(error), match=str(error)) as found, trouble.naming_trouble(TrialConfig(), 1.0):
        raise error
    assert found.value is error
