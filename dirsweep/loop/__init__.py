"""One phase of training, and prediction over a split; both stages use it."""

from dirsweep.loop.phase import Phase, Trial
from dirsweep.loop.predict import EVALUATION_BATCH, evaluate, precision, predict
from dirsweep.loop.schedule import rate, steps
from dirsweep.loop.state import restore_model
from dirsweep.loop.train import Trained, train

__all__ = [
    "EVALUATION_BATCH",
    "Phase",
    "Trained",
    "Trial",
    "evaluate",
    "precision",
    "predict",
    "rate",
    "restore_model",
    "steps",
    "train",
]
