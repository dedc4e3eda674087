"""Tensors and JSON to bytes and back; no pickle, so a checkpoint cannot run code."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

Tensors = dict[str, Tensor]
Notes = dict[str, Any]


def pack(tensors: Tensors, notes: Notes) -> bytes:
    """The bytes of a safetensors file; `notes` are its metadata."""
    still = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save_tensors(still, metadata={"notes": json.dumps(notes)})


def unpack(content: bytes) -> tuple[Tensors, Notes]:
    """What `pack` packed. ValueError if the content is damaged."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    try:
        return load_tensors(content), json.loads(header["__metadata__"]["notes"])
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def read_notes(path: Path) -> Notes:
    """The notes of a packed file, without reading its tensors."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return dict(json.loads(header["__metadata__"]["notes"]))


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """The optimizer's state by "parameter number.name"; rates are left out, the schedule sets them."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": value
        for number, values in state.items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Put back what `optimizer_tensors` gave."""
    state: dict[int, Tensors] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
