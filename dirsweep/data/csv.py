"""Any table with a numeric target: a CSV file, its columns and its split as `config.Csv` says.

Columns that hold text are categories, the others numbers.
"""

from pathlib import Path

from dirsweep.config import Csv
from dirsweep.data.dataset import Dataset, Source, Unsealed, assemble, by_rows, unseal
from dirsweep.data.encoding import TableEncoding
from dirsweep.data.labelled import Samples, identity, naming, read_samples
from dirsweep.data.table import holds_text


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
        return unseal(_source(config, read_samples(config, sealed=False)), dataset.encoding)


def _source(config: Csv, samples: Samples) -> Source:
    no_input = {config.target, config.split_column, config.group_column, *config.ignore}
    inputs = samples.table[[name for name in samples.table.columns if name not in no_input]]
    categorical = {name for name in inputs if name in config.categorical or holds_text(inputs[name])}
    return Source(
        name=Path(config.path).stem,
        target=config.target,
        inputs=inputs,
        label=samples.label,
        side=samples.side,
        group=samples.group,
        fit=lambda training: TableEncoding.fit(training, categorical),
        encode=by_rows,
        identity=identity(config, samples),
        bins=samples.bins,
        many_above=config.many_above,
        few_below=config.few_below,
    )
