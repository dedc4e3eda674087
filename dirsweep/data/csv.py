"""Any table with a numeric target: a CSV file, its columns and its split as `config.Csv` says.

Columns that hold text are categories, the others numbers. A column of numbers with some text in between is
refused, unless it is said to hold categories: one stray cell would make a category of each number.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dirsweep.config import Csv
from dirsweep.data.dataset import Dataset, Source, Unsealed, assemble, by_rows, unseal
from dirsweep.data.encoding import TableEncoding
from dirsweep.data.labelled import Samples, identity, naming, read_samples
from dirsweep.data.split import TEST
from dirsweep.data.table import holds_text, stray_text


def load(config: Csv) -> Dataset:
    """The dataset that `config` describes.

    Raises:
        ValueError: something is wrong with the file or does not fit it; names file, column and row.
    """
    with naming(config.path):
        return assemble(_source(config, read_samples(config, sealed=True)))


def open_rows(config: Csv, dataset: Dataset) -> Unsealed:
    """The test rows, encoded as `dataset` has it. ValueError as for `load`."""
    with naming(config.path):
        return unseal(_source(config, read_samples(config, sealed=False)), dataset)


def _source(config: Csv, samples: Samples) -> Source:
    no_input = {config.target, config.split_column, config.group_column, *config.ignore}
    inputs = samples.table[[name for name in samples.table.columns if name not in no_input]]
    return Source(
        name=Path(config.path).stem,
        target=config.target,
        inputs=inputs,
        label=samples.label,
        side=samples.side,
        group=samples.group,
        fit=lambda training: TableEncoding.fit(training, _categories(config, inputs, samples.side != TEST)),
        encode=by_rows,
        identity=identity(config, samples),
        bins=samples.bins,
        many_above=config.many_above,
        few_below=config.few_below,
    )


def _categories(config: Csv, inputs: pd.DataFrame, shown: NDArray[np.bool_]) -> set[str]:
    """The columns to one-hot encode. ValueError that names one of numbers in which some text has strayed.

    Args:
        inputs: N rows.
        shown: (N,) which of them are no test rows.
    """
    others = [name for name in inputs if name not in config.categorical]
    for name in others:
        stray = stray_text(inputs[name], shown)
        if stray:
            raise ValueError(
                f"column {name!r} holds numbers, but text in {stray}; correct or empty such cells, or name "
                "the column in `categorical` or `ignore`"
            )
    return {*config.categorical, *(name for name in others if holds_text(inputs[name]))}
