"""Stage 2: fit label to norm on the majority bins, then fine-tune toward the extended line.

METHOD section 3. The fit is in closed form, so it has no epochs and no luck; the fine-tune sees the
training split alone.
"""

import logging

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from dirsweep.config import Stage1, Stage2
from dirsweep.loop import Phase, Term, Trial, encoded, part_size, precision, resting
from dirsweep.methods import Batch
from dirsweep.methods.majority_fit import LEAST_R2, MajorityFit, fit_majority, norm_term
from dirsweep.methods.norm_ordinality import feature_norm
from dirsweep.models import Rows

log = logging.getLogger(__name__)

DROPS = (nn.modules.dropout._DropoutNd, StochasticDepth)
"""Layers that leave out by chance."""
DOUBTFUL = (
    "stage 2: the fit of norms on labels has R2 %.2f over the %d majority bins, below %g, so what it pulls "
    "the other bins to is a guess, which may do harm; train stage 1 for longer or with more norm ordinality, "
    "or set stage2.norm_weight to 0"
)


def majority_line(trial: Trial, config: Stage2, norms: NDArray[np.float64]) -> MajorityFit:
    """The fit of stage 1's (K,) norms on the bins above theta. ValueError below two such bins."""
    shots = trial.dataset.shots
    return fit_majority(config.fit, config.majority_threshold, shots.bins.centres, shots.counts, norms)


def warn_of_doubt(trial: Trial, config: Stage2, fit: MajorityFit) -> None:
    """Warn of a fit that says nothing, where a fine-tune is about to follow it."""
    follows = config.norm_weight > 0 and config.schedule.epochs > 0 and trial.journal.stage != "stage2"
    if trial.group.leads and follows and fit.is_doubtful:
        log.warning(DOUBTFUL, fit.r2, fit.bins, LEAST_R2)


def phase(trial: Trial, config: Stage2, before: Stage1, fit: MajorityFit, first: int) -> Phase:
    """What `loop.train` needs for the fine-tune that begins after `first` epochs of the trial.

    before: the settings that stage 1 ended with; its loss, weighting, batch size and kind of
        optimizer stay in force, its regulariser does not.
    """
    schedule = config.schedule
    part = part_size(before.batch_size, before.accumulate, trial.group.size)
    return Phase(
        stage="stage2",
        first=first,
        epochs=schedule.epochs,
        batch_size=before.batch_size,
        part=part,
        optimizer=before.optimizer.model_copy(update={"lr": schedule.lr}),
        decay=schedule.decay,
        warmup=schedule.warmup,
        loss=before.loss,
        weighting=before.weighting,
        layers=config.layers,
        frozen_batch_norm=config.freeze_batch_norm is not False,
        balanced=config.sampling == "balanced",
        select=config.select,
        term=None if config.norm_weight == 0 else _term(trial, config, fit, part),
    )


def _term(trial: Trial, config: Stage2, fit: MajorityFit, part: int | None) -> Term:
    """mu * R, on norms without dropout."""
    targets = torch.as_tensor(fit.targets, dtype=torch.float32, device=trial.config.device)
    _, trained = trial.model.parts(config.layers)
    drops = any(isinstance(layer, DROPS) for layer in trained.modules())
    still = _WithoutDropout(trained)

    def term(batch: Batch, inputs: Rows) -> Tensor:
        z = batch.z
        if drops:
            with precision(trial):
                z = trial.group.gathered(encoded(still, inputs, part), len(batch.bin)).float()
        return config.norm_weight * norm_term(
            feature_norm(z), batch.bin, targets, fit.scale, config.reduction
        )

    return term


class _WithoutDropout(nn.Module):
    """Layers, run with dropout off; batch norm stays as it is set, its running statistics as they are."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, inputs: Rows) -> Tensor:
        drops = [layer for layer in self.layers.modules() if isinstance(layer, DROPS)]
        for drop in drops:
            drop.eval()
        try:
            with resting(self.layers):
                found: Tensor = self.layers(inputs)
        finally:
            for drop in drops:
                drop.train()
        return found
