"""Torchvision's backbones, without their classifier: z is the pooled output of the last block."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torchvision import models as torchvision_models
from torchvision.models import ConvNeXt, DenseNet, RegNet, ResNet, ShuffleNetV2
from torchvision.models.swin_transformer import SwinTransformer

from dirsweep.config import Backbone
from dirsweep.models.on_images import Fuse, OnPixels, Scale, augment

NORMALISATION = {
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


SMALLEST = {"convnext": 32, "densenet": 29, "swin": 4}
"""Pixels of a side below which nothing is left of an image in front of the last stage, by family."""


class BackboneEncoder(nn.Module):
    """A backbone cut in two: everything before its last block, and that block with the pooling.

    The last block is the last stage: `layer4` of a ResNet, the last dense block of a DenseNet, what stands
    last in `features` elsewhere. Grey images count as three equal channels. Numbers beside the image go
    through one more linear layer with ReLU, together with the pooled features; it is part of the last block.
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


def check(config: Backbone, side: int) -> None:
    """Refuse images with a side of so many pixels if that is too few, and weights of another network."""
    least = next((least for family, least in SMALLEST.items() if config.backbone.startswith(family)), 1)
    if side < least:
        raise ValueError(
            f"encoder {config.backbone} needs images of {least} x {least} pixels or more, but these have a "
            f"side of {side}; raise dataset.size, or take another encoder"
        )
    if config.weights is not None:
        _whole(config)


def _whole(config: Backbone) -> Any:
    """The network as torchvision builds it, with the weights of a file if one is given."""
    if config.weights is None:
        return torchvision_models.get_model(config.backbone, weights=None)
    weights = read_weights(Path(config.weights))
    usual = torchvision_models.get_model(config.backbone, weights=None)
    *_, head = (name for name, layer in usual.named_modules() if isinstance(layer, nn.Linear))
    own = weights.get(f"{head}.weight")
    classes = 1000 if own is None or own.dim() != 2 else len(own)  # of the classifier that is left out here
    whole = torchvision_models.get_model(config.backbone, weights=None, num_classes=classes)
    problem = _misfit(whole, weights)
    if problem:
        raise ValueError(f"{config.weights}: not the weights of {config.backbone}: {problem}")
    return whole


def _misfit(whole: nn.Module, weights: Mapping[str, Tensor]) -> str:
    """Load weights as strictly as PyTorch does; what it finds wrong with them, "" if nothing."""
    try:  # not `strict`, which would list every name; it finds missing and unknown ones all the same
        missing, further = whole.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # another shape
        return _first(error)
    if missing and further and all(name.startswith("module.") for name in weights):
        return "every name starts with 'module.', of a parallel wrapper; save model.module.state_dict()"
    kinds = ((missing, "missing"), (further, "unknown"))
    return "; ".join(f"{len(names)} {word}, such as {names[0]}" for names, word in kinds if names)


def weights_hash(path: Path) -> str:
    """sha256 of a file of weights. ValueError as for `read_weights`."""
    read_weights(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors in a file of weights, safetensors or PyTorch's own, of which no code is run.

    Raises:
        ValueError: it is not there, or is no file of weights.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file (encoder.weights)") from None
    except UnpicklingError:  # whose text advises to let the file's code run
        raise ValueError(
            f"{path}: cannot be read as weights: it is none, or holds more than plain tensors, and so could "
            "run code; save model.state_dict()"
        ) from None
    except (OSError, ValueError, RuntimeError, EOFError, LookupError, SafetensorError) as error:
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
    mean = nn.AdaptiveAvgPool2d(1)  # where the pooling is in the network's forward
    match whole:
        case ResNet():
            before = [whole.conv1, whole.bn1, whole.relu, whole.maxpool]
            return [*before, whole.layer1, whole.layer2, whole.layer3], [whole.layer4, whole.avgpool]
        case RegNet():
            *before, last = whole.trunk_output
            return [whole.stem, *before], [last, whole.avgpool]
        case DenseNet():
            *before, last, norm = whole.features
            return before, [last, norm, nn.ReLU(), mean]
        case ShuffleNetV2():
            before = [whole.conv1, whole.maxpool, whole.stage2, whole.stage3, whole.stage4]
            return before, [whole.conv5, mean]
        case SwinTransformer():
            *before, last = whole.features
            return before, [last, whole.norm, whole.permute, whole.avgpool]
        case ConvNeXt():
            *before, last = whole.features
            return before, [last, whole.avgpool, whole.classifier[0]]  # its norm
        case _:
            *before, last = whole.features
            return before, [last, getattr(whole, "avgpool", mean)]


def _classifier(whole: Any) -> Any:
    """The first linear layer behind the pooling."""
    end = next(end for name, end in whole.named_children() if name in ("fc", "classifier", "head"))
    return next(layer for layer in end.modules() if isinstance(layer, nn.Linear))
