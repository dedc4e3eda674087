"""Torchvision's backbones, without their classifier: z is the pooled output of the last block."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models as torchvision_models

from dirsweep.config import Backbone
from dirsweep.models.on_images import Fuse, OnPixels, Scale, augment

NORMALISATION = {
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


class BackboneEncoder(nn.Module):
    """A backbone cut in two: everything before its last block, and that block with the pooling.

    The last block is `layer4` of a residual network, and the last stage of `features` elsewhere. Grey images
    count as three equal channels. Numbers beside the image go through one more linear layer with ReLU,
    together with the pooled features; it is part of the last block.
    """

    evaluation_batch = 256

    def __init__(self, config: Backbone, numbers: int) -> None:
        super().__init__()
        whole = _whole(config)
        before, last = _parts(whole)
        scale = Scale(*NORMALISATION[config.normalisation])
        self.stem = OnPixels(*augment(config.augmentation), scale, *before)
        self.features = int(_classifier(whole).in_features)
        fused = Fuse(*last, nn.Flatten())
        mixed = [nn.Linear(self.features + numbers, self.features), nn.ReLU()] if numbers else []
        self.last_block = nn.Sequential(fused, *mixed)


def _whole(config: Backbone) -> Any:
    """The network as torchvision builds it, with the weights of a file if one is given."""
    if config.weights is None:
        return torchvision_models.get_model(config.backbone, weights=None)
    weights = read_weights(Path(config.weights))
    head = next(
        (value for name, value in reversed(weights.items()) if name.endswith("weight") and value.ndim == 2),
        None,
    )
    classes = 1000 if head is None else len(head)
    whole = torchvision_models.get_model(config.backbone, weights=None, num_classes=classes)
    try:
        whole.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{config.weights}: not the weights of {config.backbone}: {_first(error)}") from None
    return whole


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors in a file of weights, safetensors or PyTorch's own, of which no code is run.

    Raises:
        ValueError: it is not there, or is no file of weights.
    """
    import safetensors.torch

    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file (encoder.weights)") from None
    except Exception as error:  # each format has errors of its own
        raise ValueError(f"{path}: cannot be read as weights: {_first(error)}") from None
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ValueError(f"{path}: holds no plain table of weights (a state dict); save model.state_dict()")
    return found


def _first(error: Exception) -> str:
    """The first lines of a long message, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = " ".join(lines[:3])
    return said if len(said) <= 300 else f"{said[:297]}..."


def _parts(whole: Any) -> tuple[list[nn.Module], list[nn.Module]]:
    """The layers before the last block, and the last block with its pooling."""
    if hasattr(whole, "layer4"):
        before = [whole.conv1, whole.bn1, whole.relu, whole.maxpool, whole.layer1, whole.layer2, whole.layer3]
        return before, [whole.layer4, whole.avgpool]
    *before, last = whole.features
    norm = [layer for layer in whole.classifier if type(layer).__name__ == "LayerNorm2d"]  # ConvNeXt's
    return before, [last, whole.avgpool, *norm]


def _classifier(whole: Any) -> Any:
    """The first linear layer behind the pooling."""
    if hasattr(whole, "fc"):
        return whole.fc
    return next(layer for layer in whole.classifier if isinstance(layer, nn.Linear))
