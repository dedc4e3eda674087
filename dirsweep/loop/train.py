"""Train one phase, epoch by epoch.

Each step gathers z into one `Batch` before head or method sees it, so what is written for one process also
serves where several take parts of the batch through the encoder (`group`). Nothing here waits
for the device inside a step (some methods do, and say so): losses are summed there and read once an epoch.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dirsweep import models
from dirsweep.checkpoint.state import Notes, Tensors
from dirsweep.config import NIG, Adam, BalancedMSE, Loss
from dirsweep.device import compiled
from dirsweep.loop.climb import climbed
from dirsweep.loop.feed import feed, in_order
from dirsweep.loop.frozen import set_layers, through
from dirsweep.loop.labels import labels_of
from dirsweep.loop.parts import encoded, passed
from dirsweep.loop.phase import Best, Phase, Trial, Work
from dirsweep.loop.predict import evaluate, precision
from dirsweep.loop.schedule import batches, order, rate, steps
from dirsweep.loop.state import restore, state
from dirsweep.methods import Batch, base_loss, sample_weights
from dirsweep.models import Model, Rows
from dirsweep.randomness import seed_of

LEAST_SIGMA = 1e-3
"""Below, a learned deviation would divide by nothing."""


@dataclass(frozen=True)
class Trained:
    """How a phase ended: the trial's epoch that it hands on, and its state after the last one."""

    epoch: int
    tensors: Tensors
    notes: Notes


def train(trial: Trial, phase: Phase) -> Trained:
    """Train one phase (of at least one epoch) and leave its selected weights in the model.

    Goes on from the journal's checkpoint if that lies in this phase. Raises FloatingPointError when
    the loss or a prediction is no longer finite, Stopped and Superseded from the journal.
    """
    work = _prepare(trial, phase)
    begun, step = restore(trial, phase, work)
    trial.journal.start_clock()
    for epoch in range(begun, phase.epochs):
        _epoch(trial, phase, work, epoch, step if epoch == begun else 0)
        trial.group.share_buffers(trial.model)
        if phase.after_epoch is not None:
            with trial.part("methods"):
                phase.after_epoch(lambda: _features(trial, work), work.bin, epoch)
        shots = evaluate(trial, trial.dataset.val)
        _require_finite(phase, epoch, work.sums, shots)
        _keep_best(trial, phase, epoch, shots, work.best)
        done = phase.first + epoch + 1
        with trial.part("report"):
            trial.journal.record(done, _record(trial, phase, work.sums, shots))
        work.sums.zero_()
        with trial.part("checkpoint"):
            trial.journal.keep(done, 0, lambda: state(trial, phase, work))
    tensors, notes = state(trial, phase, work)
    if phase.select == "last":
        return Trained(phase.first + phase.epochs, tensors, notes)
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    trial.model.load_state_dict(work.best.weights)
    return Trained(work.best.epoch, tensors, notes)


def stepping(trial: Trial, phase: Phase) -> Callable[[], int]:
    """What takes the steps of an epoch, one epoch a call, and gives their number: to time them alone.

    It waits for the device, so that they are done when it returns.
    """
    work, epochs = _prepare(trial, phase), itertools.count()

    def epoch() -> int:
        _epoch(trial, phase, work, next(epochs), 0)
        if trial.config.device == "cuda":
            torch.cuda.synchronize()
        return steps(len(work.target), phase.batch_size)

    return epoch


def _prepare(trial: Trial, phase: Phase) -> Work:
    split, device = trial.dataset.train, trial.config.device
    frozen, trained = set_layers(trial.model, phase)
    with trial.part("forward"):
        inputs, frozen = through(trial, frozen, trial.rows[split])
    own = phase.own | _own(phase.loss, trial.model.encoder.features, device)
    return Work(
        inputs=inputs,
        target=torch.as_tensor(trial.unit.to_model(split.label), dtype=torch.float32, device=device),
        weight=torch.as_tensor(
            sample_weights(phase.weighting, split.label, split.bin, trial.dataset.shots.counts),
            dtype=torch.float32,
            device=device,
        ),
        bin=torch.as_tensor(split.bin, device=device),
        labels=labels_of(trial, phase),
        frozen=frozen,
        trained=compiled(trial.config, trained),
        optimizer=_optimizer(phase, trial.model, own),
        own=own,
        sums=torch.zeros(2, dtype=torch.float64, device=device),
        best=Best(),
    )


def _epoch(trial: Trial, phase: Phase, work: Work, epoch: int, first_step: int) -> None:
    """The steps of one epoch from `first_step` on; adds the losses to `work.sums`."""
    set_layers(trial.model, phase)  # evaluation has left training mode
    with trial.part("data"):
        rows = order(trial, phase, epoch)
    if trial.config.device == "cuda":
        rows = rows.pin_memory()  # so that even an epoch's start does not wait
    parts = batches(rows.to(trial.config.device, non_blocking=True), phase.batch_size)
    resident = models.place(work.inputs).type == trial.config.device
    wanted = parts if resident else batches(rows, phase.batch_size)
    own = (part[trial.group.part(len(part))] for part in wanted[first_step:])
    repeated = (part.repeat(phase.views) for part in own)
    inputs = feed(work.inputs, repeated, trial.config.device)
    with closing(inputs):
        for step, given in enumerate(trial.arriving(inputs), first_step):
            if trial.profile is not None:
                trial.profile.step(phase.stage, epoch, len(parts) - step)
            place, total = epoch * len(parts) + step, phase.epochs * len(parts)
            lr = rate(phase.optimizer.lr, phase.decay, phase.warmup, place, total)
            _step(trial, phase, work, parts[step], given, lr, (epoch, step))
            if step + 1 < len(parts):
                with trial.part("checkpoint"):
                    trial.journal.keep(phase.first + epoch, step + 1, lambda: state(trial, phase, work))


def _step(
    trial: Trial, phase: Phase, work: Work, chosen: Tensor, inputs: Rows, lr: float, place: tuple[int, int]
) -> None:
    """One optimizer step on the (B,) chosen rows; `inputs` are of this process's part of them, of which there
    may be several views."""
    for group in work.optimizer.param_groups:
        group["lr"] = group.get("own_lr", lr)
    batch, base, term = _gradients(trial, phase, work, chosen, inputs, place)
    if phase.optimizer.rho > 0:
        with climbed(trial.model, phase.optimizer.rho):
            _gradients(trial, phase, work, chosen, inputs, place)
    with trial.part("optimizer"):
        work.optimizer.step()
        if "sigma" in work.own:
            work.own["sigma"].data.clamp_(min=LEAST_SIGMA)
    with trial.part("methods"):
        for update in phase.after_step:
            update(batch)
    work.sums.add_(torch.stack([base, term]), alpha=len(chosen))


def _gradients(
    trial: Trial, phase: Phase, work: Work, chosen: Tensor, inputs: Rows, place: tuple[int, int]
) -> tuple[Batch, Tensor, Tensor]:
    """Forward and backward; returns the batch, the base loss and the term. Draws the same, called again."""
    group, count, chosen = trial.group, len(chosen), chosen.repeat(phase.views)
    key = (phase.stage, *place, "layers")
    apart = (*key, group.rank) if group.cuts(count) else key
    with trial.part("forward"), _seeded(trial, seed_of(trial.config.seed, *apart)):
        with precision(trial):
            inputs = passed(work.frozen, inputs, phase.part)
            z = group.gathered(encoded(work.trained, inputs, phase.part), count, phase.views)
            if apart != key:  # what is drawn behind the encoder is the same everywhere
                torch.manual_seed(seed_of(trial.config.seed, *key))
            given = z
            if phase.shift is not None:
                with trial.part("methods"):
                    given = phase.shift(z.float(), work.bin[chosen], place)
            prediction = trial.model.read(given)
        batch = Batch(
            z=z.float(),
            prediction=prediction,
            target=work.target[chosen],
            weight=work.weight[chosen],
            bin=work.bin[chosen],
            given=given.float(),
        )
        with trial.part("methods"):
            base = base_loss(phase.loss, batch, work.labels, work.own)
            term = torch.zeros_like(base) if phase.term is None else phase.term(batch, inputs)
    with trial.part("backward"):
        work.optimizer.zero_grad(set_to_none=True)
        (base + term).backward()
        group.average(weight for part in work.optimizer.param_groups for weight in part["params"])
    return batch, base.detach(), term.detach()


def _features(trial: Trial, work: Work) -> Tensor:
    """(N, d) z of the training split, in evaluation mode."""
    trial.model.eval()
    count = len(work.bin)
    own = models.take(work.inputs, trial.group.part(count))
    with torch.no_grad(), precision(trial):
        parts = in_order(own, trial.model.encoder.evaluation_batch, trial.config.device)
        found = torch.cat([work.trained(work.frozen(part)).float() for part in parts])
        return trial.group.gathered(found, count)


def _own(loss: Loss, features: int, device: str) -> dict[str, nn.Parameter]:
    """What a loss learns beside the model, as it starts: `methods.base_loss` says what it is."""
    match loss:
        case BalancedMSE(sigma=sigma, sigma_lr=lr) if lr > 0:
            return {"sigma": nn.Parameter(torch.tensor(sigma, device=device))}
        case NIG():
            return {
                "evidence.weight": nn.Parameter(torch.zeros(2, features, device=device)),
                "evidence.bias": nn.Parameter(torch.zeros(2, device=device)),
            }
        case _:
            return {}


def _optimizer(phase: Phase, model: Model, own: dict[str, nn.Parameter]) -> torch.optim.Optimizer:
    """Of all weights that are trained; a learned deviation keeps a rate of its own, and does not decay."""
    config = phase.optimizer
    further = [parameter for name, parameter in own.items() if name != "sigma"]
    groups: list[dict[str, object]] = [
        {"params": [*(p for p in model.parameters() if p.requires_grad), *further]}
    ]
    if isinstance(phase.loss, BalancedMSE) and "sigma" in own:
        groups.append({"params": [own["sigma"]], "own_lr": phase.loss.sigma_lr, "weight_decay": 0.0})
    on_gpu = next(model.parameters()).is_cuda
    if isinstance(config, Adam):
        one = on_gpu or all(_is_plain(weight) for weight in model.parameters())
        return torch.optim.Adam(groups, lr=config.lr, weight_decay=config.weight_decay, fused=one or None)
    return torch.optim.SGD(
        groups, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay, fused=on_gpu or None
    )


def _is_plain(weight: nn.Parameter) -> bool:
    """Whether PyTorch's kernel for a CPU is right for it: of a part of a tensor it would change the rest."""
    dense = weight.is_contiguous() or weight.is_contiguous(memory_format=torch.channels_last)
    return dense and weight.is_floating_point()


@contextmanager
def _seeded(trial: Trial, seed: int) -> Iterator[None]:
    """Run with the global generator seeded, for layers that know no other (dropout); restored after."""
    devices = [torch.cuda.current_device()] if trial.config.device == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def _require_finite(phase: Phase, epoch: int, sums: Tensor, shots: dict[str, float]) -> None:
    if not (torch.isfinite(sums).all() and math.isfinite(shots["all/mae"])):
        raise FloatingPointError(
            f"{phase.stage}, epoch {epoch + 1}: the loss is no longer finite; a lower learning rate may help"
        )


def _record(trial: Trial, phase: Phase, sums: Tensor, shots: dict[str, float]) -> Notes:
    base, term = (sums / len(trial.dataset.train.label)).tolist()
    return {
        "of": trial.epochs,
        "stage": phase.stage,
        "metrics": {f"val/{name}": value for name, value in shots.items()},
        "loss": {"base": base, "term": term},
    }


def _keep_best(trial: Trial, phase: Phase, epoch: int, shots: dict[str, float], best: Best) -> None:
    if phase.select == "last":
        return
    value = shots[phase.select.removeprefix("val/")]
    if not best.weights or value < best.value:
        best.value, best.epoch = value, phase.first + epoch + 1
        best.weights = {name: tensor.clone() for name, tensor in trial.model.state_dict().items()}
