"""The processes that train one trial together; alone, there is one.

All of them walk through the same batches. Of each batch a process takes its part through the encoder; then
the features are gathered, and whatever stands behind the encoder (head, losses, regularisers, what these
keep) is computed by every process over the global batch, alike. So no method has to know of a group, and the
mean of the processes' gradients is the gradient of one (see `gathered`).

Whoever starts the processes has them joined, by torch.distributed; here nothing is started.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

BACKENDS = "cpu:gloo,cuda:nccl"
"""What carries tensors between processes; what is on the CPU goes by gloo also where they train on GPUs."""
LEAST = 2
"""Samples of a process's part of a batch: batch norm needs as many. A smaller batch is not cut."""
PATIENCE = 7 * 24 * 3600
"""Seconds that a process waits for the others: the first may wait for a stage 1 that another trial trains."""

Said = TypeVar("Said")


class Told(ValueError):
    """What the first process found wrong, on the others: it is the one to say so."""


@dataclass(frozen=True)
class Group:
    """This process's place among those that train a trial."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process alone writes, and says when to stop."""
        return self.rank == 0

    def cuts(self, count: int) -> bool:
        """Whether a batch of so many samples is cut; else every process takes all of it."""
        return self.size > 1 and count >= LEAST * self.size

    def part(self, count: int) -> slice:
        """Which of `count` samples are this process's: parts differ by one sample at most."""
        if not self.cuts(count):
            return slice(0, count)
        return _parts(count, self.size)[self.rank]

    def gathered(self, part: Tensor, count: int, views: int = 1) -> Tensor:
        """(views * b, ...) of this process's part to (views * count, ...) of all samples, on every process.

        Backward, a process keeps the gradient of its own part, `size` times: every process has the same loss
        of all samples, so that the mean over processes (`average`) is the gradient of that loss, for the
        encoder's weights as for those behind the gathering.

        Args:
            views: how often each sample is there; the second views stand behind all first ones.
        """
        if not self.cuts(count):
            return part
        apart = part.unflatten(0, (views, -1)).transpose(0, 1)  # (b, views, ...)
        whole: Tensor = _Gathered.apply(apart, count, self)
        return whole.transpose(0, 1).flatten(0, 1)

    def total(self, part: Tensor) -> Tensor:
        """The sum of a tensor over the processes, with its gradient."""
        if self.size == 1:
            return part
        whole: Tensor = _Total.apply(part)
        return whole

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes, which have some for the same parameters."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.size
        for gradient, mean in zip(gradients, flat.split([one.numel() for one in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def share_buffers(self, model: nn.Module) -> None:
        """Give every process what the first one keeps beside the weights: batch norm's running statistics."""
        if self.size > 1:
            for buffer in model.buffers():
                distributed.broadcast(buffer, 0)

    def agreed(self, wanted: bool) -> bool:
        """Whether the first process wants something; cheap enough for each step, and no GPU is waited for."""
        if self.size == 1:
            return wanted
        flag = torch.tensor([wanted], dtype=torch.uint8)
        distributed.broadcast(flag, 0)
        return bool(flag)

    def told(self, said: Said) -> Said:
        """Whatever the first process says, on every process."""
        if self.size == 1:
            return said
        box: list[Any] = [said]
        distributed.broadcast_object_list(box, 0, device=torch.device("cpu"))
        found: Said = box[0]
        return found

    def first(self, find: Callable[[], Said]) -> Said:
        """What the first process finds, on all of them; where it raises ValueError the others raise Told."""
        if self.size == 1:
            return find()
        found, wrong = None, None
        if self.leads:
            try:
                found = find()
            except ValueError as error:
                wrong = error
        box: Any = self.told((found, None if wrong is None else str(wrong)))
        if wrong is not None:
            raise wrong
        if box[1] is not None:
            raise Told(box[1])
        said: Said = box[0]
        return said


ALONE = Group()


def joined() -> Group:
    """The group that this process was joined to."""
    return Group(distributed.get_rank(), distributed.get_world_size())


@contextmanager
def by_torchrun() -> Iterator[Group]:
    """The processes that torchrun started, of which this is one; joined inside the block."""
    gpus = torch.cuda.device_count() >= int(os.environ["LOCAL_WORLD_SIZE"])
    if gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group(BACKENDS if gpus else "gloo", timeout=timedelta(seconds=PATIENCE))
    try:
        yield joined()
    finally:
        distributed.destroy_process_group()


def _parts(count: int, size: int) -> list[slice]:
    """As `torch.tensor_split` cuts."""
    ends = [rank * (count // size) + min(rank, count % size) for rank in range(size + 1)]
    return [slice(*pair) for pair in pairwise(ends)]


class _Gathered(torch.autograd.Function):
    """The parts of all processes in a row; backward, this one's part of the gradient, `size` times."""

    @staticmethod
    def forward(context: Any, part: Tensor, count: int, group: Group) -> Tensor:
        context.place, context.size = group.part(count), group.size
        parts = _parts(count, group.size)
        longest = parts[0].stop  # the others are padded: gloo gathers like shapes alone
        padded = part.new_zeros(longest, *part.shape[1:])
        padded[: len(part)] = part
        found = [torch.empty_like(padded) for _ in parts]
        distributed.all_gather(found, padded)
        return torch.cat([one[: place.stop - place.start] for one, place in zip(found, parts, strict=True)])

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient[context.place] * context.size, None, None


class _Total(torch.autograd.Function):
    """The sum over processes; backward, the gradients of all of them, for each has a loss of its own."""

    @staticmethod
    def forward(context: Any, part: Tensor) -> Tensor:
        whole = part.clone()
        distributed.all_reduce(whole)
        return whole

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        whole = gradient.clone()
        distributed.all_reduce(whole)
        return whole
