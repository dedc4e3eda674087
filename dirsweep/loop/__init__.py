"""One phase of training, and prediction over a split; both stages use it."""

from dirsweep.loop.cut import cut
from dirsweep.loop.parts import encoded, part_size, resting
from dirsweep.loop.phase import Phase, Term, Trial
from dirsweep.loop.predict import errors, evaluate, precision, predict, rows_of
from dirsweep.loop.schedule import rate, steps
from dirsweep.loop.smoothing import Smoothing, smoothing
from dirsweep.loop.state import restore_model
from dirsweep.loop.train import Trained, stepping, train

__all__ = [
    "Phase",
    "Smoothing",
    "Term",
    "Trained",
    "Trial",
    "cut",
    "encoded",
    "errors",
    "evaluate",
    "part_size",
    "precision",
    "predict",
    "rate",
    "resting",
    "restore_model",
    "rows_of",
    "smoothing",
    "stepping",
    "steps",
    "train",
]
