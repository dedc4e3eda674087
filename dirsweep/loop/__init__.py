"""One phase of training, and prediction over a split; both stages use it."""

from dirsweep.loop.phase import Phase, Trial
from dirsweep.loop.predict import evaluate, precision, predict
from dirsweep.loop.state import restore_model
from dirsweep.loop.train import train

__all__ = ["Phase", "Trial", "evaluate", "precision", "predict", "restore_model", "train"]
