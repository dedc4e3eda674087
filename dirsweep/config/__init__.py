"""Every knob of a trial: its default, range, meaning and unit.

A `TrialConfig` is frozen and complete: with the code's version it decides every number of a trial.
Searched values enter by `TrialConfig.with_overrides` alone, which validates the whole tree again.
Losses, beta, mu, alpha and thresholds of a loss are in units of the standardised label (METHOD
section 1); bins, shots and metrics are in label units.
"""

from dirsweep.config.dataset import (
    USUAL_METRICS,
    BinEdges,
    BinWidth,
    Config,
    Csv,
    DatasetConfig,
    Diamonds,
    StsBDir,
)
from dirsweep.config.encoder import MLP, EncoderConfig, Perceptron, SentenceEncoder
from dirsweep.config.errors import explain, nearest, unknown
from dirsweep.config.files import read_trial, read_yaml, with_dataset_file
from dirsweep.config.names import Knob, knobs
from dirsweep.config.ordinality import (
    KL,
    Hinge,
    Isotonic,
    NoNormOrdinality,
    NormOrdinality,
    PrototypesBatch,
    PrototypesEMA,
    Rank,
)
from dirsweep.config.overrides import merged
from dirsweep.config.stages import SELECTABLE, Fit, NextPhase, Schedule, Stage1, Stage2
from dirsweep.config.training import (
    INV,
    L1,
    LDS,
    MSE,
    SGD,
    SQINV,
    Adam,
    Constant,
    Cosine,
    Huber,
    Loss,
    LRDecay,
    Optimizer,
    StepDecay,
    Unweighted,
    Weighting,
)
from dirsweep.config.trial import TrialConfig

__all__ = [
    "INV",
    "KL",
    "L1",
    "LDS",
    "MLP",
    "MSE",
    "SELECTABLE",
    "SGD",
    "SQINV",
    "USUAL_METRICS",
    "Adam",
    "BinEdges",
    "BinWidth",
    "Config",
    "Constant",
    "Cosine",
    "Csv",
    "DatasetConfig",
    "Diamonds",
    "EncoderConfig",
    "Fit",
    "Hinge",
    "Huber",
    "Isotonic",
    "Knob",
    "LRDecay",
    "Loss",
    "NextPhase",
    "NoNormOrdinality",
    "NormOrdinality",
    "Optimizer",
    "Perceptron",
    "PrototypesBatch",
    "PrototypesEMA",
    "Rank",
    "Schedule",
    "SentenceEncoder",
    "Stage1",
    "Stage2",
    "StepDecay",
    "StsBDir",
    "TrialConfig",
    "Unweighted",
    "Weighting",
    "explain",
    "knobs",
    "merged",
    "nearest",
    "read_trial",
    "read_yaml",
    "unknown",
    "with_dataset_file",
]
