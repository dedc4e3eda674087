"""STS-B-DIR (Yang et al., 2021): pairs of sentences, and how alike people found them, from 0 to 5.

The split is the benchmark's own, in three tab-separated files without quoting. Its published results rest on
a list of few-shot bins that names five bins (15, 25, 33, 45, 47) of 20 to 27 training pairs, which the rule
itself would call median; which of the two is used is in the config and in every table.
"""

import contextlib
import csv
import hashlib
import io
import os
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from dirsweep.config import BinEdges, StsBDir
from dirsweep.data.dataset import Source, by_rows
from dirsweep.data.inputs import PairEncoding
from dirsweep.data.split import TEST, TRAIN, VAL
from dirsweep.data.table import read_bytes
from dirsweep.shots import cut_bins
from dirsweep.storage import cache_folder

LOOPBACK = ("127.0.0.1", "localhost", "::1")
FILES = {
    TRAIN: ("train_new.tsv", "4da3322ae29f7ad1b7d03cdeafcb2480c276e5df1d08737678a7856697218a9a"),
    VAL: ("dev_new.tsv", "9ec12d785aa817ffe4b0f88fde442d3bf57161d8cbeaa84aaa1fdf764cca6dd6"),
    TEST: ("test_new.tsv", "55f90b3c5a0b2947d5ff64c41536191e9e1ba3bb5ffe64aca5465ab25fa8e94c"),
}
ADDRESS = (
    "https://raw.githubusercontent.com/YyzHarry/imbalanced-regression/"
    "a6fdc45d45c04e6f5c40f43925bc66e580911084/sts-b-dir/glue_data/STS-B"
)
SIZES = {TRAIN: 5249, VAL: 1000, TEST: 1000}
TARGET, COLUMNS = "score", ("sentence1", "sentence2", "score")
BINS = BinEdges(edges=tuple(step / 10 for step in range(51)))
MANY_ABOVE, FEW_BELOW = 100, 20
PUBLISHED_FEW = (15, 25, 33, 45, 47)
"""Bins that the published list calls few though they have 20 training pairs or more."""


def read(config: StsBDir, *, sealed: bool) -> Source:
    """The pairs. As long as test is sealed its file is not touched, and a training pair stands for each row.

    Raises:
        ValueError: a file is missing, or is not the benchmark's; names it, and the line that shows it.
    """
    folder = find(config)
    shown = [TRAIN, VAL] if sealed else list(FILES)
    parts = {side: read_pairs(folder / FILES[side][0], FILES[side][1]) for side in shown}
    if sealed:
        parts[TEST] = pd.concat([parts[TRAIN].iloc[:1]] * SIZES[TEST])
    table = pd.concat([parts[side] for side in FILES], ignore_index=True)
    label = table[TARGET].to_numpy(dtype=np.float64)
    return Source(
        name=config.name,
        target=TARGET,
        inputs=table[list(COLUMNS[:2])],
        label=label,
        side=np.repeat(list(FILES), [len(parts[side]) for side in FILES]),
        group=np.arange(len(table)),
        fit=lambda training: PairEncoding(*COLUMNS[:2]),
        encode=by_rows,
        identity={"source": [checksum for _, checksum in FILES.values()], "shots": config.shots},
        bins=cut_bins(BINS, label),
        many_above=MANY_ABOVE,
        few_below=FEW_BELOW,
        few_listed=PUBLISHED_FEW if config.shots == "published" else (),
    )


def find(config: StsBDir) -> Path:
    """The folder of the three files. ValueError, with what to do, if there is none."""
    if config.path is not None:
        return Path(config.path)
    places = [Path(os.environ["DIRSWEEP_DATA"]) / "sts-b-dir"] if "DIRSWEEP_DATA" in os.environ else []
    places.append(cache_folder("sts-b-dir"))
    for place in places:
        if place.is_dir():
            return place
    raise ValueError(
        f"the files of sts_b_dir are not here ({' or '.join(map(str, places))}); `dirsweep data prepare "
        "sts-b-dir` downloads them, or set dataset.path to a folder that has them"
    )


def download(folder: Path | None = None, address: str | None = None) -> Path:
    """Fetch the three files, each checked against its checksum, and say where they are.

    Raises:
        ValueError: a file cannot be had, or is another one; or the address is not of HTTPS or this machine.
    """
    parts = urlsplit(address or ADDRESS)
    if parts.scheme != "https" and (parts.scheme, parts.hostname in LOOPBACK) != ("http", True):
        raise ValueError(
            f"--from {address}: give an https:// address; what comes by another way others can change"
        )
    import pooch  # it takes a while, and whoever has the files does without

    folder = folder or cache_folder("sts-b-dir")
    for name, checksum in FILES.values():
        where = f"{(address or ADDRESS).rstrip('/')}/{name}"
        try:
            pooch.retrieve(where, f"sha256:{checksum}", fname=name, path=folder)
        except (OSError, ValueError) as error:
            with contextlib.suppress(OSError):
                folder.rmdir()  # an empty one would be taken for the place of the files
            raise ValueError(f"{where}: {str(error).splitlines()[0]}; give a mirror with --from") from None
    return folder


def read_pairs(path: Path, checksum: str) -> pd.DataFrame:
    """The columns sentence1, sentence2 and score of one file. ValueError if it is not the benchmark's."""
    content = read_bytes(path)
    found = hashlib.sha256(content).hexdigest()
    if found != checksum:
        raise ValueError(
            f"{path}: {_wrong(content)}not the benchmark's file (its sha256 is {found}); fetch it anew"
        )
    lines = csv.DictReader(io.StringIO(content.decode()), delimiter="\t", quoting=csv.QUOTE_NONE)
    table = pd.DataFrame(
        [[line[name] for name in COLUMNS] for line in lines], columns=list(COLUMNS), dtype="str"
    )
    return table.assign(score=table[TARGET].astype("float64"))


def _wrong(content: bytes) -> str:
    """The first line of a file that cannot be the benchmark's, and why; nothing if each could be."""
    header, *lines = content.decode("utf-8", "replace").splitlines()
    names = header.split("\t")
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        quoted = "; it was saved with quotes, which these files do without" if '"' in header else ""
        return f"line 1: no column {missing[0]!r}{quoted}: "
    for number, line in enumerate(lines, 2):
        values = line.split("\t")
        if len(values) != len(names):
            return f"line {number}: {len(values)} values where the header has {len(names)} names: "
        score = values[names.index(TARGET)]
        if any(value.startswith('"') and value.endswith('"') and '""' in value[1:-1] for value in values):
            return f"line {number}: quotes are doubled; these files do without quoting: "
        try:
            inside = 0 <= float(score) <= 5
        except ValueError:
            inside = False
        if not inside:
            return f"line {number}: the score {score!r} is no number from 0 to 5: "
    return ""
