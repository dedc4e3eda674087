"""Tensors and JSON to bytes and back; no pickle, so a checkpoint cannot run code."""

import json
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

Tensors = dict[str, Tensor]
Notes = dict[str, Any]
LENGTH = 8
"""Bytes that say how long the header is."""


def pack(tensors: Tensors, notes: Notes) -> bytes:
    """The bytes of a safetensors file; `notes` are its metadata."""
    still = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save_tensors(still, metadata={"notes": json.dumps(notes)})


def unpack(content: bytes) -> tuple[Tensors, Notes]:
    """What `pack` packed. ValueError if the content is damaged."""
    notes = header_notes(content)
    try:
        return load_tensors(content), notes
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def header_length(beginning: bytes) -> int:
    """How many bytes of a packed file the header takes, by its first LENGTH bytes."""
    return int.from_bytes(beginning[:LENGTH], "little")


def header_notes(content: bytes) -> Notes:
    """The notes of a packed file, for which its header is enough. ValueError if it is damaged."""
    try:
        header = json.loads(content[LENGTH : LENGTH + header_length(content)])
        return dict(json.loads(header["__metadata__"]["notes"]))
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"its header has no notes ({error!r})") from None


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
    for parameter, values in optimizer.state.items():
        for name, value in values.items():  # laid out like the weight, as a fused step asks for
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)
