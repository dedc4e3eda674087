"""The configuration of one trial, and its controls; `config` re-exports it."""

from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt, model_validator

from dirsweep.config.dataset import KINDS, Config, DatasetConfig, Diamonds, Images
from dirsweep.config.encoder import BACKBONES, MLP, EncoderConfig, ResizedCrop
from dirsweep.config.ordinality import NoNormOrdinality
from dirsweep.config.overrides import merged
from dirsweep.config.stages import Stage1, Stage2, settings

USUAL = {"tables": "mlp", "sentence pairs": "sentence_encoder", "images": "small_cnn"}
"""The encoder of a kind of data, where a configuration names none."""


class TrialConfig(Config):
    """One trial: both stages on one dataset with one seed."""

    dataset: DatasetConfig = Diamonds()
    """The data, its bins and shots."""
    encoder: EncoderConfig = MLP()
    """What turns an input into the feature z; left out, the usual one for the kind of data."""
    stage1: Stage1 = Stage1()
    """Regularised pretraining."""
    stage2: Stage2 | None = Stage2()
    """Majority-shot fit and fine-tune; null leaves it out."""
    seed: NonNegativeInt = 0
    """Decides the initial weights, the order of samples and every other draw."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the trial trains."""
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    """Number format of the forward pass; head, norms and losses are always float32. Left out, images on a GPU
    get bf16. tf32: float32 whose products a GPU rounds to ten bits."""
    compiled: bool = False
    """Whether PyTorch's compiler makes one piece of the trained layers: a step is faster, the first of each
    shape takes seconds to minutes, and the last digits of the numbers differ."""
    threads: PositiveInt = 1
    """CPU threads of a process; part of the config because it can change the numbers."""
    processes: PositiveInt = 1
    """Processes that train the trial together, each on a GPU or on CPU cores of its own; each takes its part
    of every batch through the encoder. `batch_size` is that of all of them."""
    batch_norm: Literal["synchronised", "local"] | None = None
    """Over several processes, whether batch norm sees the whole batch or each process's part; null:
    synchronised, wherever there is batch norm."""

    @model_validator(mode="before")
    @classmethod
    def _filled_in(cls, data: Any) -> Any:
        """A dataset or an encoder given by its name alone, and an encoder that does not say which."""
        if not isinstance(data, dict):
            return data
        dataset, encoder = data.get("dataset", "diamonds"), data.get("encoder", {})
        if isinstance(dataset, str):
            dataset = {"name": dataset}
        if isinstance(encoder, str):
            encoder = {"name": encoder}
        if isinstance(encoder, dict) and encoder.get("name") in BACKBONES:
            encoder = {**encoder, "name": "backbone", "backbone": encoder["name"]}
        if isinstance(dataset, dict) and isinstance(encoder, dict) and "name" not in encoder:
            encoder = {"name": USUAL[KINDS.get(str(dataset.get("name")), "tables")], **encoder}
        return {**data, "dataset": dataset, "encoder": encoder}

    @model_validator(mode="after")
    def _usual_precision(self) -> "TrialConfig":
        """Images on a GPU get bf16. It does not count as set, so `with_overrides` finds it anew."""
        said = "precision" in self.model_fields_set
        if not said and self.device == "cuda" and self.dataset.kind == "images":
            object.__setattr__(self, "precision", "bf16")  # the model is frozen, and not yet anybody's
        return self

    @model_validator(mode="after")
    def _parts_agree(self) -> "TrialConfig":
        if self.encoder.reads not in (self.dataset.kind, "anything"):
            raise ValueError(
                f"encoder {self.encoder.name} reads {self.encoder.reads}, but dataset {self.dataset.name} "
                f"holds {self.dataset.kind}; choose {USUAL[self.dataset.kind]}"
            )
        frozen = None if self.stage2 is None else self.stage2.freeze_batch_norm
        if frozen is not None and not self.encoder.batch_norm:
            raise ValueError(
                "stage2.freeze_batch_norm is set, but the encoder has no batch norm; leave it out"
            )
        if self.batch_norm is not None and (self.processes == 1 or not self.encoder.batch_norm):
            lacks = "the encoder has none" if self.processes > 1 else "processes is 1"
            raise ValueError(f"batch_norm says how several processes share it, but {lacks}; leave it out")
        if self.batch_norm_over == "synchronised" and self.stage1.accumulate > 1:
            raise ValueError(
                f"stage1.accumulate is {self.stage1.accumulate}, but batch norm is synchronised over "
                f"{self.processes} processes, which may have unlike parts; set batch_norm to local, or "
                "stage1.accumulate to 1"
            )
        return self

    @model_validator(mode="after")
    def _batches_can_be_divided(self) -> "TrialConfig":
        smallest = min(setting.main.batch_size for setting in settings(self.stage1))
        accumulate, parts = self.stage1.accumulate, self.stage1.accumulate * self.processes
        if self.encoder.batch_norm and smallest == 1:
            raise ValueError(
                "batch_size is 1, but encoder.batch_norm needs 2 samples in a step; raise stage1.batch_size "
                "or set encoder.batch_norm to false"
            )
        if self.processes > 1 and smallest < 2 * self.processes:
            raise ValueError(
                f"processes is {self.processes}, but a batch of {smallest} has fewer than 2 samples for each "
                "and would not be divided; lower processes, or raise batch_size"
            )
        if accumulate > 1 and smallest < parts:
            raise ValueError(
                f"stage1.accumulate is {accumulate}, but a process has {smallest // self.processes} samples "
                f"of a batch of {smallest} to divide; lower it, or raise batch_size"
            )
        if self.encoder.batch_norm and accumulate > 1 and smallest <= parts:
            raise ValueError(
                f"stage1.accumulate {accumulate} makes parts of 1 sample of a batch of {smallest}, but "
                "encoder.batch_norm needs 2; lower stage1.accumulate"
            )
        return self

    @model_validator(mode="after")
    def _precision_suits_the_device(self) -> "TrialConfig":
        if self.precision == "tf32" and self.device == "cpu":
            raise ValueError("precision tf32 is a GPU's, and device is cpu; choose float32 or bf16")
        return self

    @model_validator(mode="after")
    def _grey_images_have_no_colours(self) -> "TrialConfig":
        augmentation = getattr(self.encoder, "augmentation", None)
        grey = isinstance(self.dataset, Images) and self.dataset.channels == "grey"
        if grey and isinstance(augmentation, ResizedCrop) and augmentation.grey > 0:
            raise ValueError(
                "encoder.augmentation.grey drops the colours of images, and dataset.channels is grey; "
                "set encoder.augmentation.grey to 0"
            )
        return self

    @model_validator(mode="after")
    def _two_views_differ(self) -> "TrialConfig":
        for setting in settings(self.stage1):
            method = setting.main.feature_method
            if setting.layers == "head" or method.views == 1:
                continue
            if not self.encoder.varies:
                knob = "augmentation" if self.encoder.reads == "images" else "dropout"
                raise ValueError(
                    f"{setting.stage}.feature_method {method.name} compares two views of a sample, but "
                    f"encoder {self.encoder.name} makes them equal; set encoder.{knob}"
                )
            if setting.layers != "all" and self.encoder.reads != "images":  # augmentation is in no layer
                raise ValueError(
                    f"{setting.stage}.feature_method {method.name} compares two views of a sample, but "
                    f"layers {setting.layers} leaves out those that make them; set layers to all"
                )
        return self

    @property
    def batch_norm_over(self) -> str:
        """What batch norm is computed over: "synchronised", "local", or "" where there is none to share."""
        shared = self.processes > 1 and self.encoder.batch_norm
        return (self.batch_norm or "synchronised") if shared else ""

    def with_overrides(self, values: dict[str, Any]) -> "TrialConfig":
        """This config with `values` set by dotted name ("stage1.epochs"), validated as a whole.

        A value for `X.name` that picks another variant drops the fields of the old one.
        Raises pydantic's ValidationError (a ValueError) that names every refused key, and a plain ValueError
        for a knob of a stage 2 that is left out.
        """
        below = next((name for name in values if name.startswith("stage2.")), None)
        if self.stage2 is None and below is not None and "stage2" not in values:
            raise ValueError(f"'{below}' would do nothing, for stage2 is null; take `stage2: null` out")
        return TrialConfig.model_validate(merged(self._tree(), values))

    def plain(self) -> "TrialConfig":
        """Control 1 (METHOD section 6): beta = 0 in every phase and no stage 2."""
        off = NoNormOrdinality()
        then = tuple(phase.model_copy(update={"norm_ordinality": None}) for phase in self.stage1.then)
        stage1 = self.stage1.model_copy(update={"norm_ordinality": off, "then": then})
        return TrialConfig.model_validate(self.model_copy(update={"stage1": stage1, "stage2": None})._tree())

    def without_norm_term(self) -> "TrialConfig":
        """Control 2 (METHOD section 6): the same stage 2 with mu = 0."""
        return self if self.stage2 is None else self.with_overrides({"stage2.norm_weight": 0.0})

    def _tree(self) -> dict[str, Any]:
        """Of which a like config is made; a precision that was not set is found anew."""
        return self.model_dump(mode="json", exclude={"precision"} - self.model_fields_set)
