"""No method lets a step wait for the GPU, looked at where there is none: on tensors that hold nothing.

What needs a value on the CPU (`.item()`, a branch, rows picked by a mask) PyTorch cannot do with them, and
copies between the two are caught. The way back through the gradients is for a GPU to show (`test_gpu`).
"""

from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import (  # PyTorch's own name for them; there is no other
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dirsweep.config import (
    FDS,
    KL,
    L1,
    MSE,
    NIG,
    VIR,
    BalancedMSE,
    ConR,
    CropFlip,
    DistLoss,
    FeatureMethod,
    FocalR,
    Hinge,
    Huber,
    Isotonic,
    Loss,
    NoFeatureMethod,
    NoLoss,
    NoNormOrdinality,
    NormOrdinality,
    OrdinalEntropy,
    Rank,
    RankNContrast,
    RankSim,
)
from dirsweep.methods import Batch, Labels, base_loss, feature_term, fixed_shape
from dirsweep.methods.balanced_mse import Mixture
from dirsweep.methods.dist_loss import density
from dirsweep.methods.fds import FeatureStatistics, Gathered
from dirsweep.methods.majority_fit import norm_term
from dirsweep.methods.norm_ordinality import RunningNorms, feature_norm, norm_ordinality
from dirsweep.methods.ordinal_entropy import ordinal_entropy
from dirsweep.methods.vir import PosteriorStatistics, divergence, variance
from dirsweep.models import many_crops
from dirsweep.models.on_images import Augment, Scale

BATCH, FEATURES, BINS = 12, 5, 7


class Waited(AssertionError):
    """Something was copied between the CPU and the GPU."""


class Copies(TorchDispatchMode):
    """Refuses operations that take values to the GPU or from it; a single one may come along from the CPU."""

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = operation(*args, **(kwargs or {}))
        copies = operation.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.copy_)
        tensors = [part for part in tree_leaves((args, kwargs, found)) if isinstance(part, Tensor)]
        if len({part.device.type for part in tensors if copies or part.dim()}) > 1:
            raise Waited(f"{operation} has tensors on both")
        return found


@pytest.fixture
def watched() -> Iterator[None]:
    """Tensors that hold nothing, and none of them kept for later."""
    fixed_shape._places.cache_clear()
    with FakeTensorMode(), Copies():
        yield
    fixed_shape._places.cache_clear()


def on_gpu(*shape: int, gradient: bool = False, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, device="cuda", dtype=dtype, requires_grad=gradient)


def batch() -> Batch:
    z = on_gpu(BATCH, FEATURES, gradient=True)
    one = on_gpu(BATCH)
    return Batch(z, z.sum(1), one, one.clone(), on_gpu(BATCH, dtype=torch.int64), z)


def labels() -> Labels:
    return Labels(
        on_gpu(BINS), on_gpu(BINS), Mixture(on_gpu(3), on_gpu(3), on_gpu(3)), density(np.arange(9.0), 0.5)
    )


LOSSES = [
    L1(),
    MSE(),
    Huber(),
    *(FocalR(error=error, gate=gate) for error in ("l1", "mse") for gate in ("sigmoid", "tanh")),
    *(BalancedMSE(integral=integral, sigma_lr=lr) for integral in ("bmc", "bni", "gai") for lr in (0.0, 0.1)),
    NIG(),
]


def of_loss(config: Any) -> Tensor:
    own = {"evidence.weight": on_gpu(2, FEATURES), "evidence.bias": on_gpu(2)}
    if getattr(config, "sigma_lr", 0.0) > 0:
        own["sigma"] = on_gpu(gradient=True)
    return base_loss(config, batch(), labels(), own)


FEATURE_TERMS = [
    RankSim(),
    OrdinalEntropy(),
    RankNContrast(),
    ConR(),
    ConR(reference=True),
]


KINDS = [KL(), KL(direction="free"), Hinge(), Rank(direction="decreasing"), Isotonic()]


def of_norms(config: Any, running: bool) -> Tensor:
    kept = RunningNorms.empty(BINS, "cuda")
    given = batch()
    found = norm_ordinality(config, feature_norm(given.z), given.bin, on_gpu(BINS), kept if running else None)
    kept.update(feature_norm(given.z), given.bin, 0.9)
    return found


def of_entropy() -> Tensor:
    given = batch()
    return ordinal_entropy(given.z, given.bin, on_gpu(BINS))


def of_fds() -> Tensor:
    given, kept = batch(), FeatureStatistics.empty(BINS, FEATURES, "cuda")
    gathered = Gathered.empty(BINS, FEATURES, "cuda")
    gathered.add(given.z.detach(), given.bin)
    kept.update(given.z.detach(), given.bin, 0.9)
    kept.take_in(gathered, 0.9)
    kept.freeze(np.ones(3), with_empty=False)
    return kept.move(given.z, given.bin, 0.1, 10.0)


def of_vir() -> Tensor:
    given, kept = batch(), PosteriorStatistics.empty(BINS, FEATURES, "cuda")
    wide = variance(given.z, on_gpu(FEATURES, FEATURES), on_gpu(FEATURES), 0.1)
    kept.update(given.z.detach(), wide.detach(), given.bin, 0.9, np.ones(3))
    return divergence(*kept.move(given.z, wide, given.bin))


def of_line() -> Tensor:
    """Stage 2's norm term."""
    given = batch()
    return norm_term(feature_norm(given.z), given.bin, on_gpu(BINS), 0.7, "mean")


def of_images() -> Tensor:
    scale = Scale((0.5,) * 3, (0.5,) * 3)
    scale.mean, scale.std = on_gpu(3, 1, 1), on_gpu(3, 1, 1)
    found: Tensor = scale(Augment(CropFlip()).train()(on_gpu(BATCH, 3, 16, 16, dtype=torch.uint8)))
    return found


def of_crops() -> Tensor:
    """Without the draws, of which one is the CPU's."""
    names = {field.name for field in fields(many_crops.Draws)} - {"order"}
    yes_or_no = {name: on_gpu(BATCH, dtype=torch.bool) for name in ("flip", "jitter", "grey")}
    draws = {name: on_gpu(BATCH) for name in names} | yes_or_no
    pixels = on_gpu(BATCH, 3, 16, 16, dtype=torch.uint8)
    return many_crops.changed(pixels, many_crops.Draws(**draws, order=(2, 0, 3, 1)))


CASES: dict[str, Callable[[], Tensor]] = {
    **{repr(config): lambda config=config: of_loss(config) for config in LOSSES},
    **{
        repr(config): lambda config=config: feature_term(config, batch(), on_gpu(BINS))
        for config in FEATURE_TERMS
    },
    **{
        f"{config!r}, {'running' if running else 'batch'}": lambda config=config, running=running: of_norms(
            config, running
        )
        for config in KINDS
        for running in (True, False)
    },
    "ordinal entropy": of_entropy,
    "FDS": of_fds,
    "VIR": of_vir,
    "the majority line": of_line,
    "crop and flip": of_images,
    "resized crop": of_crops,
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.usefixtures("watched")
def test_no_method_waits_for_the_gpu(case):
    assert case().device.type == "cuda"


def test_no_method_is_left_out():
    """Dist Loss waits; FDS and VIR have cases of their own."""
    losses, features, kinds = ({type(one) for one in cases} for cases in (LOSSES, FEATURE_TERMS, KINDS))
    assert losses == members(Loss) - {NoLoss, DistLoss}
    assert features == members(FeatureMethod) - {NoFeatureMethod, FDS, VIR}
    assert kinds == members(NormOrdinality) - {NoNormOrdinality}


def members(union: Any) -> set[Any]:
    """The classes of a union that is told apart by a field."""
    return set(get_args(get_args(union)[0]))


@pytest.mark.parametrize(
    "waits",
    [
        lambda values: values.sum().item(),
        lambda values: values[values > 0],
        lambda values: values.sum().cpu(),
        lambda values: values + torch.as_tensor(1.0, device="cuda"),
        lambda values: values[torch.tensor([1, 0])],
        lambda values: of_loss(DistLoss()),
    ],
    ids=[
        "a value",
        "a mask",
        "to the CPU",
        "to the GPU",
        "places on the CPU",
        "Dist Loss, whose solver runs on the CPU",
    ],
)
@pytest.mark.usefixtures("watched")
def test_what_waits_is_noticed(waits):
    with pytest.raises((DataDependentOutputException, DynamicOutputShapeException, Waited)):
        waits(on_gpu(2))
