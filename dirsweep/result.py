"""What the end of a stage measures, and what a finished trial leaves in its folder.

`metrics.json` is written last: a trial with one is finished, and its checkpoints are gone.
"""

import json
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dirsweep import METHOD_VERSION, metrics, models
from dirsweep.checkpoint import clear, pack
from dirsweep.data import Split
from dirsweep.loop import Trial, errors, predict
from dirsweep.methods.majority_fit import MajorityFit
from dirsweep.reuse import reused_seconds
from dirsweep.storage import Folder

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """The model at the end of a stage.

    epoch: the trial's epoch that the stage handed on.
    norms: (K,) F_b, mean feature norm of each bin's training samples; NaN without samples.
    train_mae, val_mae: (K,) per bin, in label units; NaN without samples.
    shots: errors per split and shot ("val/few/mae").
    """

    epoch: int
    norms: Floats
    train_mae: Floats
    val_mae: Floats
    shots: dict[str, float]


def measure(trial: Trial, epoch: int) -> Measured:
    """One pass over train and val in evaluation mode."""
    shots = trial.dataset.shots
    found: dict[str, float] = {}
    maes: dict[str, Floats] = {}
    with trial.part("evaluation"):
        for name, split in (("train", trial.dataset.train), ("val", trial.dataset.val)):
            prediction, norms = predict(trial, split)
            found |= {f"{name}/{key}": value for key, value in errors(trial, split, prediction).items()}
            maes[name] = metrics.per_bin_mae(prediction - split.label, split.bin, len(shots.counts))
            if name == "train":
                bin_norms = _bin_means(norms, split, len(shots.counts))
    return Measured(epoch, bin_norms, maes["train"], maes["val"], found)


def _bin_means(norms: Floats, split: Split, bins: int) -> Floats:
    counts = np.bincount(split.bin, minlength=bins)
    total = np.bincount(split.bin, weights=norms, minlength=bins)
    return np.divide(total, counts, out=np.full(bins, np.nan), where=counts > 0)


def keep_measured(folder: Folder, name: str, measured: Measured) -> None:
    """Write what the end of a stage measured; floats survive the round trip bit for bit."""
    fields = {
        key: value.tolist() if isinstance(value, np.ndarray) else value
        for key, value in asdict(measured).items()
    }
    folder.put(name, json.dumps(fields).encode())


def read_measured(folder: Folder, name: str) -> Measured:
    """What `keep_measured` wrote."""
    fields = json.loads(folder.read(name))
    arrays = {key: np.array(fields[key], dtype=np.float64) for key in ("norms", "train_mae", "val_mae")}
    return Measured(fields["epoch"], shots=fields["shots"], **arrays)


def finish(trial: Trial, before: Measured, line: MajorityFit | None, after: Measured) -> dict[str, float]:
    """Write tables, weights and metrics, remove the checkpoints; returns the metrics, on every process.

    before, after: measured at the end of stage 1 and of the last stage (equal without a stage 2).
    """
    folder, predictions = trial.journal.folder, _predictions(trial)
    found = (
        after.shots
        | {f"stage1/{name}": value for name, value in before.shots.items()}
        | {f"stage1/train/{name}": value for name, value in _ordinality(trial, before, line).items()}
        | {f"train/{name}": value for name, value in _ordinality(trial, after, line).items()}
        | (_fit(trial, line) if line is not None else {})
        | {"epoch": after.epoch, "epochs": trial.epochs, "seconds": trial.journal.seconds}
        | {"reused_seconds": reused_seconds(trial.journal.folder)}
    )
    if not trial.group.leads:
        return found
    left = {
        "bins.csv": _bin_table(trial, before, line, after).to_csv(index=False).encode(),
        "val_predictions.csv": predictions.to_csv(index=False).encode(),
        "inputs.json": json.dumps(_inputs(trial)).encode(),
        "model.safetensors": pack(dict(trial.model.state_dict()), {"method_version": METHOD_VERSION}),
        "metrics.json": json.dumps(found, indent=1).encode(),
    }
    for name, content in left.items():
        trial.journal.check_current()  # each time: on a node that was cut off, a write may hang for long
        folder.put(name, content)
    clear(folder)
    return found


def _ordinality(trial: Trial, measured: Measured, line: MajorityFit | None) -> dict[str, float]:
    predicted, majority = (None, None) if line is None else (line.predicted, line.majority)
    return metrics.ordinality(measured.norms, predicted, majority, trial.dataset.shots)


def _fit(trial: Trial, line: MajorityFit) -> dict[str, float]:
    return {
        "fit/r2": line.r2,
        "fit/rmse": line.rmse,
        "fit/slope": line.slope,
        "fit/intercept": line.intercept,
        "fit/floored": line.floored,
        "fit/reach": line.reach,
        "fit/majority_bins": line.bins,
    }


def _bin_table(trial: Trial, before: Measured, line: MajorityFit | None, after: Measured) -> pd.DataFrame:
    """The method's central picture, a row per bin."""
    shots = trial.dataset.shots
    empty = np.full(len(shots.counts), np.nan)
    return pd.DataFrame(
        {
            "bin": np.arange(len(shots.counts)),
            "low": shots.bins.edges[:-1],
            "high": shots.bins.edges[1:],
            "centre": shots.bins.centres,
            "train_count": shots.counts,
            "shot": shots.names,
            "norm_stage1": before.norms,
            "majority": False if line is None else line.majority,
            "norm_line": empty if line is None else line.predicted,
            "norm_target": empty if line is None else line.targets,
            "norm": after.norms,
            "train_mae_stage1": before.train_mae,
            "train_mae": after.train_mae,
            "val_mae_stage1": before.val_mae,
            "val_mae": after.val_mae,
        }
    )


def _predictions(trial: Trial) -> pd.DataFrame:
    val = trial.dataset.val
    return pd.DataFrame(
        {
            "sample": val.sample,
            "group": val.group,
            "bin": val.bin,
            "shot": trial.dataset.shots.names[val.bin],
            "target": val.label,
            "prediction": predict(trial, val)[0],
        }
    )


def _inputs(trial: Trial) -> dict[str, object]:
    """What `pipeline.predict` needs besides the weights."""
    unit = asdict(trial.unit)
    return {
        "encoding": trial.dataset.encoding.to_json(),
        "encoder": models.identity(models.trained(trial.config.encoder)),
        "unit": unit,
        "target": trial.dataset.target,
    }
