"""What FDS and VIR do to z in front of the head, what they learn of an epoch, and what they keep."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from dirsweep.checkpoint.state import Tensors
from dirsweep.config import FDS, VIR, FeatureMethod
from dirsweep.loop.phase import AfterEpoch, Shift, Term, Trial
from dirsweep.methods import Batch
from dirsweep.methods.fds import FeatureStatistics, Gathered
from dirsweep.methods.lds import kernel
from dirsweep.methods.vir import PosteriorStatistics, divergence, draw, variance
from dirsweep.models import Rows
from dirsweep.randomness import seed_of


@dataclass(frozen=True)
class Smoothing:
    """A phase's part of it, in the phase's own words; nothing for any other feature method."""

    shift: Shift | None = None
    term: Term | None = None
    after_step: tuple[Callable[[Batch], None], ...] = ()
    after_epoch: AfterEpoch | None = None
    memory: Tensors = field(default_factory=dict)
    own: dict[str, nn.Parameter] = field(default_factory=dict)


def smoothing(trial: Trial, stage: str, config: FeatureMethod) -> Smoothing:
    """Of the phase `stage` of a trial."""
    match config:
        case FDS():
            return _fds(trial, config)
        case VIR():
            return _vir(trial, stage, config)
        case _:
            return Smoothing()


def _fds(trial: Trial, config: FDS) -> Smoothing:
    bins, features = len(trial.dataset.shots.counts), trial.model.encoder.features
    statistics = FeatureStatistics.empty(bins, features, trial.config.device)
    window, during = kernel(config), config.gather == "during"
    gathered = Gathered.empty(bins, features, trial.config.device)

    def shift(z: Tensor, bin: Tensor, place: tuple[int, int]) -> Tensor:
        late_enough = place[0] >= config.start_smooth
        return statistics.move(z, bin, config.clip_low, config.clip_high) if late_enough else z

    def after_step(batch: Batch) -> None:
        gathered.add(batch.z.detach(), batch.bin)

    def after_epoch(features: Callable[[], Tensor], bin: Tensor, epoch: int) -> None:
        if config.reference:
            statistics.freeze(window, with_empty=True)
        if epoch >= config.start_update and during:
            statistics.take_in(gathered, config.momentum)
        elif epoch >= config.start_update:
            statistics.update(features(), bin, config.momentum)
        if not config.reference:
            statistics.freeze(window, with_empty=False)
        gathered.clear()

    memory = {f"fds_{name}": value for name, value in vars(statistics).items()}
    if not during:
        return Smoothing(shift, after_epoch=after_epoch, memory=memory)
    memory |= {f"fds_gathered_{name}": value for name, value in vars(gathered).items()}
    return Smoothing(shift, after_step=(after_step,), after_epoch=after_epoch, memory=memory)


def _vir(trial: Trial, stage: str, config: VIR) -> Smoothing:
    bins, features = len(trial.dataset.shots.counts), trial.model.encoder.features
    device = trial.config.device
    statistics = PosteriorStatistics.empty(bins, features, device)
    weight = nn.Parameter(torch.zeros(features, features, device=device))
    bias = nn.Parameter(torch.zeros(features, device=device))
    window = kernel(config)

    def moved(z: Tensor, bin: Tensor) -> tuple[Tensor, Tensor]:
        return statistics.move(z, variance(z, weight, bias, config.variance), bin)

    def shift(z: Tensor, bin: Tensor, place: tuple[int, int]) -> Tensor:
        seed = seed_of(trial.config.seed, stage, *place, "vir")
        return draw(*moved(z, bin), torch.Generator(device).manual_seed(seed))

    def term(batch: Batch, inputs: Rows) -> Tensor:
        return config.kl * divergence(*moved(batch.z, batch.bin))

    def after_epoch(features: Callable[[], Tensor], bin: Tensor, epoch: int) -> None:
        z = features()
        with torch.no_grad():
            wide = variance(z, weight, bias, config.variance)
        statistics.update(z, wide, bin, config.momentum, window)

    return Smoothing(
        shift,
        term if config.kl > 0 else None,
        after_epoch=after_epoch,
        memory={f"vir_{name}": value for name, value in vars(statistics).items()},
        own={"variance.weight": weight, "variance.bias": bias},
    )
