"""Contents of files that make a folder when they are loaded as objects, by the loader that they are for."""

import io
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import torch

SPRUNG = Path("sprung")
"""The folder that a trap makes, where the test runs."""


class Trap:
    """Unpickled, it makes a folder."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(SPRUNG),)


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    save(file)
    return file.getvalue()


TRAPS = {
    "pickle": pickle.dumps(Trap(), protocol=2),  # the one that PyTorch reads
    "torch": _saved(lambda file: torch.save({"weight": Trap()}, file)),
    "numpy": _saved(lambda file: np.save(file, np.array([Trap()], dtype=object), allow_pickle=True)),
    "yaml": b"dataset: !!python/object/apply:os.mkdir [sprung]\n",
    "json": b'{"py/reduce": [{"py/function": "os.mkdir"}, {"py/tuple": ["sprung"]}]}',
    "python": b"__import__('os').mkdir('sprung')",
}
"""Contents by what would load them."""

_listeners: list[set[str]] = []


@contextmanager
def opened() -> Iterator[set[str]]:
    """The files that Python code opens in the block, for a trap that nobody reads proves nothing."""
    _listen()
    _listeners.append(set())
    try:
        yield _listeners[-1]
    finally:
        _listeners.pop()


@cache
def _listen() -> None:
    """Begin to hear of opened files; there is no way to end that."""

    def heard(event: str, arguments: tuple[object, ...]) -> None:
        if _listeners and event == "open":
            _listeners[-1].add(os.path.realpath(str(arguments[0])))

    sys.addaudithook(heard)
