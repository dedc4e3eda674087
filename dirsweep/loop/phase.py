"""What a phase of training is made of: the trial it belongs to, its settings, what its steps change."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from dirsweep.checkpoint import Journal
from dirsweep.checkpoint.state import Tensors
from dirsweep.config import Loss, LRDecay, Optimizer, TrialConfig, Weighting
from dirsweep.data import Dataset, Split
from dirsweep.data.target import TargetUnit
from dirsweep.group import ALONE, Group
from dirsweep.methods import Batch, Labels
from dirsweep.models import Model, Rows
from dirsweep.profile import Profile

Term = Callable[[Batch, Rows], Tensor]
Shift = Callable[[Tensor, Tensor, tuple[int, int]], Tensor]
"""(z (B, d), bin (B,), (epoch, step) of the phase) to (B, d)."""
AfterEpoch = Callable[[Callable[[], Tensor], Tensor, int], None]
"""(what takes z (N, d) of the training split in evaluation mode, in a pass over it; bin (N,); epoch)."""
UNWATCHED = nullcontext()


@dataclass(frozen=True)
class Trial:
    """What all phases of one trial share."""

    config: TrialConfig
    dataset: Dataset
    unit: TargetUnit
    model: Model
    journal: Journal
    epochs: int
    """Epochs of all phases together."""
    rows: Mapping[Split, Rows]
    """What the encoder takes of each split that is trained on or predicted."""
    samples: int | None = None
    """Training samples that it stands for, where it has only some of them, to be timed."""
    group: Group = ALONE
    """The processes that train it."""
    profile: Profile | None = None

    def part(self, name: str) -> AbstractContextManager[None]:
        """Count what is done inside as a part of the trial (`profile.PARTS`), where it is profiled."""
        return UNWATCHED if self.profile is None else self.profile.part(name)

    def arriving(self, inputs: Iterator[Rows]) -> Iterator[Rows]:
        """The inputs of each step; to wait for them is the part `data`."""
        while True:
            with self.part("data"):
                found = next(inputs, None)
            if found is None:
                return
            yield found


@dataclass(frozen=True)
class Phase:
    """What `train` must know of one phase of stage 1, or of stage 2."""

    stage: str
    """"stage1", "stage1.then.0" ... or "stage2"."""
    first: int
    """Epochs of the trial before this phase."""
    epochs: int
    batch_size: int
    optimizer: Optimizer
    decay: LRDecay
    warmup: float
    loss: Loss
    weighting: Weighting
    part: int | None = None
    """Samples that go through the encoder at once; None: a whole batch."""
    layers: str = "all"
    views: int = 1
    """How often each sample stands in a batch: twice where a method compares two views of it."""
    frozen_batch_norm: bool = False
    balanced: bool = False
    """Draw every bin equally often, with replacement, instead of each sample once."""
    select: str = "last"
    term: Term | None = None
    """What the phase adds to the base loss: (global batch, this process's inputs of the trained part) to a
    scalar."""
    after_step: tuple[Callable[[Batch], None], ...] = ()
    shift: Shift | None = None
    """What training does to z in front of the head."""
    after_epoch: AfterEpoch | None = None
    memory: Tensors = field(default_factory=dict)
    """Tensors of the method that live on between steps; saved with the checkpoint."""
    own: dict[str, nn.Parameter] = field(default_factory=dict)
    """What the feature method learns beside the model, by name."""


@dataclass
class Best:
    """The epoch to hand on, so far."""

    value: float = math.inf
    epoch: int = 0
    weights: Tensors = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """What the steps of a phase work on: tensors of the training split, and what they change."""

    inputs: Rows
    target: Tensor
    weight: Tensor
    bin: Tensor
    labels: Labels
    frozen: nn.Module
    """Layers that a step runs on its inputs first; the identity where that was done for all of them."""
    trained: nn.Module
    optimizer: torch.optim.Optimizer
    own: dict[str, nn.Parameter]
    """What loss and feature method learn, by name; saved with the checkpoint, gone after the phase."""
    sums: Tensor
    """(2,) base loss and term of this epoch, summed over samples."""
    best: Best
