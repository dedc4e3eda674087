"""The configuration tree of one trial; `config` re-exports it.

Variants (losses, weightings, optimizers ...) are unions told apart by `name`, so that a knob which
would do nothing cannot be set. Schedules are fractions of the epochs, so that searching the number
of epochs never invalidates another knob.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from dirsweep.config.dataset import Config, DatasetConfig, Diamonds

Fraction = Annotated[float, Field(gt=0, lt=1)]

SELECTABLE = tuple(
    f"val/{shot}/{metric}"
    for shot in ("all", "many", "median", "few")
    for metric in ("mae", "gm", "mse", "balanced_mae")
)
"""Validation metrics that can choose an epoch or serve as an objective; smaller is better."""


# ---- encoder


class MLP(Config):
    """A multilayer perceptron for tables: `depth` blocks of linear, (batch norm,) ReLU, dropout."""

    name: Literal["mlp"] = "mlp"
    width: PositiveInt = 256
    """Units of each hidden layer; the feature z is the last one, after its ReLU."""
    depth: PositiveInt = 2
    """Number of hidden layers."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability of dropping a hidden unit in training; never on z itself."""
    batch_norm: bool = False
    """Normalise each hidden layer over the batch."""


# ---- optimizer and schedule


class Adam(Config):
    """Adam (Kingma and Ba, 2015)."""

    name: Literal["adam"] = "adam"
    lr: PositiveFloat = 1.0e-3
    """Peak learning rate."""
    weight_decay: NonNegativeFloat = 0.0
    """L2 penalty on the weights."""


class SGD(Config):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"] = "sgd"
    lr: PositiveFloat = 0.1
    """Peak learning rate."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Share of the last step that is kept."""
    weight_decay: NonNegativeFloat = 0.0
    """L2 penalty on the weights."""


Optimizer = Annotated[Adam | SGD, Field(discriminator="name")]


class Constant(Config):
    """The learning rate stays at its peak."""

    name: Literal["constant"] = "constant"


class Cosine(Config):
    """The learning rate falls to 0 along half a cosine."""

    name: Literal["cosine"] = "cosine"


class StepDecay(Config):
    """The learning rate is multiplied by `factor` at each fraction of the epochs."""

    name: Literal["step"] = "step"
    at: Annotated[tuple[Fraction, ...], Field(min_length=1)] = (2 / 3, 8 / 9)
    """Fractions of the epochs at which the rate drops."""
    factor: Fraction = 0.1
    """What the rate is multiplied by."""


LRDecay = Annotated[Constant | Cosine | StepDecay, Field(discriminator="name")]


# ---- losses and weightings


class L1(Config):
    """Absolute error."""

    name: Literal["l1"] = "l1"


class MSE(Config):
    """Squared error."""

    name: Literal["mse"] = "mse"


class Huber(Config):
    """Quadratic below `beta`, linear above."""

    name: Literal["huber"] = "huber"
    beta: PositiveFloat = 1.0
    """Error, in units of the standardised label, at which the loss turns linear."""


Loss = Annotated[L1 | MSE | Huber, Field(discriminator="name")]


class Unweighted(Config):
    """Every sample weighs 1."""

    name: Literal["none"] = "none"


class INV(Config):
    """Weight proportional to 1 / n_b, n_b clipped to [clip_low, clip_high] (DIR recipe for ages)."""

    name: Literal["inv"] = "inv"
    clip_low: PositiveInt = 5
    """Smallest count that is used, in training samples of a bin."""
    clip_high: PositiveInt = 1000
    """Largest count that is used, in training samples of a bin."""

    @model_validator(mode="after")
    def _ordered(self) -> "INV":
        if self.clip_low > self.clip_high:
            raise ValueError(f"clip_low ({self.clip_low}) exceeds clip_high ({self.clip_high})")
        return self


class SQINV(Config):
    """Weight proportional to 1 / sqrt(n_b)."""

    name: Literal["sqinv"] = "sqinv"


class LDS(Config):
    """Label distribution smoothing (Yang et al., 2021): weights from counts smoothed over bins."""

    name: Literal["lds"] = "lds"
    kernel: Literal["gaussian", "triang", "laplace"] = "gaussian"
    """Shape of the smoothing kernel."""
    size: Annotated[int, Field(ge=3, multiple_of=1)] = 5
    """Width of the kernel in bins, odd."""
    sigma: PositiveFloat = 2.0
    """Spread of the gaussian or laplace kernel, in bins; the triangle has none and refuses it."""
    root: bool = True
    """Smooth the square roots of the counts, as the reference code does with SQINV."""

    @model_validator(mode="after")
    def _odd(self) -> "LDS":
        if self.size % 2 == 0:
            raise ValueError(f"size must be odd, so that the kernel has a centre; found {self.size}")
        if self.kernel == "triang" and self.sigma != 2.0:
            raise ValueError("the triangular kernel has no sigma; leave it out")
        return self


Weighting = Annotated[Unweighted | INV | SQINV | LDS, Field(discriminator="name")]


# ---- norm ordinality (METHOD section 2)


class PrototypesBatch(Config):
    """Compare the bins that are in the batch."""

    name: Literal["batch"] = "batch"


class PrototypesEMA(Config):
    """Compare all bins seen so far: those absent from the batch by a detached running mean."""

    name: Literal["ema"] = "ema"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Share of the running mean that a step keeps."""


Prototypes = Annotated[PrototypesBatch | PrototypesEMA, Field(discriminator="name")]


class NoNormOrdinality(Config):
    """The base method: no norm-ordinality term."""

    name: Literal["none"] = "none"


class _Ordinal(Config):
    weight: NonNegativeFloat = 0.1
    """beta, the weight of the whole term; 0 is bit for bit the base method."""
    ordinal_entropy: NonNegativeFloat = 0.0
    """alpha, the weight of ordinal entropy inside the term; refused when `weight` is 0."""
    prototypes: Prototypes = PrototypesEMA()
    """Which bins are compared in a step."""

    @model_validator(mode="after")
    def _alpha_needs_beta(self) -> "_Ordinal":
        if self.weight == 0 and self.ordinal_entropy > 0:
            raise ValueError(
                f"ordinal_entropy is {self.ordinal_entropy:g}, but it acts inside a term of weight 0; "
                "raise norm_ordinality.weight or set ordinal_entropy to 0"
            )
        return self


class KL(_Ordinal):
    """Match pairwise distances of norms to those of labels by a KL divergence (the paper's family)."""

    name: Literal["kl"] = "kl"
    tau: PositiveFloat = 1.0
    """Temperature of the distances, on z-scored labels and norms."""
    direction: Literal["increasing", "decreasing", "free"] = "increasing"
    """Which way norms should go with the label."""


class Hinge(_Ordinal):
    """Neighbouring bins must rise by a margin."""

    name: Literal["hinge"] = "hinge"
    margin: Annotated[float, Field(ge=0, le=1)] = 0.5
    """m: share of the z-scored label distance that the z-scored norms must rise by."""
    direction: Literal["increasing", "decreasing"] = "increasing"
    """Which way norms should go with the label."""


class Rank(_Ordinal):
    """Logistic loss on the order of every pair."""

    name: Literal["rank"] = "rank"
    tau: PositiveFloat = 1.0
    """Temperature of the z-scored norm differences."""
    direction: Literal["increasing", "decreasing"] = "increasing"
    """Which way norms should go with the label."""


class Isotonic(_Ordinal):
    """Squared distance of the norms to their isotonic fit."""

    name: Literal["isotonic"] = "isotonic"
    direction: Literal["increasing", "decreasing"] = "increasing"
    """Which way norms should go with the label."""


NormOrdinality = Annotated[NoNormOrdinality | KL | Hinge | Rank | Isotonic, Field(discriminator="name")]


# ---- stage 1


Selection = Literal[("last", *SELECTABLE)]  # type: ignore[valid-type]


class NextPhase(Config):
    """A further phase of stage 1: says only what changes; what is left out stays as in the phase before."""

    epochs: PositiveInt
    """Passes over the training split."""
    batch_size: PositiveInt | None = None
    """Samples in a step."""
    optimizer: Optimizer | None = None
    """A phase begins with a fresh optimizer; left out, of the same kind and rate."""
    decay: LRDecay | None = None
    """How the learning rate falls over the phase."""
    warmup: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the phase in which the rate rises from 0."""
    loss: Loss | None = None
    """Base loss."""
    weighting: Weighting | None = None
    """Sample weights."""
    norm_ordinality: NormOrdinality | None = None
    """The norm-ordinality term."""
    layers: Literal["all", "last_block", "head"] | None = None
    """Which layers are trained; `head` is a linear probe."""
    reset_head: bool = False
    """Draw the head's weights anew when the phase begins (regressor retraining)."""

    @model_validator(mode="after")
    def _no_gradient(self) -> "NextPhase":
        if self.layers == "head" and self.norm_ordinality not in (None, NoNormOrdinality()):
            raise ValueError(
                "norm_ordinality would do nothing in a phase that trains the head alone; leave it out"
            )
        return self


class Stage1(Config):
    """Stage 1: train the encoder and the head end to end, with norm ordinality."""

    epochs: PositiveInt = 30
    """Passes over the training split."""
    batch_size: PositiveInt = 256
    """Samples in a step."""
    optimizer: Optimizer = Adam()
    """Optimizer of the weights."""
    decay: LRDecay = Cosine()
    """How the learning rate falls over the epochs."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the epochs in which the rate rises from 0."""
    loss: Loss = L1()
    """Base loss, on the standardised label."""
    weighting: Weighting = Unweighted()
    """Sample weights, mean 1 over the training split."""
    target_transform: Literal["standard", "log"] = "standard"
    """What the model predicts: the standardised label, or the standardised log of it."""
    norm_ordinality: NormOrdinality = KL()
    """The regulariser that makes norms rise with the label."""
    select: Selection = "last"
    """Which epoch is handed on: the last, or the best by a validation metric (of the last phase)."""
    then: tuple[NextPhase, ...] = ()
    """Further phases."""


# ---- stage 2 (METHOD section 3)


class Fit(Config):
    """The closed-form fit of norm on label over the majority bins."""

    weighted: bool = False
    """Weigh each bin by its training count."""
    ridge: NonNegativeFloat = 0.0
    """Ridge penalty on the slope, added to the (weighted) variance of the standardised labels."""
    curve: Literal["line", "exponential"] = "line"
    """A line, or an exponential curve (the line is fitted on log F)."""


class Schedule(Config):
    """Schedule of the fine-tune."""

    epochs: NonNegativeInt = 10
    """Passes over the training split; 0 returns stage 1 bit for bit."""
    lr: PositiveFloat = 1.0e-4
    """Peak learning rate; the optimizer is the kind that stage 1 ended with."""
    decay: LRDecay = Cosine()
    """How the learning rate falls."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the epochs in which the rate rises from 0."""


class Stage2(Config):
    """Stage 2: fit label to norm on the majority bins, fine-tune toward the extended line."""

    majority_threshold: NonNegativeInt = 100
    """theta: the fit uses bins with more training samples than this; it never moves the shots."""
    fit: Fit = Fit()
    """How the majority line is fitted."""
    norm_weight: NonNegativeFloat = 1.0
    """mu, the weight of the norm term; 0 is the control that only fine-tunes."""
    reduction: Literal["mean", "sum"] = "mean"
    """Whether the norm term is averaged or summed over the bins in the batch."""
    schedule: Schedule = Schedule()
    """Epochs and learning rate."""
    layers: Literal["all", "last_block"] = "all"
    """Trained layers: all, or the encoder's last block and the head."""
    freeze_batch_norm: bool | None = None
    """Keep batch norm's statistics and weights as stage 1 left them; null: wherever there is batch norm."""
    sampling: Literal["balanced", "natural"] = "balanced"
    """Draw samples so that every bin comes up equally often, or as they come."""
    select: Selection = "last"
    """Which epoch is handed on: the last, or the best by a validation metric."""


# ---- the trial


class TrialConfig(Config):
    """One trial: both stages on one dataset with one seed."""

    dataset: DatasetConfig = Diamonds()
    """The data, its bins and shots."""
    encoder: MLP = MLP()
    """What turns an input into the feature z."""
    stage1: Stage1 = Stage1()
    """Regularised pretraining."""
    stage2: Stage2 | None = Stage2()
    """Majority-shot fit and fine-tune; null leaves it out."""
    seed: NonNegativeInt = 0
    """Decides the initial weights, the order of samples and every other draw."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the trial trains."""
    precision: Literal["float32", "bf16"] = "float32"
    """Number format of the forward pass; norms and losses are always float32."""
    threads: PositiveInt = 1
    """CPU threads of a trial; part of the config because it can change the numbers."""

    @model_validator(mode="before")
    @classmethod
    def _named_dataset(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("dataset"), str):
            return {**data, "dataset": {"name": data["dataset"]}}
        return data

    @model_validator(mode="after")
    def _no_dead_knob(self) -> "TrialConfig":
        frozen = None if self.stage2 is None else self.stage2.freeze_batch_norm
        if frozen is not None and not self.encoder.batch_norm:
            raise ValueError(
                "stage2.freeze_batch_norm is set, but the encoder has no batch norm; leave it out"
            )
        return self

    def with_overrides(self, values: dict[str, Any]) -> "TrialConfig":
        """This config with `values` set by dotted name ("stage1.epochs"), validated as a whole.

        A value for `X.name` that picks another variant drops the fields of the old one.
        Raises pydantic's ValidationError (a ValueError) that names every refused key.
        """
        return TrialConfig.model_validate(merged(self.model_dump(mode="json"), values))

    def plain(self) -> "TrialConfig":
        """Control 1 (METHOD section 6): beta = 0 in every phase and no stage 2."""
        off = NoNormOrdinality()
        then = tuple(phase.model_copy(update={"norm_ordinality": None}) for phase in self.stage1.then)
        stage1 = self.stage1.model_copy(update={"norm_ordinality": off, "then": then})
        return TrialConfig.model_validate(
            self.model_copy(update={"stage1": stage1, "stage2": None}).model_dump(mode="json")
        )

    def without_norm_term(self) -> "TrialConfig":
        """Control 2 (METHOD section 6): the same stage 2 with mu = 0."""
        return self if self.stage2 is None else self.with_overrides({"stage2.norm_weight": 0.0})


def merged(tree: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """A copy of the nested `tree` with `values` set by dotted name; `X.name` before other keys of X."""
    result = _copied(tree)
    for name, value in sorted(values.items(), key=lambda item: (not item[0].endswith(".name"), item[0])):
        *way, last = name.split(".")
        _place(result, way, last, value)
    return result


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(item) for item in value]
    return value


def _place(tree: Any, way: list[str], last: str, value: Any) -> None:
    """Set one value; a missing branch is made, so that validation names the unknown key."""
    for step in way:
        if isinstance(tree, list) and step.isdigit() and int(step) < len(tree):
            tree = tree[int(step)]
            continue
        if not isinstance(tree, dict):
            name = ".".join([*way, last])
            raise ValueError(f"cannot set '{name}': there is no '{step}' yet; give the whole list instead")
        if not isinstance(tree.get(step), dict | list):
            tree[step] = {}
        tree = tree[step]
    if not isinstance(tree, dict):
        raise ValueError(f"cannot set '{'.'.join([*way, last])}': '{last}' must be a place in a list")
    if last == "name" and tree.get("name") != value:
        tree.clear()
    tree[last] = value
