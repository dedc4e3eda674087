"""Learning rate of a step, and the order of the training rows in an epoch."""

import math

import torch
from torch import Tensor

from dirsweep.config import Constant, Cosine, LRDecay, StepDecay
from dirsweep.loop.phase import Phase, Trial
from dirsweep.randomness import seed_of


def rate(peak: float, decay: LRDecay, warmup: float, step: int, steps: int) -> float:
    """Learning rate of a step (0 .. steps - 1): a linear rise over `warmup` of the steps, then the decay."""
    rising = warmup * steps
    if step + 1 < rising:
        return peak * (step + 1) / rising
    match decay:
        case Constant():
            return peak
        case Cosine():
            return peak * 0.5 * (1 + math.cos(math.pi * max(step - rising, 0) / (steps - rising)))
        case StepDecay(at=at, factor=factor):
            return peak * factor ** sum(step >= fraction * steps for fraction in at)


def order(trial: Trial, phase: Phase, epoch: int) -> Tensor:
    """(N,) training rows in the order of this epoch."""
    split = trial.dataset.train
    generator = torch.Generator().manual_seed(seed_of(trial.config.seed, phase.stage, epoch, "order"))
    if not phase.balanced:
        return torch.randperm(len(split.label), generator=generator)
    chance = torch.as_tensor(1.0 / trial.dataset.shots.counts[split.bin])
    return torch.multinomial(chance, len(split.label), replacement=True, generator=generator)


def batches(rows: Tensor, size: int) -> list[Tensor]:
    """(N,) rows cut into batches of `size`; a lone last row joins the batch before, for one sample has no
    batch statistics."""
    parts = list(rows.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def steps(rows: int, size: int) -> int:
    """How many batches `batches` makes of `rows`."""
    return len(batches(torch.empty(rows), size))
