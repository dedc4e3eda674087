"""Read a finished trial's folder, for its pictures."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dirsweep.config import NoNormOrdinality, TrialConfig, settings
from dirsweep.shots import Floats
from dirsweep.storage import Folder, Record
from dirsweep.tables import BINS, PREDICTIONS, parse

FINISHED = "metrics.json"


def shortened(text: str, most: int) -> str:
    """Text that is too long for an axis is cut."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


@dataclass(frozen=True)
class Finished:
    """A finished trial.

    target: name of the label.
    bins: a row per bin, as `bins.csv` has it.
    predictions: a row per sample of val.
    records: one per epoch, in order.
    metrics: the final ones by name; NaN where a shot is empty.
    """

    config: TrialConfig
    target: str
    bins: pd.DataFrame
    predictions: pd.DataFrame
    records: list[Record]
    metrics: dict[str, float]

    @property
    def unit(self) -> str:
        """The unit of labels and of errors, for text."""
        return self.config.dataset.label_unit or f"units of {shortened(self.target, 24)}"

    @property
    def label(self) -> str:
        """What the label is, for an axis."""
        target, unit = shortened(self.target, 40), self.config.dataset.label_unit
        return f"{target} ({unit})" if unit else target

    @property
    def log_labels(self) -> bool:
        """Whether bins widen so much with the label that only a logarithmic axis shows them all."""
        widths, centres = self.bins["high"] - self.bins["low"], self.bins["centre"]
        wide = widths.max() > 10 * widths.min() and centres.max() > 100 * centres.min()
        return bool(centres.min() > 0 and wide)

    @property
    def fitted(self) -> Floats | None:
        """(K,) the majority fit at the bins' centres, before its floor; None without a stage 2."""
        if self.config.stage2 is None:
            return None
        line = self.metrics["fit/slope"] * self.bins["centre"].to_numpy() + self.metrics["fit/intercept"]
        return np.exp(line) if self.config.stage2.fit.curve == "exponential" else line


def read_finished(folder: Folder) -> Finished:
    """What a finished trial left. ValueError that names the folder or the damaged file, and what to do."""
    from dirsweep.checkpoint import RECORDS, read_records  # loads PyTorch, which the palette needs not

    if not folder.exists(FINISHED):
        raise ValueError(
            f"{folder}: no finished trial (it has no {FINISHED}), so there is nothing to draw; "
            "let it finish first"
        )
    with _whole(folder, "config.json") as content:
        config = TrialConfig.model_validate(json.loads(content))
    with _whole(folder, FINISHED) as content:
        metrics = {name: float(value) for name, value in json.loads(content).items()}
        wanted = ["epoch", "epochs", *(("fit/slope", "fit/intercept") if config.stage2 else ())]
        _require(wanted, [name for name in metrics if math.isfinite(metrics[name])])
    with _whole(folder, "inputs.json") as content:
        target = str(json.loads(content)["target"])
    with _whole(folder, BINS) as content:
        bins = parse(content, BINS)
    with _whole(folder, PREDICTIONS) as content:
        predictions = parse(content, PREDICTIONS, metrics.get("val/all/count"))
    with _explained(folder, RECORDS, is_there=folder.has_records(RECORDS)):
        records = read_records(folder)
        _require(range(1, int(metrics["epochs"]) + 1), {record["epoch"]: record for record in records})
    return Finished(config, target, bins, predictions, records, metrics)


@contextmanager
def _whole(folder: Folder, name: str) -> Iterator[bytes]:
    """The content of a file that is read inside the block."""
    with _explained(folder, name, is_there=folder.exists(name)):
        yield folder.read(name)


@contextmanager
def _explained(folder: Folder, name: str, *, is_there: bool) -> Iterator[None]:
    """ValueError that names the file if it is missing; what goes wrong in the block means it is damaged."""
    again = "restore it from a copy, or train the trial again in another folder"
    if not is_there:
        raise ValueError(f"{folder}/{name}: the file is missing; {again}")
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{folder}/{name}: the file is damaged ({said}); {again}") from None


def _require(wanted: Any, found: Any) -> None:
    missing = [str(name) for name in wanted if name not in found]
    if missing:
        raise ValueError(f"without {', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}")


def in_words(config: TrialConfig) -> str:
    """What a trial is made of, as far as the two stages go."""
    acting = [
        setting.main.norm_ordinality
        for setting in settings(config.stage1)
        if not isinstance(setting.main.norm_ordinality, NoNormOrdinality)
    ]
    kinds = dict.fromkeys(f"{one.name}, beta = {one.weight:.3g}" for one in acting if one.weight > 0)
    first = (
        f"stage 1 with norm ordinality ({'; '.join(kinds)})" if kinds else "stage 1 without norm ordinality"
    )
    if config.stage2 is None:
        return f"{first}; no stage 2"
    if config.stage2.norm_weight == 0:
        return f"{first}; stage 2 without its norm term (mu = 0)"
    return f"{first}; stage 2 with its norm term (mu = {config.stage2.norm_weight:.3g})"
