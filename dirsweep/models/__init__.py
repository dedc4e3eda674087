"""Encoders, each with a linear head: inputs (B, ...) to the feature z (B, d) and a prediction (B,).

An encoder is a module with `stem`, `last_block` (z = last_block(stem(x))), `features` = d and
`evaluation_batch`, how many samples it takes at once where nothing is trained. To add one: a file here, its
config in `config.encoder`, a line in `prepare` and in `build`.
"""

from contextlib import nullcontext
from pathlib import Path
from typing import assert_never

import numpy as np
import torch
from torch import Tensor, nn

from dirsweep.config import MLP, Backbone, BiLSTM, Custom, EncoderConfig, SentenceEncoder, SmallCNN
from dirsweep.data import ImageInputs, Inputs, Pairs, first
from dirsweep.models import backbone, bilstm, custom, sentence_encoder, word_vectors
from dirsweep.models.backbone import BackboneEncoder
from dirsweep.models.batch_norm import globally
from dirsweep.models.bilstm import BiLSTMEncoder
from dirsweep.models.custom import CustomEncoder
from dirsweep.models.mlp import MLPEncoder
from dirsweep.models.on_images import Augment
from dirsweep.models.rows import Rows, count, join, place, size, split, take, to
from dirsweep.models.sentence_encoder import SentencePairEncoder
from dirsweep.models.small_cnn import SmallCNNEncoder
from dirsweep.randomness import seed_of

__all__ = [
    "Augment",
    "Model",
    "Rows",
    "build",
    "check",
    "contents",
    "count",
    "globally",
    "identity",
    "join",
    "place",
    "placed",
    "prepare",
    "reset_head",
    "size",
    "split",
    "take",
    "to",
    "trained",
]

FEW = 2
"""Samples that an encoder of the user's own is tried on."""

Encoder = MLPEncoder | SentencePairEncoder | BiLSTMEncoder | SmallCNNEncoder | BackboneEncoder | CustomEncoder


class Model(nn.Module):
    """An encoder and the linear head y^ = w.z + c."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.features, 1)

    def forward(self, inputs: Rows) -> tuple[Tensor, Tensor]:
        """Inputs (B, ...) to z (B, d) and predictions (B,) in model units."""
        z = self.encoder.last_block(self.encoder.stem(inputs))
        return z, self.read(z)

    def read(self, z: Tensor) -> Tensor:
        """The head: z (B, d) to predictions (B,), in float32 also under autocast.

        bf16 holds three digits: 40.3 years would be 40.2 or 40.5.
        """
        device = z.device.type
        exact = torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()
        with exact:
            prediction: Tensor = self.head(z.to(self.head.weight.dtype)).squeeze(-1)
        return prediction

    def parts(self, layers: str) -> tuple[nn.Module, nn.Module]:
        """What stays as it is and what is trained before the head, when `layers` are trained.

        z = trained(frozen(x)); for "all" the frozen part is the identity, for "head" the trained one.
        """
        encoder = self.encoder
        match layers:
            case "all":
                return nn.Identity(), nn.Sequential(encoder.stem, encoder.last_block)
            case "last_block":
                return encoder.stem, encoder.last_block
            case _:
                return nn.Sequential(encoder.stem, encoder.last_block), nn.Identity()


def prepare(config: EncoderConfig, inputs: Inputs) -> Rows:
    """What the encoder of `config` takes, made of N inputs.

    Raises:
        ValueError: the encoder cannot take such inputs, or lacks what it needs to read them.
    """
    match config:
        case MLP():
            assert isinstance(inputs, np.ndarray), "the config checks that encoder and dataset agree"
            return torch.as_tensor(inputs)
        case SentenceEncoder():
            assert isinstance(inputs, Pairs), "the config checks that encoder and dataset agree"
            return sentence_encoder.prepare(config, inputs)
        case BiLSTM():
            assert isinstance(inputs, Pairs), "the config checks that encoder and dataset agree"
            return bilstm.prepare(config, inputs)
        case SmallCNN() | Backbone():
            assert isinstance(inputs, ImageInputs), "the config checks that encoder and dataset agree"
            return torch.from_numpy(inputs.pixels), torch.from_numpy(inputs.numbers)
        case Custom():
            return custom.prepare(config, inputs)
        case _:
            assert_never(config)


def contents(config: EncoderConfig) -> dict[str, str]:
    """Hashes of the files that an encoder is made of, by the knob that names them.

    Raises:
        ValueError: such a file, package or class is not there, or is not what it should be.
    """
    match config:
        case SentenceEncoder():
            return {"model": sentence_encoder.fingerprint(config.model)}
        case BiLSTM():
            return {"vectors": word_vectors.load(config.vectors, config.vocabulary).hash}
        case Backbone(weights=str(path)):
            return {"weights": backbone.weights_hash(Path(path))}
        case Custom():
            return {"source": custom.source_hash(config)}
        case _:
            return {}


def identity(config: EncoderConfig) -> dict[str, object]:
    """What of an encoder decides the weights: its knobs, and `contents` where it has files. ValueError."""
    return config.model_dump(mode="json") | contents(config)


def check(config: EncoderConfig, inputs: Inputs) -> None:
    """Refuse, before anything is trained, what cannot be built or does not suit such inputs.

    inputs: those of the training split.

    Raises:
        ValueError: as `contents`; or weights of another backbone, images too small for it, a class of the
            user's own that does not work.
    """
    contents(config)
    match config:
        case Backbone():
            assert isinstance(inputs, ImageInputs), "the config checks that encoder and dataset agree"
            backbone.check(config, min(inputs.pixels.shape[2:]))
        case Custom():
            custom.check(config, first(inputs, FEW))


def trained(config: EncoderConfig) -> EncoderConfig:
    """The encoder of a model whose weights are loaded anyway: it starts from no file of weights."""
    return config.model_copy(update={"weights": None}) if isinstance(config, Backbone) else config


def build(config: EncoderConfig, rows: Rows, seed: int) -> Model:
    """A fresh model for rows of such sizes, its weights drawn from the trial's seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "weights"))
        return Model(_encoder(config, rows))


def placed(model: Model, device: str) -> Model:
    """The model on a device; on a GPU with channels last in the convolutions of our encoders, as it wants."""
    if device == "cuda" and isinstance(model.encoder, SmallCNNEncoder | BackboneEncoder):
        model.to(memory_format=torch.channels_last)
    return model.to(device)


def _encoder(config: EncoderConfig, rows: Rows) -> Encoder:
    match config:
        case MLP():
            return MLPEncoder(config, _width(rows))
        case SentenceEncoder():
            return SentencePairEncoder(config, _width(rows))
        case BiLSTM():
            return BiLSTMEncoder(config)
        case SmallCNN():
            return SmallCNNEncoder(config, rows[0].shape[1], rows[1].shape[1])
        case Backbone():
            return BackboneEncoder(config, rows[1].shape[1])
        case Custom():
            return CustomEncoder(config, rows)
        case _:
            assert_never(config)


def _width(rows: Rows) -> int:
    """D of (N, D) numbers."""
    assert isinstance(rows, Tensor)
    return rows.shape[1]


def reset_head(model: Model, seed: int, stage: str) -> None:
    """Draw the head's weights anew (regressor retraining)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, stage, "head"))
        model.head.reset_parameters()
