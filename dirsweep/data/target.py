"""The unit in which a model predicts the label: standardised, perhaps after a log or a quantile map (METHOD
section 1).

Mean and deviation come from the training split, and so does the quantile map: labels to the normal deviates
of their ranks, as a line through at most 1,000 knots, which goes on straight beyond them. Losses, beta, mu
and thresholds of a loss are in this unit; bins, shots and metrics are in label units.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from dirsweep.shots import Floats

MOST_KNOTS = 1000

Transform = Literal["standard", "log", "quantile"]
Knots = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class TargetUnit:
    """mean, std: of the training labels, or of what they are mapped to.

    knots: of the quantile map, rising labels and rising values; empty without one.
    """

    transform: Transform
    mean: float
    std: float
    knots: Knots = ((), ())

    def to_model(self, label: Floats) -> Floats:
        """(N,) labels to (N,) model units; a log needs labels above 0."""
        return (_mapped(self.transform, label, self.knots) - self.mean) / self.std

    def to_label(self, prediction: Floats) -> Floats:
        """(N,) predictions in model units to (N,) label units; a log too large to undo becomes inf."""
        value = prediction.astype(np.float64) * self.std + self.mean
        match self.transform:
            case "standard":
                return value
            case "log":
                with np.errstate(over="ignore"):  # inf is what a model that ran away predicts
                    return np.exp(value)
            case "quantile":
                labels, values = self.knots
                return _through(value, values, labels)


def target_unit(transform: Transform, training_label: Floats) -> TargetUnit:
    """The unit for the (N,) training labels.

    Raises:
        ValueError: a log of labels that are not all above 0, or labels that are all equal.
    """
    if training_label.min() == training_label.max():
        raise ValueError(
            f"all training labels are {training_label[0]:g}, so there is nothing to learn; check the target"
        )
    if transform == "log" and training_label.min() <= 0:
        count = int((training_label <= 0).sum())
        raise ValueError(
            f"target_transform 'log' needs labels above 0, but {count} of {len(training_label)} training "
            f"labels are not (smallest {training_label.min():g}); use target_transform: standard"
        )
    knots = _knots(training_label) if transform == "quantile" else ((), ())
    value = _mapped(transform, training_label, knots)
    return TargetUnit(transform, float(value.mean()), float(value.std()), knots)


def _mapped(transform: Transform, label: Floats, knots: Knots) -> Floats:
    match transform:
        case "standard":
            return label
        case "log":
            return np.log(label)
        case "quantile":
            return _through(label, *knots)


def _knots(label: Floats) -> Knots:
    """Distinct labels, and the normal deviate of the middle of each one's ranks."""
    values, counts = np.unique(label, return_counts=True)
    from scipy.special import ndtri  # takes a while, and the other units do without

    deviate = ndtri((np.cumsum(counts) - counts / 2) / counts.sum())
    kept = np.unique(np.linspace(0, len(values) - 1, min(MOST_KNOTS, len(values))).round().astype(int))
    return tuple(values[kept].tolist()), tuple(deviate[kept].tolist())


def _through(x: Floats, knots: tuple[float, ...], values: tuple[float, ...]) -> Floats:
    """(N,) points on the line through the knots, straight on beyond the ends."""
    at, to = np.array(knots), np.array(values)
    left = np.clip(np.searchsorted(at, x, side="right") - 1, 0, len(at) - 2)
    slope = (to[left + 1] - to[left]) / (at[left + 1] - at[left])
    return to[left] + slope * (x - at[left])
