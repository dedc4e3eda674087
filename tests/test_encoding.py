"""The encoding of a table: standardised numbers, one-hot categories, missing values, JSON."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirsweep.data import TableEncoding


def text(**columns):
    return pd.DataFrame(columns, dtype="str")


def test_numbers_are_standardised_by_the_training_rows():
    encoding = TableEncoding.fit(text(size=["1", "3"]), ())
    assert encoding.encode(text(size=["2", "5"])).tolist() == [[0.0], [3.0]]


def test_categories_are_one_hot_in_sorted_order():
    encoding = TableEncoding.fit(text(cut=["Good", "Fair", "Good"]), ("cut",))
    assert encoding.names == ["cut=Fair", "cut=Good"]
    assert encoding.encode(text(cut=["Good", "Fair"])).tolist() == [[0, 1], [1, 0]]


def test_inputs_are_float32_and_keep_the_order_of_the_columns():
    encoding = TableEncoding.fit(text(b=["1", "3"], a=["x", "y"]), ("a",))
    assert encoding.names == ["b", "a=x", "a=y"]
    assert encoding.encode(text(a=["y"], b=["3"], other=["?"])).dtype == np.float32


def test_an_unknown_category_is_zero_everywhere():
    encoding = TableEncoding.fit(text(cut=["Good", "Fair"]), ("cut",))
    assert encoding.encode(text(cut=["Ideal"])).tolist() == [[0, 0]]


def test_a_missing_category_is_a_level_of_its_own():
    encoding = TableEncoding.fit(text(cut=["Good", None]), ("cut",))
    assert encoding.names == ["cut=Good", "cut is missing"]
    assert encoding.encode(text(cut=[None, "Good", "Ideal"])).tolist() == [[0, 1], [1, 0], [0, 0]]


def test_a_category_that_training_never_lacked_is_zero_where_it_is_missing():
    encoding = TableEncoding.fit(text(cut=["Good", "Fair"]), ("cut",))
    assert encoding.encode(text(cut=[None])).tolist() == [[0, 0]]


def test_a_missing_number_counts_as_the_mean_and_is_marked():
    encoding = TableEncoding.fit(text(size=["1", None, "3"]), ())
    assert encoding.names == ["size", "size is missing"]
    assert encoding.encode(text(size=[None, "3"])).tolist() == [[0, 1], [1, 0]]


def test_a_number_that_training_never_lacked_counts_as_the_mean_without_a_mark():
    encoding = TableEncoding.fit(text(size=["1", "3"]), ())
    assert encoding.encode(text(size=[None])).tolist() == [[0]]


def test_a_column_that_is_constant_in_training_is_zero():
    # 0.1 three times: the computed deviation is 1e-17, which would turn rounding into -1 and 1
    encoding = TableEncoding.fit(text(same=["0.1"] * 3, size=["1", "2", "3"]), ())
    assert encoding.encode(text(same=["0.1", "9"], size=["2", "2"])).tolist() == [[0, 0], [0, 0]]


def test_numbers_named_as_categories_are_one_hot():
    encoding = TableEncoding.fit(pd.DataFrame({"code": [1, 2]}), ("code",))
    assert encoding.names == ["code=1", "code=2"]
    assert encoding.encode(text(code=["2"])).tolist() == [[0, 1]]


def test_an_encoding_comes_back_from_json():
    encoding = TableEncoding.fit(text(size=["1", None, "4"], cut=["a", None, "b"]), ("cut",))
    assert TableEncoding.from_json(json.loads(json.dumps(encoding.to_json()))) == encoding


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50))
def test_training_inputs_have_mean_0_and_deviation_1(values):
    if np.std(values) < 1e-3:
        return
    table = pd.DataFrame({"size": values})
    inputs = TableEncoding.fit(table, ()).encode(table)
    assert inputs.mean() == pytest.approx(0, abs=1e-4)
    assert inputs.std() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("bad", ["inf", "-inf", "1.7976931348623157e308"])
def test_infinite_and_absurd_numbers_are_refused(bad):
    with pytest.raises(
        ValueError, match=r"'size' holds infinite or absurdly large values in row 2: .*leave such"
    ):
        TableEncoding.fit(text(size=["1", bad]), ())


def test_a_number_too_far_from_training_for_float32_is_refused():
    encoding = TableEncoding.fit(text(size=["1", "3"]), ())
    assert encoding.encode(text(size=["3e38"])).tolist() == [[pytest.approx(3e38)]]
    with pytest.raises(
        ValueError, match=r"'size' holds absurdly large values in row 2: '1e100', while training"
    ):
        encoding.encode(text(size=["2", "1e100"]))


def test_more_than_a_thousand_levels_are_refused():
    names = [f"stone {number}" for number in range(1001)]
    assert len(TableEncoding.fit(text(name=names[:1000]), ("name",)).names) == 1000
    with pytest.raises(ValueError, match=r"'name' has 1001 different values.*names rows, add it to `ignore`"):
        TableEncoding.fit(text(name=names), ("name",))


def test_too_many_levels_that_are_numbers_but_for_a_few_say_so():
    with pytest.raises(
        ValueError, match=r"'size' has 1002 .*most are numbers, but 1 rows hold text, such as '12 kg'"
    ):
        TableEncoding.fit(text(size=[*map(str, range(1001)), "12 kg"]), ("size",))


def test_text_among_the_numbers_of_new_rows_is_refused():
    encoding = TableEncoding.fit(text(size=["1", "3"]), ())
    with pytest.raises(
        ValueError, match="'size' must hold numbers, but holds text in 2 rows, first row 2: 'big'"
    ):
        encoding.encode(text(size=["1", "big", "small"]))


def test_new_rows_without_a_column_are_refused():
    encoding = TableEncoding.fit(text(carat=["1", "3"]), ())
    with pytest.raises(ValueError, match=r"no column 'carat' \(an input\); did you mean 'karat'"):
        encoding.encode(text(karat=["1"]))


def test_a_table_without_input_columns_is_refused():
    with pytest.raises(ValueError, match="no input column besides the target"):
        TableEncoding.fit(pd.DataFrame(index=range(3)), ())


def test_a_table_whose_columns_are_all_constant_is_refused():
    with pytest.raises(ValueError, match=r"no input column varies .*'a', 'b', 'c'"):
        TableEncoding.fit(text(a=["1", "1"], b=["x", "x"], c=[None, None]), ("b",))
