"""The files that `dirsweep init` writes: a dataset, and a search space whose ranges fit its counts."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from dirsweep.storage import Folder

if TYPE_CHECKING:
    from dirsweep.config import Csv
    from dirsweep.data import Dataset

DATASET = """\
# How to read the table; every key: dirsweep params dataset
name: csv
path: {path}  # from the folder of this file
target: {target}
bins: {{name: width, width: {width}}}  # in units of the target
ignore: {ignore}  # columns that are no input
categorical: []  # columns to take as categories although they hold numbers
# group_column: subject  # rows that agree here stay on one side of the split
# split_column: split  # says train, val or test; without it a balanced split is cut
many_above: {many}  # a bin with more training rows is many-shot
few_below: {few}  # a bin with fewer is few-shot
"""

SPACE = """\
# Every name that may be searched: dirsweep params
question: {question}
fixed:
  dataset: {dataset}
  stage1: {{epochs: 30}}
  stage2: {{majority_threshold: {theta}}}
searched:
  # stage 1: how strongly feature norms are made to rise with the target
  stage1.norm_ordinality.name: {{choice: [kl, hinge]}}
  stage1.norm_ordinality.weight: {{log: [1.0e-3, 10.0]}}
  stage1.optimizer.lr: {{log: [3.0e-4, 1.0e-2]}}
  # stage 2: how strongly rare bins are pulled to the line of the frequent ones
  stage2.norm_weight: {{log: [1.0e-3, 10.0]}}
  stage2.schedule.lr: {{log: [1.0e-5, 1.0e-3]}}
{threshold}\
objectives: [val/all/mae]  # minimised; of several, the first decides
budget: {{trials: 24}}
seed: 0
"""

MAJORITY = 5


def dataset_text(config: "Csv", path: str) -> str:
    """The dataset file; `path` is the table's from the folder of that file."""
    return DATASET.format(
        path=_scalar(path),
        target=_scalar(config.target),
        width=f"{config.bins.width!r}" if config.bins.name == "width" else "",
        ignore=_scalar(list(config.ignore)),
        many=config.many_above,
        few=config.few_below,
    )


def space_text(dataset: "Dataset", dataset_file: Path) -> str:
    """A search space; the majority threshold's range leaves five bins, or two where there are no five."""
    counts = np.sort(dataset.shots.counts)[::-1]
    top = int(counts[min(MAJORITY, len(counts)) - 1]) - 1
    top = top if top >= 0 else int(counts[1]) - 1
    low = min(top, int(np.median(counts[counts > 0])))
    searched = (
        f"  stage2.majority_threshold: {{int: [{low}, {top}]}}  # fit on bins with more training rows\n"
    )
    return SPACE.format(
        question=_scalar(f"Does the two-stage method lower the error on {dataset.target} where it is rare?"),
        dataset=_scalar(str(dataset_file)),
        theta=(low + top) // 2,
        threshold=searched if low < top else "",
    )


def write(path: Path, text: str) -> None:
    """Write a file that is not there yet. ValueError if it is."""
    if not Folder(path.parent).put_if_absent(path.name, text.encode()):
        raise ValueError(f"{path}: exists already; move it away")


def _scalar(value: object) -> str:
    """A value as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n...\n").strip()
