"""Folders of images as datasets: split, groups, numbers beside the image, refusals, the sealed test."""

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pictures
import pytest
from PIL import Image

from dirsweep import data
from dirsweep.config import TrialConfig
from dirsweep.data import images
from dirsweep.data.image_files import image_files
from dirsweep.storage import flock

EDGES = {"name": "edges", "edges": [0, 15, 30]}


def rewritten(folder: Path, change) -> None:
    """labels.csv after a change of the table."""
    table = pd.read_csv(folder / "labels.csv", dtype="str")
    change(table)
    table.to_csv(folder / "labels.csv", index=False)


def prepare(config) -> images.Prepared:
    return images.prepare(config, lambda done, total: None)


def test_images_come_with_the_labels_of_their_rows(tmp_path):
    dataset = data.load(pictures.prepared(tmp_path / "d"))
    table = pd.read_csv(tmp_path / "d" / "labels.csv")
    assert dataset.sizes["train"] + dataset.sizes["val"] + dataset.sizes["test"] == 240
    for split in (dataset.train, dataset.val):
        assert split.label.tolist() == table["label"][split.sample].tolist()
        row = int(split.sample[5])
        image = Image.open(tmp_path / "d" / "pictures" / table["name"][row])
        image = image.resize((16, 16), Image.Resampling.BILINEAR, reducing_gap=2)
        assert (split.inputs.pixels[5, 0] == np.asarray(image)).all()
        assert split.inputs.numbers.shape == (len(split.label), 0)


def test_numbers_beside_the_image_are_standardised_by_the_training_rows(tmp_path):
    dataset = data.load(pictures.prepared(tmp_path / "d", numbers=("weight",)))
    assert dataset.train.inputs.numbers.shape == (dataset.sizes["train"], 1)
    assert dataset.train.inputs.numbers.mean() == pytest.approx(0, abs=1e-5)
    assert "with weight (1 input once encoded)" in data.describe(dataset)


def test_subjects_stay_on_one_side(tmp_path):
    folder = pictures.write_folder(tmp_path / "d", subject=np.arange(240) // 3)
    config = pictures.dataset(folder, group_column="subject")
    prepare(config)
    dataset, test = data.load(config), data.open_test(config)
    groups = [set(split.sample // 3) for split in (dataset.train, dataset.val, test.rows)]
    assert groups[0].isdisjoint(groups[1] | groups[2])
    assert groups[1].isdisjoint(groups[2])
    assert len(test.rows.label) == dataset.sizes["test"] > 20


def test_an_unreadable_image_is_left_out_of_its_side(tmp_path):
    whole = data.load(pictures.prepared(tmp_path / "whole"))
    folder = pictures.write_folder(tmp_path / "d")
    config = pictures.dataset(folder, most_unreadable=0.05)
    broken = [int(whole.train.sample[3]), int(whole.val.sample[0])]
    names = pd.read_csv(folder / "labels.csv")["name"][broken].tolist()
    for name in names:
        (folder / "pictures" / name).write_bytes(b"")
    done = prepare(config)
    assert sorted(done.unreadable) == sorted(names)
    dataset = data.load(config)
    assert dataset.train.sample.tolist() == [row for row in whole.train.sample if row not in broken]
    assert (dataset.train.inputs.pixels == np.delete(whole.train.inputs.pixels, 3, axis=0)).all()
    assert (dataset.val.inputs.pixels == whole.val.inputs.pixels[1:]).all()


def test_an_image_that_was_mended_is_taken_when_prepare_is_run_again(tmp_path):
    whole = data.load(pictures.prepared(tmp_path / "whole"))
    folder = pictures.write_folder(tmp_path / "d")
    image = folder / "pictures" / f"{whole.train.sample[3]:04}.png"
    content = image.read_bytes()
    image.write_bytes(b"")
    config = pictures.dataset(folder)
    assert list(prepare(config).unreadable) == [image.name]
    assert data.load(config).sizes["train"] == whole.sizes["train"] - 1
    with pytest.raises(ValueError, match=r"(?s)1 of 240 images cannot be read, more than the share of 0 "):
        prepare(pictures.dataset(folder, most_unreadable=0.0))
    with pytest.raises(ValueError, match=r"1 of 240 images could not be read.*raise most_unreadable"):
        data.load(pictures.dataset(folder, most_unreadable=0.0))
    image.write_bytes(content)
    assert not prepare(config).unreadable
    os.utime(folder / "labels.csv")  # a process reads a dataset once unless its table changes
    assert data.load(config).hash == whole.hash


def test_two_prepares_of_one_store_do_not_mix(tmp_path, monkeypatch):
    monkeypatch.setattr(flock, "PATIENCE", 0.0)
    config = pictures.dataset(pictures.write_folder(tmp_path / "d"))
    refused = []

    def again(done: int, total: int) -> None:
        with pytest.raises(ValueError, match=r"another command decodes images into .*store .process \d+ on"):
            prepare(config)
        refused.append(done)

    images.prepare(config, again)
    assert refused == [240]
    assert not prepare(config).unreadable


def test_images_named_without_their_ending_or_by_number_are_found(tmp_path):
    whole = data.load(pictures.prepared(tmp_path / "whole"))
    for kind, name in (("ending", "{:04}"), ("number", "{}")):
        folder = pictures.write_folder(tmp_path / kind)
        rewritten(folder, lambda table, name=name: table.__setitem__("name", [*map(name.format, range(240))]))
        (folder / "pictures" / "notes.txt").write_text("no image")
        assert data.find_images(folder / "labels.csv", "label").column == "name"
        config = pictures.dataset(folder)
        assert not prepare(config).unreadable
        dataset = data.load(config)
        assert (dataset.train.inputs.pixels == whole.train.inputs.pixels).all()
        new = replace(dataset.encoding, folder=folder / "pictures").encode(pd.DataFrame({"name": ["7"]}))
        assert new.pixels.shape == (1, 1, 16, 16)


def test_a_number_that_may_mean_two_files_means_none(tmp_path):
    folder = pictures.write_folder(tmp_path / "d", rows=12)
    (folder / "pictures" / "0003.png").rename(folder / "pictures" / "03.png")
    (folder / "pictures" / "0004.png").rename(folder / "pictures" / "003.png")
    assert [file.name for file in image_files(folder / "pictures", ["5", "003", "3"])] == [
        "0005.png",
        "003.png",
        "3",
    ]


@pytest.mark.parametrize(("given", "right"), [("d/pictures/deep", "d/pictures"), ("d", "d/pictures")])
def test_a_folder_above_or_below_the_one_that_names_start_in_is_told_apart(tmp_path, given, right):
    folder = pictures.write_folder(tmp_path / "d", rows=30)
    (folder / "pictures" / "deep").mkdir()
    config = pictures.dataset(folder).model_copy(update={"folder": str(tmp_path / given)})
    told = (
        rf"no image lies in {tmp_path / given}, but '0000.png' and others do in {tmp_path / right}; give that"
    )
    with pytest.raises(ValueError, match=told):
        prepare(config)
    assert not (folder / "store").exists()


def test_test_images_that_were_swapped_are_found_out(tmp_path):
    config = pictures.prepared(tmp_path / "d")
    before = data.load(config)
    file = tmp_path / "d" / "store" / "test.u8"
    content = file.read_bytes()
    file.write_bytes(content[::-1])
    with pytest.raises(ValueError, match=r"test\.u8: not what was decoded, it was changed"):
        data.open_test(config)
    file.write_bytes(content)
    row = int(data.open_test(config).rows.sample[0])
    Image.new("L", (24, 24), 9).save(tmp_path / "d" / "pictures" / f"{row:04}.png")
    again = config.model_copy(update={"store": str(tmp_path / "two")})
    prepare(again)
    assert data.load(again).hash != before.hash


def test_a_sweep_needs_neither_rows_nor_images_of_test(tmp_path):
    side = np.array(["train", "train", "val", "test"] * 60)
    folder = pictures.write_folder(tmp_path / "d", side=side)
    config = pictures.dataset(folder, split_column="side")
    prepare(config)
    before = data.load(config)
    rewritten(folder, lambda table: table.loc.__setitem__((table["side"] == "test", "label"), "secret"))
    prepared_again = config.model_copy(update={"store": str(folder / "two")})
    with pytest.raises(ValueError, match="text in 60 rows, first row 4: 'secret'"):
        prepare(prepared_again)  # whoever prepares test has it
    rewritten(folder, lambda table: table.loc.__setitem__((table["side"] == "test", "label"), "3.0"))
    prepare(prepared_again)
    (folder / "two" / "test.u8").unlink()
    after = data.load(prepared_again)
    assert (after.train.inputs.pixels == before.train.inputs.pixels).all()
    with pytest.raises(ValueError, match=r"test\.u8: missing"):
        data.open_test(prepared_again)


def test_images_that_are_not_decoded_yet_are_asked_for(tmp_path):
    config = pictures.dataset(pictures.write_folder(tmp_path / "d"))
    with pytest.raises(ValueError, match=r"labels\.csv: its images are not decoded yet.*data prepare NAME"):
        data.load(config)
    prepare(config)
    data.load(config)
    for other in ({"size": 12}, {"channels": "rgb"}, {"split_seed": 1}):
        with pytest.raises(ValueError, match="not decoded yet as the dataset has it"):
            data.load(pictures.dataset(tmp_path / "d", **other))
        with pytest.raises(ValueError, match="holds other images; name another `store`"):
            prepare(pictures.dataset(tmp_path / "d", **other))


def test_bins_and_shots_may_change_without_decoding_again(tmp_path):
    config = pictures.prepared(tmp_path / "d")
    wider = pictures.dataset(tmp_path / "d", many_above=30, few_below=10)
    assert data.load(wider).hash != data.load(config).hash
    assert (data.load(wider).train.inputs.pixels == data.load(config).train.inputs.pixels).all()


def test_other_pixels_give_another_hash(tmp_path):
    first = data.load(pictures.prepared(tmp_path / "one"))
    again = data.load(pictures.prepared(tmp_path / "two"))
    assert first.hash == again.hash
    folder = pictures.write_folder(tmp_path / "three")
    row = int(first.train.sample[0])
    Image.new("L", (24, 24), 9).save(folder / "pictures" / f"{row:04}.png")
    config = pictures.dataset(folder)
    prepare(config)
    assert data.load(config).hash != first.hash


def test_an_image_on_two_sides_is_refused_by_name(tmp_path):
    side = np.array(["train", "train", "val", "test"] * 60)
    folder = pictures.write_folder(tmp_path / "d", side=side)
    rewritten(folder, lambda table: table.loc.__setitem__((6, "name"), "0001.png"))
    told = r"labels\.csv: the image '0001\.png' is in train \(row 2\) and in val \(row 7\)"
    with pytest.raises(ValueError, match=told):
        prepare(pictures.dataset(folder, split_column="side"))


@pytest.mark.parametrize(
    ("change", "values", "told"),
    [
        ({}, {"image_column": "nam"}, "no column 'nam' (image_column); did you mean 'name'?"),
        ({}, {"numbers": ("wait",)}, "no column 'wait' (numbers)"),
        ({"name": ""}, {}, "image_column 'name' is empty in row 4"),
        ({"label": "40"}, {"bins": EDGES}, "lies outside the edges 0 to 30 in row 4"),
        ({"label": "many"}, {}, "column 'label' must hold numbers, but holds text in row 4: 'many'"),
        ({"weight": "heavy"}, {"numbers": ("weight",)}, "column 'weight' must hold numbers"),
        ({}, {"numbers": ("label",)}, "column 'label' is named as target and as numbers"),
    ],
)
def test_what_is_wrong_with_the_table_is_said(tmp_path, change, values, told):
    folder = pictures.write_folder(tmp_path / "d")
    rewritten(folder, lambda table: [table.loc.__setitem__((3, name), to) for name, to in change.items()])
    config = pictures.dataset(folder, **values)

    def use() -> None:
        prepare(config)
        data.load(config)

    with pytest.raises(ValueError, match=rf"^{re.escape(str(folder / 'labels.csv'))}: .*{re.escape(told)}"):
        use()


def test_a_table_encoder_is_refused_for_images():
    tree = {"dataset": {"name": "agedb_dir"}, "encoder": {"name": "mlp"}}
    with pytest.raises(ValueError, match="encoder mlp reads tables, but dataset agedb_dir holds images"):
        TrialConfig.model_validate(tree)
    assert TrialConfig.model_validate({"dataset": "agedb_dir"}).encoder.name == "small_cnn"
    short = TrialConfig.model_validate({"dataset": "agedb_dir", "encoder": "resnet50"})
    assert (short.encoder.name, short.encoder.backbone) == ("backbone", "resnet50")
