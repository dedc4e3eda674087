"""Sharpness-aware minimisation: a step's gradient is taken where the loss nearby is highest.

Foret et al. (2021), "Sharpness-Aware Minimization for Efficiently Improving Generalization", ICLR. With
weights by SQINV, which then act in both passes, it is BSAM (ICCV 2025), the form for imbalanced regression.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from dirsweep.loop.parts import resting


@contextmanager
def climbed(model: nn.Module, rho: float) -> Iterator[None]:
    """Run with the weights moved by rho along their gradient (of length 1, over all of them), then put back.

    Batch norm's running statistics stay as the first pass left them. A gradient of 0 moves nothing.
    """
    moved = [weight for weight in model.parameters() if weight.grad is not None]
    kept = [weight.detach().clone() for weight in moved]
    gradients = [weight.grad for weight in moved if weight.grad is not None]
    length = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
    with torch.no_grad():
        for weight, gradient in zip(moved, gradients, strict=True):
            weight.add_(gradient * (rho / length.clamp(min=1e-12)))
    try:
        with resting(model):
            yield
    finally:
        with torch.no_grad():
            for weight, before in zip(moved, kept, strict=True):
                weight.copy_(before)
