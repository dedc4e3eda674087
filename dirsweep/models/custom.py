"""An encoder of the user's own, named by its import path.

`encoder: {name: custom, path: "my_encoders:Wide", options: {width: 64}}` builds `Wide(rows, width=64)` of
my_encoders.py. `rows` are the prepared training inputs, for their sizes: a tensor (N, D) for tables; (pixels
(N, C, H, W) of bytes, numbers (N, k)) for images. The class is a module with

- `stem` and `last_block`, modules: z = last_block(stem(rows)), (B, d). Nothing else is trained or kept;
- `features`: d;
- `evaluation_batch`, if it is to be another than 256: samples at once where nothing is trained;
- `prepare(inputs)`, a static method, for sentence pairs, and for what is to be prepared in its own way.
"""

import hashlib
import importlib
import inspect
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dirsweep.config import Custom
from dirsweep.data import ImageInputs, Inputs
from dirsweep.models.rows import Rows

STARTED_IN = "DIRSWEEP_STARTED_IN"
"""Environment variable: the folder that the command was started in, for workers, which run elsewhere."""


class CustomEncoder(nn.Module):
    """The stem and the last block of the user's class, and nothing else of it."""

    def __init__(self, config: Custom, rows: Rows) -> None:
        super().__init__()
        own = _called(config, rows)
        for name, kind in (("stem", nn.Module), ("last_block", nn.Module), ("features", int)):
            if not isinstance(getattr(own, name, None), kind):
                raise ValueError(f"encoder {config.path}: has no `{name}` that is {_what(kind)}")
        self.stem, self.last_block, self.features = own.stem, own.last_block, own.features
        self.evaluation_batch = int(getattr(own, "evaluation_batch", 256))
        normed = any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in self.modules())
        if normed != config.batch_norm:
            raise ValueError(
                f"encoder {config.path}: encoder.batch_norm is {str(config.batch_norm).lower()}, but it has "
                f"{'batch norm' if normed else 'none'}; set it to {str(normed).lower()}"
            )


def prepare(config: Custom, inputs: Inputs) -> Rows:
    """By the class's own `prepare`, or as for the encoders here. ValueError if it has none and needs one."""
    own = getattr(_loaded(config), "prepare", None)
    if own is not None:
        return own(inputs)
    if isinstance(inputs, np.ndarray):
        return torch.as_tensor(inputs)
    if isinstance(inputs, ImageInputs):
        return torch.from_numpy(inputs.pixels), torch.from_numpy(inputs.numbers)
    raise ValueError(
        f"encoder {config.path}: sentence pairs need a static method `prepare(pairs)` of its own"
    )


def source_hash(config: Custom) -> str:
    """sha256 of the file that holds the class: with other code the weights are others."""
    file = inspect.getsourcefile(_loaded(config))
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""


def _loaded(config: Custom) -> Any:
    """The class. ValueError if the module cannot be imported or has no such class."""
    module, _, name = config.path.partition(":")
    place = os.environ.get(STARTED_IN, os.getcwd())
    if place not in sys.path:
        sys.path.append(place)  # last, so that no file there can stand in for another module
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise ValueError(
            f"encoder.path {config.path!r}: cannot import {module}: {error}; it must lie in the folder that "
            "dirsweep is started from, or on PYTHONPATH"
        ) from None
    if not inspect.isclass(found):
        raise ValueError(f"encoder.path {config.path!r}: {module} has no class {name!r}")
    return found


def _called(config: Custom, rows: Rows) -> Any:
    try:
        return _loaded(config)(rows, **config.options)
    except TypeError as error:
        raise ValueError(f"encoder {config.path} with options {config.options}: {error}") from None


def _what(kind: type) -> str:
    return "a whole number" if kind is int else "a torch.nn.Module"
