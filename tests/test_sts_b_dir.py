"""STS-B-DIR as its files have it: counts, bins by decimal arithmetic, shots, sealed test, damaged files."""

import csv
import functools
import http.server
import io
import shutil
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import real_data

from dirsweep import data
from dirsweep.config import StsBDir, TrialConfig
from dirsweep.data import sts_b_dir

pytestmark = real_data.NEEDED
FOLDER = real_data.PLACE / "sts-b-dir"


@pytest.fixture
def copy(tmp_path) -> Path:
    """The training and dev files in a folder of their own; no test file."""
    for name in ("train_new.tsv", "dev_new.tsv"):
        shutil.copy(FOLDER / name, tmp_path / name)
    return tmp_path


def test_the_split_and_the_shots_are_the_benchmarks():
    dataset = data.load(StsBDir())
    assert dataset.sizes == {"train": 5249, "val": 1000, "test": 1000}
    shots = dataset.shots
    assert [int(shots.masks[name].sum()) for name in ("many", "median", "few")] == [22, 7, 21]
    assert [int(shots.counts[shots.masks[name]].sum()) for name in ("many", "median", "few")] == [
        4510,
        538,
        201,
    ]
    assert shots.counts.max() == 428


def test_the_published_list_differs_from_the_rule_in_five_bins():
    published, rule = data.load(StsBDir()), data.load(StsBDir(shots="rule"))
    other = np.flatnonzero(published.shots.names != rule.shots.names)
    assert other.tolist() == [15, 25, 33, 45, 47]
    assert published.shots.counts[other].tolist() == [22, 27, 22, 20, 25]
    assert set(rule.shots.names[other]) == {"median"}
    assert published.hash != rule.hash


def test_which_list_it_is_stands_where_the_data_are_described():
    assert "few by the published list" in data.describe(data.load(StsBDir()))
    assert "published" not in data.describe(data.load(StsBDir(shots="rule")))


def test_labels_are_binned_by_decimal_arithmetic():
    dataset = data.load(StsBDir())
    with (FOLDER / "train_new.tsv").open(newline="") as file:
        scores = [line["score"] for line in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    exact = [min(int(Decimal(score) / Decimal("0.1")), 49) for score in scores]  # the last bin includes 5.0
    assert dataset.train.bin.tolist() == exact
    by_luck = [min(int(np.float32(score) / np.float32(0.1)), 49) for score in scores]
    assert by_luck != exact


def test_sentences_come_as_they_stand_quotes_included():
    dataset = data.load(StsBDir())
    lines = (FOLDER / "train_new.tsv").read_text().splitlines()[1:]
    names = (FOLDER / "train_new.tsv").read_text().splitlines()[0].split("\t")
    place = names.index("sentence1")
    assert list(dataset.train.inputs.first) == [line.split("\t")[place] for line in lines]
    assert any('"' in sentence for sentence in dataset.train.inputs.first)


def test_as_long_as_test_is_sealed_its_file_need_not_be_there(copy):
    config = StsBDir(path=str(copy))
    assert data.load(config).hash == data.load(StsBDir()).hash
    with pytest.raises(ValueError, match=r"test_new\.tsv: no such file"):
        data.open_test(config)


def test_test_opens_with_the_published_shots():
    opened = data.open_test(StsBDir())
    masks = opened.shots.masks
    found = [int(masks[name][opened.rows.bin].sum()) for name in ("all", "many", "median", "few")]
    assert found == [1000, 756, 170, 74]


def test_test_opens_with_the_shots_of_the_rule():
    opened = data.open_test(StsBDir(shots="rule"))
    masks = opened.shots.masks
    assert [int(masks[name][opened.rows.bin].sum()) for name in ("many", "median", "few")] == [756, 207, 37]


def requoted(text: str) -> str:
    """What a program that knows no tab-separated file without quoting makes of it."""
    file = io.StringIO()
    lines = csv.reader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
    csv.writer(file, delimiter="\t", lineterminator="\n").writerows(lines)
    return file.getvalue()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("\tscore\n", "\tmark\n", 1), r"line 1: no column 'score'"),
        (
            lambda text: text.replace("\t0.143\n", "\t7.5\n", 1),
            "line 2: the score '7.5' is no number",
        ),
        (lambda text: text.replace("\t0.143\n", "\t\n", 1), r"line 2: the score '' is no number"),
        (lambda text: text.replace("\t0.143\n", "\n", 1), r"line 2: 9 values where the header has 10 names"),
        (lambda text: requoted(text), "line 298: quotes are doubled; these files do without quoting"),
        (lambda text: text.replace("dancing", "singing", 1), "train_new.tsv: not the benchmark's file"),
        (lambda text: "", "the file is empty"),
    ],
)
def test_a_changed_file_is_refused_with_its_line(copy, change, said):
    path = copy / "train_new.tsv"
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=said):
        data.load(StsBDir(path=str(copy)))


def test_without_the_files_it_is_said_how_to_get_them(monkeypatch, tmp_path):
    monkeypatch.delenv("DIRSWEEP_DATA")
    monkeypatch.setenv("DIRSWEEP_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match="`dirsweep data prepare sts-b-dir` downloads them"):
        sts_b_dir.find(StsBDir())


@pytest.fixture
def mirror(tmp_path) -> Iterator[tuple[Path, str]]:
    """A folder that a server on loopback shows, and its address."""
    folder = tmp_path / "served"
    shutil.copytree(FOLDER, folder)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_files_can_be_downloaded(mirror, tmp_path):
    _, address = mirror
    place = sts_b_dir.download(tmp_path / "here", address)
    assert sorted(file.name for file in place.iterdir()) == sorted(file.name for file in FOLDER.iterdir())
    assert data.load(StsBDir(path=str(place))).hash == data.load(StsBDir()).hash


def test_a_download_of_another_file_is_refused_and_leaves_nothing(mirror, tmp_path):
    served, address = mirror
    (served / "dev_new.tsv").write_text("something else")
    with pytest.raises(ValueError, match=r"dev_new\.tsv: .*give a mirror with --from"):
        sts_b_dir.download(tmp_path / "here", address)
    assert [file.name for file in (tmp_path / "here").iterdir()] == ["train_new.tsv"]


@pytest.mark.parametrize("address", ["http://example.org/x", "ftp://127.0.0.1/x", "file:///x", "example.org"])
def test_a_mirror_that_is_not_of_https_is_refused(address, tmp_path):
    with pytest.raises(ValueError, match=rf"^--from {address}: give an https:// address"):
        sts_b_dir.download(tmp_path / "here", address)
    assert not (tmp_path / "here").exists()


def test_a_download_that_gets_nothing_leaves_no_folder(mirror, tmp_path):
    _, address = mirror
    with pytest.raises(ValueError, match=r"/nowhere/train_new\.tsv: .*give a mirror with --from"):
        sts_b_dir.download(tmp_path / "here", f"{address}/nowhere")
    assert not (tmp_path / "here").exists()


def test_a_table_encoder_is_refused_for_pairs_and_the_usual_one_is_taken():
    assert TrialConfig.model_validate({"dataset": "sts_b_dir"}).encoder.name == "sentence_encoder"
    with pytest.raises(ValueError, match="encoder mlp reads tables, but dataset sts_b_dir holds sentence"):
        TrialConfig.model_validate({"dataset": "sts_b_dir", "encoder": {"name": "mlp"}})
