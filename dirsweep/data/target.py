"""The unit in which a model predicts the label: standardised, or the standardised log (METHOD section 1).

Mean and deviation come from the training split. Losses, beta, mu and thresholds of a loss are in this
unit; bins, shots and metrics are in label units.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from dirsweep.shots import Floats


@dataclass(frozen=True)
class TargetUnit:
    """mean, std: of the training labels, or of their logs."""

    transform: Literal["standard", "log"]
    mean: float
    std: float

    def to_model(self, label: Floats) -> Floats:
        """(N,) labels to (N,) model units; a log needs labels above 0."""
        return ((np.log(label) if self.transform == "log" else label) - self.mean) / self.std

    def to_label(self, prediction: Floats) -> Floats:
        """(N,) predictions in model units to (N,) label units; a log too large to undo becomes inf."""
        value = prediction.astype(np.float64) * self.std + self.mean
        if self.transform == "standard":
            return value
        with np.errstate(over="ignore"):  # inf is what a model that ran away predicts; metrics show it
            return np.exp(value)


def target_unit(transform: Literal["standard", "log"], training_label: Floats) -> TargetUnit:
    """The unit for the (N,) training labels.

    Raises:
        ValueError: a log of labels that are not all above 0, or labels that are all equal.
    """
    if training_label.min() == training_label.max():
        raise ValueError(
            f"all training labels are {training_label[0]:g}, so there is nothing to learn; check the target"
        )
    if transform == "log":
        if training_label.min() <= 0:
            count = int((training_label <= 0).sum())
            raise ValueError(
                f"target_transform 'log' needs labels above 0, but {count} of {len(training_label)} training "
                f"labels are not (smallest {training_label.min():g}); use target_transform: standard"
            )
        training_label = np.log(training_label)
    return TargetUnit(transform, float(training_label.mean()), float(training_label.std()))
