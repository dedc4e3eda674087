"""Stage 1: regularised pretraining, L = L_base + beta * (L_ord + alpha * L_oe) (METHOD section 2).

A list of phases: the main one, then those of `stage1.then`, each saying only what it changes.
"""

import hashlib
import json
import platform
import struct
from collections.abc import Callable
from importlib.metadata import version

import torch
from torch import Tensor

from dirsweep import METHOD_VERSION, models
from dirsweep.config import (
    BalancedMSE,
    ConR,
    DistLoss,
    FeatureMethod,
    NoFeatureMethod,
    NoNormOrdinality,
    NormOrdinality,
    OrdinalEntropy,
    PrototypesEMA,
    RankNContrast,
    RankSim,
    Setting,
    Stage1,
    TrialConfig,
    as_before,
    settings,
)
from dirsweep.data import Dataset
from dirsweep.loop import Phase, Term, Trial, part_size, rate, smoothing, steps
from dirsweep.methods import Batch, feature_term
from dirsweep.methods.norm_ordinality import RunningNorms, feature_norm, norm_ordinality
from dirsweep.methods.ordinal_entropy import ordinal_entropy
from dirsweep.models import Rows


def phase(trial: Trial, setting: Setting, first: int, *, last: bool) -> Phase:
    """What `loop.train` needs for one phase that begins after `first` epochs of the trial.

    Only the `last` phase of the stage hands on a selected epoch; the others hand on their last.
    """
    main = setting.main
    feature = _feature_method(setting)
    smooth = smoothing(trial, setting.stage, feature)
    term, after_step, memory = _terms(trial, _acting(setting), smooth.term or _shaping(trial, feature))
    return Phase(
        stage=setting.stage,
        first=first,
        epochs=main.epochs,
        batch_size=main.batch_size,
        part=part_size(main.batch_size * feature.views, main.accumulate, trial.group.size),
        optimizer=main.optimizer,
        decay=main.decay,
        warmup=main.warmup,
        loss=main.loss,
        weighting=main.weighting,
        layers=setting.layers,
        views=feature.views,
        select=main.select if last else "last",
        term=term,
        after_step=(*after_step, *smooth.after_step),
        shift=smooth.shift,
        after_epoch=smooth.after_epoch,
        memory=memory | smooth.memory,
        own=smooth.own,
    )


def _acting(setting: Setting) -> NormOrdinality:
    """The norm-ordinality term of a phase: none at weight 0, and none where the encoder is frozen."""
    config = setting.main.norm_ordinality
    dead = setting.layers == "head" or isinstance(config, NoNormOrdinality) or config.weight == 0
    return NoNormOrdinality() if dead else config


def _feature_method(setting: Setting) -> FeatureMethod:
    """The feature method of a phase: none where the encoder is frozen."""
    return NoFeatureMethod() if setting.layers == "head" else setting.main.feature_method


def _terms(
    trial: Trial, ordinality: NormOrdinality, shaping: Term | None
) -> tuple[Term | None, tuple[Callable[[Batch], None], ...], dict[str, Tensor]]:
    """What a phase adds to its loss, updates after a step, and tensors that live on."""
    regulariser, after_step, memory = _regulariser(trial, ordinality)
    if regulariser is None or shaping is None:
        return regulariser or shaping, after_step, memory

    def both(batch: Batch, inputs: Rows) -> Tensor:
        return regulariser(batch, inputs) + shaping(batch, inputs)

    return both, after_step, memory


def _shaping(trial: Trial, config: FeatureMethod) -> Term | None:
    """The term of the feature method."""
    if not isinstance(config, RankSim | OrdinalEntropy | ConR | RankNContrast):
        return None
    shots, device = trial.dataset.shots, trial.config.device
    centres = torch.as_tensor(shots.bins.centres, dtype=torch.float32, device=device)

    def term(batch: Batch, inputs: Rows) -> Tensor:
        return feature_term(config, batch, centres)

    return term


def _regulariser(
    trial: Trial, config: NormOrdinality
) -> tuple[Term | None, tuple[Callable[[Batch], None], ...], dict[str, Tensor]]:
    """beta * (L_ord + alpha * L_oe), its update after a step, and its tensors."""
    if isinstance(config, NoNormOrdinality):
        return None, (), {}
    device = trial.config.device
    centres = torch.as_tensor(trial.dataset.shots.bins.centres, dtype=torch.float32, device=device)
    momentum = config.prototypes.momentum if isinstance(config.prototypes, PrototypesEMA) else None
    running = None if momentum is None else RunningNorms.empty(len(centres), device)

    def term(batch: Batch, inputs: Rows) -> Tensor:
        total = norm_ordinality(config, feature_norm(batch.z), batch.bin, centres, running)
        if config.ordinal_entropy > 0:
            total = total + config.ordinal_entropy * ordinal_entropy(batch.z, batch.bin, centres)
        return config.weight * total

    if running is None or momentum is None:
        return term, (), {}

    def after_step(batch: Batch) -> None:
        running.update(feature_norm(batch.z.detach()), batch.bin, momentum)

    return term, (after_step,), {"mean": running.mean, "seen": running.seen}


def keys(config: TrialConfig, dataset: Dataset) -> list[str]:
    """What decides the state after each epoch of stage 1, as a hash per epoch.

    Two trials agree in a key exactly if they are in the same state then: same data, model, seed, kind
    of device and versions, same phases so far and the same learning rate in each step so far. So a
    longer stage 1 finds a shorter one if its schedule agrees as far as that goes. Nothing of stage 2
    is in it.
    """
    digest = hashlib.sha256(json.dumps(_surroundings(config, dataset), sort_keys=True).encode())
    chain, found = settings(config.stage1), []
    for setting in chain:
        digest.update(json.dumps(_deciding(setting, last=setting is chain[-1]), sort_keys=True).encode())
        main = setting.main
        size = steps(len(dataset.train.label), main.batch_size)
        for epoch in range(main.epochs):
            rates = [
                rate(main.optimizer.lr, main.decay, main.warmup, epoch * size + step, main.epochs * size)
                for step in range(size)
            ]
            digest.update(struct.pack(f"<{size}d", *rates))
            found.append(digest.copy().hexdigest())
    return found


def _surroundings(config: TrialConfig, dataset: Dataset) -> dict[str, object]:
    cpu = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    device = torch.cuda.get_device_name() if config.device == "cuda" else cpu
    return {
        "method_version": METHOD_VERSION,
        "torch": torch.__version__,
        "device": device,
        "processes": config.processes,
        "precision": config.precision,
        "threads": config.threads,
        "seed": config.seed,
        "data": dataset.hash,
        "encoder": models.identity(config.encoder),
        **({"batch_norm": config.batch_norm_over} if config.processes > 1 else {}),
        **({"compiled": True} if config.compiled else {}),
    }


def _solvers(main: Stage1) -> dict[str, object]:
    """Versions of the libraries whose solvers decide a step, where one does."""
    match main.loss:
        case BalancedMSE(integral="gai"):
            return {"scikit-learn": version("scikit-learn")}
        case DistLoss():
            return {"scipy": version("scipy")}
        case _:
            return {}


def _deciding(setting: Setting, *, last: bool) -> dict[str, object]:
    """The settings of a phase that decide its steps, but for the learning rates; they are hashed apart."""
    acting = {"norm_ordinality": _acting(setting), "feature_method": _feature_method(setting)}
    main = setting.main.model_copy(update=acting)
    fields = as_before(main.model_dump(mode="json", exclude={"epochs", "decay", "warmup", "then", "select"}))
    fields["optimizer"].pop("lr")
    return {
        **fields,
        **_solvers(main),
        "stage": setting.stage,
        "layers": setting.layers,
        "reset_head": setting.reset_head,
        "select": main.select if last else "last",
    }
