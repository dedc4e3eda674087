"""Contents of files that make a folder when they are loaded as objects, by the loader that they are for."""

import io
import os
import pickle
from collections.abc import Callable
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
