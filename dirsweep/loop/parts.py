"""Gradient accumulation: a batch goes through the encoder in parts, and has the gradient of the whole.

Methods see the whole batch (METHOD section 2), so losses of the parts may not simply be added up: no part
holds all bins or pairs. Each part is run without keeping what its backward pass needs, and once more when the
gradient of the whole arrives (Chen et al., 2016, "Training Deep Nets with Sublinear Memory Cost"): the memory
is that of one part, the price a further forward pass. Dropout and augmentation draw the same both times.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dirsweep import models
from dirsweep.loop.schedule import batches
from dirsweep.models import Rows


def part_size(batch: int, accumulate: int, processes: int) -> int | None:
    """Samples of a part, where each process takes its own of a batch in `accumulate` parts; None for one."""
    return None if accumulate == 1 else math.ceil(batch / (accumulate * processes))


def encoded(layers: nn.Module, inputs: Rows, size: int | None) -> Tensor:
    """(B, d) features of the inputs, `size` samples at a time; None: all at once.

    Batch norm normalises each part by itself, and moves its running statistics once for each.
    """
    if size is None:
        found: Tensor = layers(inputs)
        return found
    again = [
        checkpoint(layers, part, use_reentrant=False, context_fn=lambda: (nullcontext(), resting(layers)))
        for part in _parts(inputs, size)
    ]
    return torch.cat(again)


def passed(frozen: nn.Module, inputs: Rows, size: int | None) -> Rows:
    """What frozen layers make of the inputs, `size` samples at a time; None: all at once.

    No gradient goes back through them, so each part is run once.
    """
    if size is None or isinstance(frozen, nn.Identity):
        found: Rows = frozen(inputs)
        return found
    return models.join([frozen(part) for part in _parts(inputs, size)])


def _parts(inputs: Rows, size: int) -> list[Rows]:
    rows = torch.arange(models.count(inputs), device=models.place(inputs))
    return [models.take(inputs, part) for part in batches(rows, size)]


@contextmanager
def resting(module: nn.Module) -> Iterator[None]:
    """Run with the running statistics of batch norm staying as they are."""
    norms = [layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
