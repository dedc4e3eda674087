"""A trial with some of its training rows alone, to be timed."""

from dataclasses import replace

import numpy as np
import torch

from dirsweep import models
from dirsweep.data import Split
from dirsweep.loop.phase import Trial


def cut(trial: Trial, count: int) -> Trial:
    """The trial with `count` rows of its training split, drawn at random, or all of them."""
    split = trial.dataset.train
    chosen = np.random.default_rng(0).permutation(len(split.label))[:count]
    fields = {name: value[chosen] for name, value in vars(split).items() if name != "inputs"}
    few = Split(**fields, inputs=split.inputs)  # these are passed over, for what the encoder takes is there
    rows = {**trial.rows, few: models.take(trial.rows[split], torch.as_tensor(chosen))}
    return replace(trial, dataset=replace(trial.dataset, train=few), rows=rows, samples=len(split.label))
