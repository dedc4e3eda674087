"""The datasets: diamonds as shipped, any CSV file, what is refused, what `init` and `data show` print."""

import gzip
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirsweep import data
from dirsweep.config import BinEdges, BinWidth, Csv, Diamonds
from dirsweep.data import diamonds
from dirsweep.data.split import TEST, TRAIN, VAL, balanced_split
from dirsweep.shots import cut_bins

# ---- diamonds


def test_the_diamonds_split_has_the_counts_we_state():
    dataset = data.load(Diamonds())
    names = dataset.shots.names
    assert {name: int((names == name).sum()) for name in ("many", "median", "few")} == {
        "many": 25,
        "median": 29,
        "few": 21,
    }
    assert dataset.sizes == {"train": 10_000, "val": 2_221, "test": 2_221}
    val_shot = names[dataset.val.bin]
    assert {name: int((val_shot == name).sum()) for name in ("many", "median", "few")} == {
        "many": 750,
        "median": 870,
        "few": 601,
    }
    assert dataset.shots.counts.sum() == 10_000
    assert not dataset.shots.masks["zero"].any()


def test_the_diamonds_hash_is_the_one_we_publish():
    expected = "64644f983a5dc084c453d9021d0758ddb44bbac72dcdf76add57b1e08731841c"
    assert data.load(Diamonds()).hash == expected


def test_the_diamonds_bins_are_250_dollars_wide():
    dataset = data.load(Diamonds())
    assert dataset.shots.bins.edges[[0, 1, -1]].tolist() == [250, 500, 19_000]
    assert (dataset.train.bin == dataset.train.label // 250 - 1).all()


def test_diamonds_of_unknown_size_are_left_out_and_samples_are_row_numbers_of_the_file():
    whole = pd.read_csv(diamonds.FILE)
    dataset = data.load(Diamonds())
    for split in (dataset.train, dataset.val):
        rows = whole.iloc[split.sample]
        assert (rows["price"] == split.label).all()
        assert (rows[["x", "y", "z"]] > 0).all(axis=None)


def test_repeated_listings_are_found():
    stones = diamonds.read_stones(diamonds.FILE)
    assert len(stones) == 53_920
    assert pd.read_csv(diamonds.FILE).duplicated().sum() == 146
    size = pd.Series(diamonds.group_listings(stones)).value_counts()
    assert ((size > 1).sum(), size[size > 1].sum(), size.max()) == (290, 585, 5)
    distinct = stones.drop_duplicates()
    size = pd.Series(diamonds.group_listings(distinct)).value_counts()
    assert ((size > 1).sum(), size[size > 1].sum()) == (148, 298)


def test_exact_repeats_and_swapped_lengths_are_one_group():
    stone = {
        "carat": 0.3,
        "cut": "Ideal",
        "color": "E",
        "clarity": "SI1",
        "price": 500,
        "z": 2.5,
        "depth": 60.0,
    }
    rows = [
        stone | {"x": 4.1, "y": 4.2},
        stone | {"x": 4.1, "y": 4.2},
        stone | {"x": 4.2, "y": 4.1, "depth": 61.0},
        stone | {"x": 4.1, "y": 4.3},
    ]
    assert diamonds.group_listings(pd.DataFrame(rows)).tolist() == [0, 0, 0, 1]


def test_no_listing_of_a_diamond_is_on_two_sides():
    stones = diamonds.read_stones(diamonds.FILE)
    group = pd.Series(diamonds.group_listings(stones), index=stones.index)
    dataset = data.load(Diamonds())
    train, val = group[dataset.train.sample], group[dataset.val.sample]
    assert not set(train) & set(val)
    # the same cut again, for the sealed side
    label = stones["price"].to_numpy(dtype=np.float64)
    bin = cut_bins(diamonds.BINS, label).index(label)
    side = balanced_split(bin, group.to_numpy(), 30, np.random.default_rng(diamonds.SEED))
    assert (stones.index[side == VAL] == dataset.val.sample).all()
    assert not set(group[side == TEST]) & (set(train) | set(val))


def test_val_is_balanced_as_far_as_the_bins_reach():
    stones = diamonds.read_stones(diamonds.FILE)
    label = stones["price"].to_numpy(dtype=np.float64)
    dataset = data.load(Diamonds())
    all_rows = np.bincount(dataset.shots.bins.index(label))
    assert np.bincount(dataset.val.bin).tolist() == np.minimum(30, all_rows // 3).tolist()


def test_the_diamonds_encoding_is_fitted_on_the_training_rows_alone():
    dataset = data.load(Diamonds())
    stones = pd.read_csv(diamonds.FILE)
    carat = stones["carat"].iloc[dataset.train.sample]
    column = dataset.encoding.columns[0]
    assert column.column == "carat"
    assert (column.mean, column.std) == (pytest.approx(carat.mean()), pytest.approx(carat.std(ddof=0)))
    assert dataset.train.inputs.shape == (10_000, 26)  # 6 numbers, 5 cuts, 7 colours, 8 clarities
    assert dataset.encoding.encode(stones.iloc[dataset.val.sample]).tolist() == dataset.val.inputs.tolist()


def test_nothing_of_a_dataset_holds_a_test_row():
    dataset = data.load(Diamonds())
    held = [value for value in vars(dataset).values() if isinstance(value, data.Split)]
    assert len(held) == 2
    assert len(set(dataset.train.sample) | set(dataset.val.sample)) == 12_221


def test_the_shipped_table_states_its_licence_source_and_checksum():
    text = diamonds.FILE.with_name("diamonds_LICENSE.txt").read_text()
    assert diamonds.SHA256 in text
    assert "plotnine 0.15.9" in text
    assert "MIT License" in text


def test_a_damaged_table_is_refused(tmp_path):
    path = tmp_path / "diamonds.csv.gz"
    path.write_bytes(gzip.compress(gzip.decompress(diamonds.FILE.read_bytes()).replace(b"326", b"327", 1)))
    with pytest.raises(
        ValueError, match=r"diamonds\.csv\.gz: damaged: its sha256 is .*install dirsweep again"
    ):
        diamonds.read_stones(path)


@pytest.mark.parametrize("content", [b"", b"no gzip", diamonds.FILE.read_bytes()[:1000]])
def test_a_table_cut_short_is_refused(tmp_path, content):
    path = tmp_path / "diamonds.csv.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged.*install dirsweep again"):
        diamonds.read_stones(path)


# ---- CSV files


def written(path, rows=60, **columns):
    """A table with numbers, text and a target of three even bins."""
    y = np.arange(rows) % 3 + 0.5
    table = {"size": np.arange(rows) * 1.5, "colour": ["red", "blue"] * (rows // 2), "y": y} | columns
    pd.DataFrame(table).to_csv(path, index=False)
    return path


def config(path, **fields):
    return Csv(**({"path": str(path), "target": "y", "bins": BinWidth(width=1.0)} | fields))


@pytest.fixture
def csv(tmp_path):
    return written(tmp_path / "table.csv")


def test_a_csv_is_split_evenly_over_its_bins(csv):
    dataset = data.load(config(csv))
    assert (dataset.name, dataset.target) == ("table", "y")
    assert dataset.sizes == {"train": 24, "val": 18, "test": 18}  # 20 rows a bin: 6 to val, 6 to test
    assert dataset.shots.counts.tolist() == [8, 8, 8]
    assert dataset.encoding.names == ["size", "colour=blue", "colour=red"]
    assert (dataset.train.label == dataset.train.sample % 3 + 0.5).all()


def test_a_split_column_decides_the_split_and_is_no_input(tmp_path):
    side = [TRAIN] * 40 + [VAL] * 15 + [TEST] * 5
    dataset = data.load(config(written(tmp_path / "t.csv", side=side), split_column="side"))
    assert dataset.train.sample.tolist() == list(range(40))
    assert dataset.val.sample.tolist() == list(range(40, 55))
    assert dataset.sizes == {"train": 40, "val": 15, "test": 5}
    assert "side" not in [column.column for column in dataset.encoding.columns]


def test_a_group_column_keeps_subjects_together_and_is_no_input(tmp_path):
    subject = np.arange(60) // 2
    dataset = data.load(config(written(tmp_path / "t.csv", subject=subject), group_column="subject"))
    assert not set(subject[dataset.train.sample]) & set(subject[dataset.val.sample])
    assert "subject" not in [column.column for column in dataset.encoding.columns]
    assert dataset.sizes["val"] > 0


def test_the_encoding_of_a_csv_is_fitted_on_its_training_rows_alone(tmp_path):
    side = [TRAIN] * 40 + [VAL] * 15 + [TEST] * 5
    one = written(tmp_path / "one.csv", side=side)
    size = np.arange(60) * 1.5
    size[40:] += 1e6  # only val and test differ
    other = written(
        tmp_path / "other.csv", side=side, size=size, colour=["red", "blue"] * 20 + ["green"] * 20
    )
    first, second = (data.load(config(path, split_column="side")) for path in (one, other))
    assert first.encoding == second.encoding
    assert (first.train.inputs == second.train.inputs).all()


def test_a_sample_on_two_sides_of_a_given_split_is_refused(tmp_path):
    side = [TRAIN] * 40 + [VAL] * 10 + [TEST] * 10
    path = written(tmp_path / "t.csv", side=side, size=np.arange(60) % 42)  # row 43 is row 1 again, and so on
    with pytest.raises(
        ValueError, match=r"t\.csv: rows 1 \(train\) and 43 \(val\) are the same sample on two"
    ):
        data.load(config(path, split_column="side"))
    path = written(tmp_path / "t.csv", side=side, size=np.arange(60) % 54)  # test has some of train's
    with pytest.raises(ValueError, match=r"rows .* \(train\) and .* \(test\) are the same sample"):
        data.load(config(path, split_column="side"))  # before test is opened
    written(tmp_path / "t.csv", side=side, size=np.arange(60) % 42, id=range(60))
    data.load(config(path, split_column="side", ignore=("id",)))


def test_a_row_that_is_listed_twice_stays_on_one_side(tmp_path):
    path = written(tmp_path / "t.csv", 120, size=np.arange(120) % 60)  # label and all repeat after 60
    dataset = data.load(config(path))
    val, train = (set(split.inputs[:, 0].tolist()) for split in (dataset.val, dataset.train))
    assert len(dataset.val.label)
    assert not val & train


def test_a_group_on_two_sides_of_a_given_split_is_refused(tmp_path):
    side = [TRAIN] * 40 + [VAL] * 10 + [TEST] * 10
    path = written(
        tmp_path / "t.csv", side=side, subject=np.arange(60) // 5 * 5 + (np.arange(60) == 59) * -20
    )
    with pytest.raises(ValueError, match=r"rows 40 \(train\) and 60 \(test\) are of one group of 'subject'"):
        data.load(config(path, split_column="side", group_column="subject"))


def test_ignored_columns_are_no_inputs_and_named_ones_are_categories(csv):
    dataset = data.load(config(csv, ignore=("colour",), categorical=("size",)))
    assert {column.column for column in dataset.encoding.columns} == {"size"}
    assert dataset.encoding.names[0].startswith("size=")


def test_shots_follow_the_cut_offs_of_the_config(csv):
    dataset = data.load(config(csv, many_above=7, few_below=3))
    assert dataset.shots.names.tolist() == ["many"] * 3


def test_a_dataset_is_read_once_unless_the_file_changes(csv):
    first = data.load(config(csv))
    assert data.load(config(csv)) is first
    written(csv, size=np.arange(60) * 2.5)
    os.utime(csv, (1e9, 1e9))
    assert data.load(config(csv)).hash != first.hash


CHANGES = {
    "bins": BinWidth(width=0.5),
    "split_seed": 1,
    "held_out_per_bin": 5,
    "many_above": 50,
    "few_below": 10,
    "ignore": ("colour",),
    "categorical": ("size",),
    "group_column": "colour",
    "split_column": "colour",
}


@pytest.mark.parametrize("field", [field for field in CHANGES if not field.endswith("column")])
def test_the_hash_changes_with_what_decides_the_data(csv, field):
    assert data.load(config(csv, **{field: CHANGES[field]})).hash != data.load(config(csv)).hash


def test_every_field_but_name_path_and_target_is_covered_above():
    assert set(CHANGES) == set(Csv.model_fields) - {"name", "path", "target"}


def test_the_hash_changes_with_target_split_column_and_group_column(tmp_path):
    side = [TRAIN] * 30 + [VAL] * 30
    path = written(tmp_path / "t.csv", z=np.arange(60) % 3 + 0.5, side=side, side2=side, subject=range(60))
    variants = [
        {},
        {"target": "z"},
        {"split_column": "side"},
        {"split_column": "side2"},
        {"group_column": "subject"},
    ]
    assert len({data.load(config(path, **fields)).hash for fields in variants}) == len(variants)


def test_the_hash_does_not_change_with_the_path_or_the_order_of_names(csv, tmp_path):
    moved = tmp_path / "elsewhere.csv"
    shutil.copy(csv, moved)
    assert data.load(config(moved)).hash == data.load(config(csv)).hash
    both = [
        data.load(config(csv, categorical=names)).hash for names in (("size", "colour"), ("colour", "size"))
    ]
    assert both[0] == both[1]


def test_the_hash_changes_with_one_byte_of_the_file(csv):
    before = data.load(config(csv)).hash
    csv.write_bytes(csv.read_bytes().replace(b"1.5,", b"1.6,", 1))
    os.utime(csv, (1e9, 1e9))
    assert data.load(config(csv)).hash != before


# ---- what is refused: the message names the file, what was found and what to do


def refused(config, match):
    with pytest.raises(ValueError, match=match) as error:
        data.load(config)
    assert str(error.value).startswith(config.path)


def test_a_file_that_is_not_there(tmp_path):
    refused(config(tmp_path / "none.csv"), "no such file")


def test_a_folder_instead_of_a_file(tmp_path):
    refused(config(tmp_path), "cannot be read: Is a directory")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        (b"x,y\n", "a header but no row below it"),
        (b"x,y\n\xff\xfe,1\n", r"line 2: not UTF-8 text \(byte 4\); save it as"),
        (b"x,y,x\n1,2,3\n", "two columns are called 'x'; rename one"),
        (
            b"x,y\n1,2,3\n4,5,6\n",
            r"^\S+bad\.csv, line 2: 3 values where the header has 2 names; a comma inside",
        ),
        (b"x,y\n1,2\n\n4,5,6\n", "line 4: 3 values where the header has 2 names"),
        (
            b'x,y\r\n"a\r\nb",2\r\n3\r\n',
            "line 4: 1 values where the header has 2 names; a missing value still",
        ),
        (b'x,y\n1,2\n"3,4\n5,6\n', "line 3: 1 values where the header has 2 names; .*a quote that opens"),
        (b"x;y\n1;2\n", "no column 'y': the values seem to be separated by ';'; save with commas"),
    ],
)
def test_a_file_that_is_no_table(tmp_path, content, match):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    refused(config(path), match)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"target": "prize"}, r"no column 'prize' \(target\); did you mean 'price'"),
        ({"target": "q"}, r"no column 'q' \(target\); the columns are 'size', 'colour', 'y', 'price'"),
        ({"ignore": ("color",)}, r"no column 'color' \(ignore\); did you mean 'colour'"),
        ({"categorical": ("siz",)}, r"no column 'siz' \(categorical\); did you mean 'size'"),
        ({"split_column": "colours"}, r"no column 'colours' \(split_column\); did you mean 'colour'"),
        ({"group_column": "colours"}, r"no column 'colours' \(group_column\); did you mean 'colour'"),
        ({"ignore": ("y",)}, "column 'y' is named as target and as ignore; it can only be one"),
        ({"ignore": ("size",), "categorical": ("size",)}, "'size' is named as ignore and as categorical"),
    ],
)
def test_columns_that_do_not_fit(tmp_path, fields, match):
    refused(config(written(tmp_path / "t.csv", price=range(60)), **fields), match)


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        ("cheap", "column 'y' must hold numbers, but holds text in 2 rows, first row 6: 'cheap'"),
        ("", r"the target 'y' is missing \(empty or NaN\) in 2 rows, first row 6; correct or remove"),
        ("NaN", r"the target 'y' is missing \(empty or NaN\) in 2 rows, first row 6"),
        ("-inf", "the target 'y' is infinite in 2 rows, first row 6; correct or remove"),
    ],
)
def test_a_target_that_is_text_or_missing_or_infinite(tmp_path, bad, match):
    y = [str(value) for value in np.arange(60) % 3 + 0.5]
    y[5] = y[9] = bad
    refused(config(written(tmp_path / "t.csv", y=y)), match)


def test_a_label_outside_the_given_edges(csv):
    fields = {"bins": BinEdges(edges=(0.0, 1.0, 2.0))}
    refused(
        config(csv, **fields), "outside the edges 0 to 2 in 20 rows, first row 3: 2.5; widen `bins.edges`"
    )


def test_too_many_bins(csv):
    refused(config(csv, bins=BinWidth(width=1e-6)), "choose a width that makes at most 10000")


@pytest.mark.parametrize(
    ("side", "match"),
    [
        ([VAL] * 60, "the train split is empty: split_column 'side' says 'train' in no row"),
        ([TRAIN] * 60, "the val split is empty: split_column 'side' says 'val' in no row"),
        (
            [TRAIN] * 30 + ["valid"] * 30,
            r"something else in 30 rows, first row 31: 'valid' \(its values: 'train'",
        ),
        ([TRAIN] * 30 + [""] * 30, r"something else in 30 rows, first row 31: nan"),
    ],
)
def test_a_split_column_that_does_not_fit(tmp_path, side, match):
    refused(config(written(tmp_path / "t.csv", side=side), split_column="side"), match)


def test_bins_too_thin_to_give_a_row_to_val(tmp_path):
    path = written(tmp_path / "t.csv", y=np.arange(60) + 0.5)
    refused(config(path), "the val split is empty: no bin has 3 rows.*wider bins")


def test_groups_too_large_to_be_held_out(tmp_path):
    path = written(tmp_path / "t.csv", subject=[1, 2] * 30)
    refused(
        config(path, group_column="subject"), "the val split is empty: every group of 'subject'.*split_column"
    )


def test_a_row_without_its_group(tmp_path):
    path = written(tmp_path / "t.csv", subject=["a", ""] * 30)
    refused(
        config(path, group_column="subject"), "group_column 'subject' is empty in 30 rows, first row 2; fill"
    )


def test_no_input_columns(csv):
    refused(
        config(csv, ignore=("size", "colour")), "no input column besides the target; take one out of `ignore`"
    )


def test_text_that_strayed_into_a_column_of_numbers(tmp_path):
    size = [str(value) for value in np.arange(60) * 1.5]
    row = int(data.load(config(written(tmp_path / "t.csv"))).train.sample[0])
    size[row] = "12 kg"
    path = written(tmp_path / "t.csv", size=size)
    refused(
        config(path),
        f"column 'size' holds numbers, but text in row {row + 1}: '12 kg'; correct or empty such cells, or "
        "name the column in `categorical` or `ignore`",
    )
    assert "size=12 kg" in data.load(config(path, categorical=("size",))).encoding.names
    as_much_text = [f"x{n % 20}" if n % 2 else str(n) for n in range(60)]
    assert "size=x1" in data.load(config(written(path, size=as_much_text))).encoding.names


def test_infinite_inputs(tmp_path):
    path = written(tmp_path / "t.csv", size=np.where(np.arange(60) % 2, np.inf, np.arange(60.0)))
    refused(
        config(path),
        "column 'size' holds infinite or absurdly large values in .*'inf'; leave such cells empty",
    )


def test_a_column_of_names(tmp_path):
    names = [f"row {number}" for number in range(6000)]
    path = written(tmp_path / "t.csv", 6000, name=names)
    refused(config(path), r"column 'name' has \d+ different values in \d+ training rows.*add it to `ignore`")


# ---- what `init` and `data show` need


@pytest.mark.parametrize(
    ("label", "width"),
    [
        (np.arange(0.0, 102.0), 1.0),  # ages
        (np.array([326.0, 18_823.0]), 250.0),  # diamonds
        (np.array([0.0, 0.5, 5.2]), 0.05),  # 5.2 / 75 = 0.069
        (np.array([1.0, 5.0]), 1.0),  # whole labels never get less than 1
        (np.array([0.0, 187.0]), 2.0),  # 2.5 would take in two whole labels, then three
    ],
)
def test_proposed_bins_are_round(label, width):
    assert data.propose_bins(label) == BinWidth(width=width)


@given(low=st.floats(-1e6, 1e6), reach=st.floats(1e-3, 1e6))
def test_proposed_bins_are_about_50_to_100(low, reach):
    label = np.array([low, low + reach / 3 + 1e-4, low + reach])
    if np.all(label == np.round(label)):
        return
    width = data.propose_bins(label).width
    assert 50 <= np.ptp(label) / width <= 110
    assert float(f"{width:e}".split("e")[0]) in (1, 2, 2.5, 5)


def test_small_tables_get_fewer_bins_smaller_shots_and_smaller_val_splits():
    assert [data.wanted_bins(rows) for rows in (50, 600, 10_000)] == [10, 20, 75]
    assert data.propose_shots(np.array([400, 120, 0, 60])) == (100, 20)
    assert data.propose_shots(np.array([30, 20, 10, 0])) == (28, 8)  # 20 in a bin, where there are any
    label = np.repeat(np.arange(10.0), 40)
    assert data.propose_held_out(label, BinWidth(width=1.0)) == 8
    assert data.propose_held_out(label, BinWidth(width=10.0)) == 30
    assert data.propose_held_out(np.arange(10.0), BinWidth(width=1.0)) == 3


def test_no_bins_for_labels_that_are_all_equal():
    with pytest.raises(ValueError, match="all 3 labels are 7"):
        data.propose_bins(np.full(3, 7.0))


def test_a_csv_is_looked_through(tmp_path):
    path = written(
        tmp_path / "t.csv",
        id=range(1, 61),
        code=[f"A{number}" for number in range(60)],
        same=["x"] * 60,
        gaps=[None, 2.0] * 30,
        void=[None] * 60,
    )
    found = {
        column.name: (column.kind, column.distinct, column.missing) for column in data.inspect_csv(path, "y")
    }
    assert found == {
        "size": ("numeric", 60, 0),
        "colour": ("categorical", 2, 0),
        "id": ("id-like", 60, 0),
        "code": ("id-like", 60, 0),
        "same": ("constant", 1, 0),
        "gaps": ("numeric", 1, 30),
        "void": ("constant", 0, 60),
    }
    assert data.read_labels(path, "y").tolist() == (np.arange(60) % 3 + 0.5).tolist()


def test_a_given_split_is_found_and_nothing_of_its_test_rows_is_looked_at(tmp_path):
    side = [TEST] * 20 + [TRAIN] * 20 + [VAL] * 20
    y = [""] * 20 + [str(value) for value in np.arange(40) % 3 + 0.5]
    size = ["big"] * 20 + [str(value) for value in range(40)]
    size[50] = "12 kg"
    path = written(tmp_path / "t.csv", size=size, side=side, again=side, y=y, id=range(60), subject=range(60))
    found = {column.name: (column.kind, column.stray) for column in data.inspect_csv(path, "y")}
    assert found == {
        "size": ("id-like", "row 51: '12 kg'"),
        "colour": ("categorical", ""),
        "side": ("split", ""),
        "again": ("split", ""),
        "id": ("id-like", ""),
        "subject": ("id-like", ""),
    }
    assert data.read_labels(path, "y").tolist() == (np.arange(40) % 3 + 0.5).tolist()


def test_a_row_number_is_one_beside_a_given_split_too(tmp_path):
    rng = np.random.default_rng(0)
    side = np.tile(["train", "test", "train", "val", "train"], 40)  # what is not test has gaps
    table = pd.DataFrame({"id": range(1, 201), "a": rng.random(200), "label": rng.random(200), "side": side})
    table.to_csv(tmp_path / "t.csv", index=False)
    kinds = {column.name: column.kind for column in data.inspect_csv(tmp_path / "t.csv", "label")}
    assert kinds == {"id": "id-like", "a": "numeric", "side": "split"}


def test_a_subject_in_train_and_test_alone_is_no_group(tmp_path):
    rng = np.random.default_rng(0)
    side = np.repeat(["train", "val", "test"], [150, 25, 25])
    subject = np.r_[np.arange(150) % 50, 60 + np.arange(25) % 8, np.arange(25) % 8]
    table = pd.DataFrame({"subject": subject, "a": rng.random(200), "label": rng.random(200), "side": side})
    table.to_csv(tmp_path / "t.csv", index=False)
    kinds = {column.name: column.kind for column in data.inspect_csv(tmp_path / "t.csv", "label")}
    assert kinds["subject"] == "id-like"


def test_a_cell_may_be_as_long_as_it_likes(tmp_path):
    (tmp_path / "t.csv").write_text("a,label\n" + "x" * 200_000 + ",1.5\n")
    assert len(data.read_table(tmp_path / "t.csv")["a"][0]) == 200_000


@pytest.mark.parametrize(("people", "kind"), [(np.arange(60) // 5, "group"), (np.arange(60) % 12, "id-like")])
def test_subjects_on_two_sides_of_a_given_split_are_not_proposed_as_groups(tmp_path, people, kind):
    path = written(tmp_path / "t.csv", side=[TRAIN] * 40 + [VAL] * 20, subject=people)
    found = {column.name: column.kind for column in data.inspect_csv(path, "y")}
    assert (found["side"], found["subject"]) == ("split", kind)


def test_looking_through_a_csv_without_the_target_names_the_nearest_column(csv):
    with pytest.raises(ValueError, match=r"table\.csv: no column 'sise' \(target\); did you mean 'size'"):
        data.inspect_csv(csv, "sise")


def test_diamonds_are_described_in_about_fifty_lines():
    text = data.describe(data.load(Diamonds()))
    lines = text.splitlines()
    assert "from: carat, cut, color, clarity, depth, table, x, y, z (26 inputs once encoded)" in lines
    assert "rows: train 10,000, val 2,221, test 2,221 (test is sealed)" in lines
    assert "few         21       231     601   fewer than 20" in lines
    assert lines[-1].endswith(data.load(Diamonds()).hash)
    bars = [line for line in lines if " to " in line and line.endswith(("many", "median", "few"))]
    assert len(bars) == 38
    assert max(len(line) for line in lines) <= 80
    assert sum(int(line.split()[3].replace(",", "")) for line in bars) == 10_000


def test_a_bin_without_training_rows_is_described_as_zero(tmp_path):
    side = [TRAIN] * 30 + [VAL] * 30
    path = written(tmp_path / "t.csv", side=side, y=[0.5] * 30 + [2.5] * 30)
    text = data.describe(data.load(config(path, split_column="side")))
    assert "zero         2         0      30   none (these bins are among the few)" in text.splitlines()
    assert [line.split()[-1] for line in text.splitlines()[-5:-2]] == ["median", "zero", "zero"]
