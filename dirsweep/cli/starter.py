"""The files that `dirsweep init` writes: a dataset, and a search space whose ranges fit its counts."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from dirsweep.storage import Folder

if TYPE_CHECKING:
    from dirsweep.config import Csv, Images
    from dirsweep.data import Dataset

IMAGES = """\
# How to read the table and its images; every key: dirsweep params dataset. After a change of anything but
# many_above and few_below: dirsweep data prepare THIS_FILE
name: images
path: {path}  # from the folder of this file
folder: {folder}  # where names of images start
target: {target}
image_column: {image_column}
numbers: {numbers}  # fed beside the image
size: {size}  # height and width in pixels
channels: {channels}
bins: {{name: width, width: {width}}}  # in units of the target
{group}
{split}
many_above: {many}  # a bin with more training rows is many-shot
few_below: {few}  # a bin with fewer is few-shot
"""

DATASET = """\
# How to read the table; every key: dirsweep params dataset
name: csv
path: {path}  # from the folder of this file
target: {target}
bins: {{name: width, width: {width}}}  # in units of the target
ignore: {ignore}  # columns that are no input
categorical: {categorical}  # columns to take as categories although they hold numbers
{group}
{split}
many_above: {many}  # a bin with more training rows is many-shot
few_below: {few}  # a bin with fewer is few-shot
"""

CUT = """\
held_out_per_bin: {}  # at most so many rows of a bin for val, and as many for test
# split_column: split  # says train, val or test, and takes the place of held_out_per_bin"""

SPACE = """\
# Every name that may be searched: dirsweep params
question: {question}
fixed:
  dataset: {dataset}
{fixed}  stage2: {{majority_threshold: {theta}}}
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
{mode}budget: {{trials: 24}}
seed: 0
"""

FIXED = {
    "tables": "  stage1: {epochs: 30}\n",
    "images": "  encoder: {name: small_cnn}  # or resnet18, resnet50 ... for a GPU\n"
    "  stage1: {epochs: 30, batch_size: 64}\n",
}
MODE = {
    "tables": "",
    "images": "mode: staged  # a stage 1 takes long, so each is trained once and has several fine-tunes\n",
}
MAJORITY = 5


def dataset_text(config: "Csv | Images", relative: Callable[[str], str]) -> str:
    """The dataset file; `relative` makes a path one from the folder of that file."""
    group = (
        "# group_column: subject"
        if config.group_column is None
        else f"group_column: {_scalar(config.group_column)}"
    )
    split = (
        CUT.format(config.held_out_per_bin)
        if config.split_column is None
        else f"split_column: {_scalar(config.split_column)}  # says train, val or test"
    )
    common = {
        "path": _scalar(relative(config.path)),
        "target": _scalar(config.target),
        "width": f"{config.bins.width!r}" if config.bins.name == "width" else "",
        "group": f"{group}  # rows that agree here stay on one side of the split",
        "split": split,
        "many": config.many_above,
        "few": config.few_below,
    }
    if config.name == "csv":
        lists = {name: _scalar(list(getattr(config, name))) for name in ("ignore", "categorical")}
        return DATASET.format(**common, **lists)
    return IMAGES.format(
        **common,
        folder=_scalar(relative(config.folder or ".")),
        image_column=_scalar(config.image_column),
        numbers=_scalar(list(config.numbers)),
        size=config.size,
        channels=config.channels,
    )


def space_text(dataset: "Dataset", dataset_file: Path, kind: str) -> str:
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
        fixed=FIXED[kind],
        mode=MODE[kind],
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
