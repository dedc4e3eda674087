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
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from dirsweep.config import Custom
from dirsweep.data import ImageInputs, Inputs
from dirsweep.models.rows import Rows
from dirsweep.models.sources import sources

STARTED_IN = "DIRSWEEP_STARTED_IN"
"""Environment variable: the folder that the command was started in, for workers, which run elsewhere."""


_AT_IMPORT: WeakKeyDictionary[ModuleType, str] = WeakKeyDictionary()
"""Hash of the code of each module when it was first asked for here: a worker runs many trials."""


class CustomEncoder(nn.Module):
    """The stem and the last block of the user's class, and nothing else of it."""

    def __init__(self, config: Custom, rows: Rows) -> None:
        super().__init__()
        own = _called(config, rows)
        for name in ("stem", "last_block"):
            if not isinstance(getattr(own, name, None), nn.Module):
                raise ValueError(f"encoder {config.path}: has no `{name}` that is a torch.nn.Module")
        batch = getattr(own, "evaluation_batch", 256)
        for name, found in (("features", getattr(own, "features", None)), ("evaluation_batch", batch)):
            if type(found) is not int or found < 1:
                raise ValueError(f"encoder {config.path}: has no `{name}` that is a whole number above 0")
        self.stem, self.last_block, self.features = own.stem, own.last_block, own.features
        self.evaluation_batch = batch
        normed = any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in self.modules())
        if normed != config.batch_norm:
            raise ValueError(
                f"encoder {config.path}: encoder.batch_norm is {str(config.batch_norm).lower()}, but it has "
                f"{'batch norm' if normed else 'none'}; set it to {str(normed).lower()}"
            )


def check(config: Custom, inputs: Inputs) -> None:
    """Build the class for a few training inputs, and look at its z of them.

    Raises:
        ValueError: it cannot be imported, built or run, or z is not (B, features); names the import path.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        rows = prepare(config, inputs)
        encoder = CustomEncoder(config, rows).eval()
        try:
            z = encoder.last_block(encoder.stem(rows))
        except Exception as error:  # whatever the layers of the user's class do
            raise ValueError(f"encoder {config.path}: last_block(stem(rows)): {_told(error)}") from None
    size = [len(inputs), encoder.features]
    if not isinstance(z, Tensor) or not z.is_floating_point() or list(z.shape) != size:
        kind = f"{z.dtype}, {list(z.shape)}" if isinstance(z, Tensor) else type(z).__name__
        raise ValueError(
            f"encoder {config.path}: last_block(stem(rows)) of {size[0]} samples is {kind}; with `features` "
            f"{size[1]} it must be a tensor of numbers, {size}"
        )


def prepare(config: Custom, inputs: Inputs) -> Rows:
    """By the class's own `prepare`, or as for the encoders here. ValueError if it has none and needs one."""
    own = getattr(_loaded(config), "prepare", None)
    if own is not None:
        return _prepared(config, own, inputs)
    if isinstance(inputs, np.ndarray):
        return torch.as_tensor(inputs)
    if isinstance(inputs, ImageInputs):
        return torch.from_numpy(inputs.pixels), torch.from_numpy(inputs.numbers)
    raise ValueError(
        f"encoder {config.path}: sentence pairs need a static method `prepare(pairs)` of its own"
    )


def _prepared(config: Custom, own: Any, inputs: Inputs) -> Rows:
    try:
        rows = own(inputs)
    except Exception as error:  # whatever the user's function does
        raise ValueError(f"encoder {config.path}: prepare(inputs): {_told(error)}") from None
    parts = rows if isinstance(rows, tuple) and rows else (rows,)
    if not all(isinstance(part, Tensor) and part.dim() and len(part) == len(inputs) for part in parts):
        raise ValueError(
            f"encoder {config.path}: prepare(inputs) must give a tensor, or a tuple of them, with the "
            f"{len(inputs)} samples in front"
        )
    return rows


def source_hash(config: Custom) -> str:
    """sha256 of the code that the class is of (`sources`): with other code the weights are others."""
    _loaded(config)
    module = sys.modules[config.path.partition(":")[0]]
    try:
        files = sources(module)
    except ValueError as error:
        raise ValueError(f"encoder.path {config.path!r}: {error}") from None
    found = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    if _AT_IMPORT.setdefault(module, found) != found:
        raise ValueError(
            f"encoder.path {config.path!r}: its code has changed since this process imported it; start anew"
        )
    return found


def _loaded(config: Custom) -> Any:
    """The class. ValueError if the module cannot be imported or has no such class."""
    module, _, name = config.path.partition(":")
    place = os.environ.get(STARTED_IN, os.getcwd())
    if place not in sys.path:
        sys.path.append(place)  # last, so that no file there can stand in for another module
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # whatever the user's file does when it is imported
        missing = isinstance(error, ModuleNotFoundError) and module.startswith(error.name or "?")
        hint = "; it must lie in the folder that dirsweep is started from, or on PYTHONPATH"
        raise ValueError(
            f"encoder.path {config.path!r}: cannot import {module}: {_told(error)}{hint if missing else ''}"
        ) from None
    if not inspect.isclass(found) or not issubclass(found, nn.Module):
        raise ValueError(f"encoder.path {config.path!r}: {module} has no class {name!r} of torch.nn.Module")
    return found


def _called(config: Custom, rows: Rows) -> Any:
    try:
        return _loaded(config)(rows, **config.options)
    except Exception as error:  # whatever the user's class does when it is built
        raise ValueError(f"encoder {config.path} with options {config.options}: {_told(error)}") from None


def _told(error: Exception) -> str:
    """What went wrong in the user's code, and in which line of it."""
    said = str(error) if isinstance(error, SyntaxError | ImportError) else f"{type(error).__name__}: {error}"
    ours = [Path(module.__file__).parent for module in (torch, importlib) if module.__file__]
    files = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    own = [
        f" ({file.name}, line {line})"
        for file, line in files
        if file.is_file() and not any(file.is_relative_to(folder) for folder in [*ours, Path(__file__)])
    ]
    return said + "".join(own[-1:])
