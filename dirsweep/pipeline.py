"""One trial, both stages: without Ray, Optuna or MLflow.

`run_trial` is the diagram: data, stage 1, norms per bin, majority line, stage 2, result. On a CPU
the same config and seed give the same numbers, twice and when stopped and resumed at any epoch. Where several
processes train a trial each of them calls it; the first one writes the folder, and hands on what comes out.
"""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from dirsweep import data, device, models, stage1, stage2
from dirsweep.checkpoint import Journal, Stopped, Store, claim, clear, read_records, unpack
from dirsweep.config import BalancedMSE, TrialConfig, explain, settings
from dirsweep.data import Dataset, Inputs
from dirsweep.data.target import TargetUnit, target_unit
from dirsweep.group import ALONE, Group
from dirsweep.loop import Trial, restore_model, rows_of, train
from dirsweep.profile import Profile
from dirsweep.result import Measured, finish, keep_measured, measure, read_measured
from dirsweep.reuse import MEASURED, deposit, shared_stage1
from dirsweep.shots import check_threshold
from dirsweep.storage import Folder, Record
from dirsweep.trial_folder import claim_folder, naming_damaged, read_json
from dirsweep.trouble import OutOfMemory, naming_trouble

__all__ = ["ALONE", "OutOfMemory", "Stopped", "check", "predict", "predict_encoded", "run_trial", "set_up"]


def run_trial(
    config: TrialConfig,
    folder: Folder,
    emit: Callable[[Record], None],
    *,
    emitted: int = 0,
    should_stop: Callable[[], bool] = lambda: False,
    store: Store | None = None,
    gpu_share: float = 1.0,
    profile: Profile | None = None,
    group: Group = ALONE,
) -> dict[str, float]:
    """Train one trial in `folder`, or go on with it; returns its metrics by name ("val/few/mae").

    Args:
        config: the trial.
        folder: the trial's own; it holds config.json, records.jsonl (one record an epoch), bins.csv,
            val_predictions.csv, metrics.json, model.safetensors and, while it runs, checkpoints.
        emit: is handed each epoch's record once the record is kept.
        emitted: records up to this epoch were handed on by an earlier attempt.
        should_stop: looked at once a second at most; when true, the state is saved and Stopped raised.
        store: stage 1s of other trials to go on from, and to add this one's to.
        gpu_share: its part of a GPU that it shares with others, and so of the memory.
        profile: is told where the time goes.
        group: the processes that train it together, `config.processes` of them.

    Raises ValueError for what cannot be trained (a threshold that leaves no line, a folder of another
    trial), FloatingPointError when training diverges, OutOfMemory where its part of a GPU has too
    little, MemoryError where the machine has, Stopped, and Superseded when a later attempt has begun.
    """
    _check_processes(config, group)
    dataset = data.load(config.dataset)
    check(config, dataset)
    device.check(config, group.size)
    group.first(lambda: claim_folder(config, dataset, folder))
    if group.agreed(folder.exists("metrics.json")):
        return group.first(lambda: _finished(folder, emit, emitted))
    # before it waits for others: whoever trains this trial still writes no more
    attempt = claim(folder) if group.leads else 0
    with naming_trouble(config, gpu_share):
        shared = shared_stage1(config, dataset, folder, attempt, store, should_stop)
        with shared if group.leads else nullcontext():
            attempt = group.told(attempt)  # the others wait here until the first has forked, or has the lease
            journal = Journal(folder, attempt, emit, emitted, should_stop, group)
            trial = set_up(config, dataset, journal, gpu_share, profile, group)
            before = after = _pretrain(trial, store)
        line = None
        if config.stage2 is not None:
            line = stage2.majority_line(trial, config.stage2, before.norms)
            last = settings(config.stage1)[-1].main
            stage2.warn_of_doubt(trial, config.stage2, line)
            fine_tune = stage2.phase(trial, config.stage2, last, line, config.stage1.total_epochs)
            after = measure(trial, train(trial, fine_tune).epoch) if fine_tune.epochs else before
        with trial.part("report"):
            return finish(trial, before, line, after)


def _check_processes(config: TrialConfig, group: Group) -> None:
    if config.processes != group.size:
        raise ValueError(
            f"the trial wants {config.processes} processes (its knob `processes`), but {group.size} of them "
            f"began it; start as many: torchrun --nproc-per-node {config.processes} -m dirsweep train ..."
        )


def check(config: TrialConfig, dataset: Dataset) -> None:
    """Refuse, before anything is trained, what the data or the encoder's files cannot serve. ValueError."""
    models.check(config.encoder, dataset.train.inputs)
    if config.stage2 is not None:
        check_threshold(dataset.shots.counts, config.stage2.majority_threshold)
    target_unit(config.stage1.target_transform, dataset.train.label)
    _check_integral(config, dataset)
    stages = {"stage1": config.stage1, "stage2": config.stage2}
    for name, stage in stages.items():
        if stage is not None and stage.select != "last":
            shot = stage.select.split("/")[1]
            if not dataset.shots.masks[shot][dataset.val.bin].any():
                raise ValueError(f"{name}.select is {stage.select}, but val has no {shot}-shot samples")


def _check_integral(config: TrialConfig, dataset: Dataset) -> None:
    """Balanced MSE over bins asks for the logarithm of their centres where the target is one."""
    losses = [setting.main.loss for setting in settings(config.stage1)]
    over_bins = any(isinstance(loss, BalancedMSE) and loss.integral == "bni" for loss in losses)
    low = dataset.shots.bins.centres[dataset.shots.counts > 0].min()
    if over_bins and config.stage1.target_transform == "log" and low <= 0:
        raise ValueError(
            "loss balanced_mse with integral bni and target_transform log needs bin centres above 0, but "
            f"one is {low:g}; cut the bins otherwise, or choose integral bmc"
        )


def set_up(
    config: TrialConfig,
    dataset: Dataset,
    journal: Journal,
    gpu_share: float,
    profile: Profile | None = None,
    group: Group = ALONE,
) -> Trial:
    """Model and label unit, with the weights of the last checkpoint if there is one."""
    device.set_up(config, gpu_share)
    unit = target_unit(config.stage1.target_transform, dataset.train.label)
    rows = rows_of(config, dataset, gpu_share)
    model = models.build(config.encoder, rows[dataset.train], config.seed)
    if config.batch_norm_over == "synchronised":
        models.globally(model, group)
    epochs = config.stage1.total_epochs + (config.stage2.schedule.epochs if config.stage2 else 0)
    model = models.placed(model, config.device)
    trial = Trial(config, dataset, unit, model, journal, epochs, rows, group=group, profile=profile)
    restore_model(trial)
    return trial


def _pretrain(trial: Trial, store: Store | None) -> Measured:
    """Train the phases of stage 1 that the checkpoint has not passed, and measure what they hand on."""
    folder = trial.journal.folder
    chain = settings(trial.config.stage1)
    stages = [setting.stage for setting in chain]
    begun = trial.journal.stage
    if begun == "stage2":
        return read_measured(folder, MEASURED)
    first = 0
    for number, setting in enumerate(chain):
        if begun is None or number >= stages.index(begun):
            if setting.reset_head and setting.stage != begun:
                models.reset_head(trial.model, trial.config.seed, setting.stage)
            ended = train(trial, stage1.phase(trial, setting, first, last=setting is chain[-1]))
        first += setting.main.epochs
    saved, group = trial.journal.checkpoint, trial.group
    if saved is not None and saved.epoch >= first and group.agreed(folder.exists(MEASURED)):
        measured = read_measured(folder, MEASURED)  # of the very weights that the checkpoint holds
    else:
        measured = measure(trial, ended.epoch)
        if group.leads:
            trial.journal.check_current()
            keep_measured(folder, MEASURED, measured)
    if store is not None and group.leads:
        with trial.part("checkpoint"):
            deposit(trial, store, ended.tensors, ended.notes)
    return measured


def _finished(folder: Folder, emit: Callable[[Record], None], emitted: int) -> dict[str, float]:
    """Hand on what an earlier attempt finished."""
    for record in read_records(folder):
        if record["epoch"] > emitted:
            emit(record)
    clear(folder)  # it may have died just before it did so itself
    return read_json(folder, "metrics.json")


def predict(folder: Folder, frame: pd.DataFrame, images: Path = Path()) -> NDArray[np.float64]:
    """Predictions (N,) in label units for the (N,) rows of a table, by a finished trial's model.

    Names of images in the table start at the folder `images`. Raises ValueError if the trial is not finished,
    a column is missing or an image cannot be read.
    """
    if not folder.exists("metrics.json"):
        raise ValueError(f"{folder}: no finished trial (it has no metrics.json)")
    try:
        config = TrialConfig.model_validate(read_json(folder, "config.json"))
    except ValidationError as error:
        raise ValueError(explain(error, f"{folder}/config.json")) from None
    with naming_damaged(folder, "inputs.json"):
        encoding = data.read_encoding(read_json(folder, "inputs.json")["encoding"], images)
    return predict_encoded(folder, config, encoding.encode(frame))


def predict_encoded(folder: Folder, config: TrialConfig, inputs: Inputs) -> NDArray[np.float64]:
    """Predictions (N,) in label units for N encoded inputs, by the finished trial of `config`."""
    kept = read_json(folder, "inputs.json")
    encoder = models.trained(config.encoder)
    if kept.get("encoder") != models.identity(encoder):
        raise ValueError(
            f"{folder}: what encoder {encoder.name} reads (its model, word vectors or code) is not what "
            "it was when the trial was trained; put it back, or train the trial again in another folder"
        )
    with naming_damaged(folder, "inputs.json"):
        unit = TargetUnit(**kept["unit"])
    rows = models.prepare(encoder, inputs)
    model = models.build(encoder, rows, config.seed)
    with naming_damaged(folder, "model.safetensors"):
        weights, _ = unpack(folder.read("model.safetensors"))
        model.load_state_dict(weights)
    model.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16"):
        parts = models.split(rows, model.encoder.evaluation_batch)
        prediction = torch.cat([model(part)[1] for part in parts])
    return unit.to_label(prediction.double().numpy())
