"""CSV as it is written all over the world, and what is none."""

import numpy as np
import pandas as pd
import pytest
import torch

from onepass.errors import FileError
from onepass.guide import files
from onepass.guide.files import Stack, blocks, open_file, read, tables
from tests.guide.files.reading import assert_refused, column, tensor


@pytest.mark.parametrize("content", ["1,2\n3,4\n", "0.5\n1\n", "1.5;-2\n0;1\n", "1\n2\n"])
def test_a_table_without_names_says_so(tmp_path, content):
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(FileError, match="first line must name the columns, and holds"):
        open_file(tmp_path / "x.csv").columns("*")


def test_columns_may_be_named_by_their_places(tmp_path):
    pd.DataFrame(np.eye(3)).to_csv(tmp_path / "x.csv", index=False)
    assert tensor(tmp_path / "x.csv", "1").tolist() == [0, 1, 0]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_of_csv(tmp_path, separator):
    (tmp_path / "x.csv").write_text(f"x{separator}y\n1{separator}2.5\n")
    assert tensor(tmp_path / "x.csv", "y").tolist() == [2.5]


@pytest.mark.parametrize("content,numbers", [
    ("city;x;y\nOslo;1,5;2\nRoma;-2,25;1e3\n", [1.5, -2.25]),
    ("x;y\r\n1,5;2\r\n2,5;3\r\n", [1.5, 2.5]),
    ("x\ty\n1,5\ta\n2\tb\n", [1.5, 2]),
    ('x;y\n"1,5";a\n 2,5 ;b\n', [1.5, 2.5]),
    ("x;when\n1,5;31.01.2024\n2,5;01.02.2024\n", [1.5, 2.5]),  # a point that is no decimal one
    ("x;y\n1.5;1\n2.5;2\n", [1.5, 2.5]),
    ('"x","y"\n"1.5","2"\n"3","4"\n', [1.5, 3]),
    (" x , y \n 1.5 , 2\n3,4 \n", [1.5, 3]),
    ("\ufeffx,y\n1,2\n3,4\n", [1, 3]),
    ("\nx,y\n1,2\n", [1]),
    ("x\n1\n2", [1, 2]),
], ids=["semicolons", "line ends", "tabs", "quoted commas", "dates beside", "points", "quoted",
        "spaces", "byte order mark", "blank line", "no last line end"])  # fmt: skip
def test_csv_as_it_is_written_all_over_the_world(tmp_path, content, numbers):
    (tmp_path / "x.csv").write_bytes(content.encode())
    assert tensor(tmp_path / "x.csv", "x").tolist() == numbers


@pytest.mark.parametrize("content,part", [
    ("x;y\n1.234,5;2,5\n2.000,1;3,5\n", "'1.234,5'; write numbers without separators of thousands"),
    ('x,y\n"1,234.5",2\n', "'1,234.5'; write numbers without separators of thousands"),
    ("x,y\n1 250,2\n", "'1 250'; write numbers without separators of thousands"),
    ('x,y\n"1,5",2\n', "'1,5'; write decimals with a point"),
    ("x;y\n1,5;2.5\n", "'1,5'; write decimals with a point"),  # which of the two is meant?
    ("x,y\n2024-01-31,1\n", "'2024-01-31'; write the time since a fixed day as a number"),
    ("x,y\n31.1.2024,1\n", "'31.1.2024'; write the time since a fixed day"),
    ("x,y\n5%,1\n", "'5%'; write numbers without a unit"),
    ("x,y\n€5.20,1\n", "'€5.20'; write numbers without a unit"),
])  # fmt: skip
def test_numbers_that_are_none_say_what_to_write(tmp_path, content, part):
    (tmp_path / "x.csv").write_text(content)
    assert_refused(tmp_path / "x.csv", "not numeric: it holds", part, name="x")


def test_a_missing_field_is_nan(tmp_path):
    (tmp_path / "x.csv").write_text("x,y\n1,\n,2\n3\n")
    for name, expected in {"x": [1, np.nan, 3], "y": [np.nan, 2, np.nan]}.items():
        np.testing.assert_array_equal(tensor(tmp_path / "x.csv", name), expected)


def test_csv_keeps_no_more_than_the_columns_asked_for(tmp_path):
    pd.DataFrame(np.zeros((10, 4)), columns=list("abcd")).to_csv(tmp_path / "x.csv", index=False)
    wanted = column(tmp_path / "x.csv", "b")
    array = read([wanted], 10)[wanted]
    while array.base is not None:
        array = array.base
    assert array.nbytes == 80


def test_csv_numbers_are_read_exactly(tmp_path):
    values = np.random.default_rng(0).normal(size=1000) * 10.0 ** np.arange(-150, 150, 0.3)
    pd.DataFrame({"x": values}).to_csv(tmp_path / "x.csv", index=False)
    np.testing.assert_array_equal(tensor(tmp_path / "x.csv").numpy(), values)


NINES, THIRD = "9" * 5000, "0." + "3" * 5000


@pytest.mark.parametrize("cells", [
    [NINES, f"-{NINES}", "1"],
    ["1" * 400, "", "2"],
    ["1" * 300, "-" + "2" * 21, "3"],
    [THIRD, f"+{THIRD}", "-1e-5000"],
    [NINES, "1.5", "1e400", "-inf", "", " 7 "],
    ["9" * 20, "-1", "nan"],
], ids=["whole", "past float64", "past int64", "fractions", "mixed", "past uint64"])  # fmt: skip
def test_numbers_of_any_length_are_what_float_makes_of_them(tmp_path, cells):
    lines = "".join(f"{cell},0\n" for cell in cells)
    (tmp_path / "x.csv").write_text(f"x,y\n{lines}")
    expected = [float(cell or "nan") for cell in cells]
    if pd.__version__ < "3.1" and any(310 < len(cell) <= 4300 for cell in cells):
        pytest.skip("this pandas raises an OverflowError for integers past float64")
    np.testing.assert_array_equal(tensor(tmp_path / "x.csv", "x"), expected)
    wanted = column(tmp_path / "x.csv", "x")
    found = files.numbers_or_names(wanted, read([wanted], 9)[wanted])
    np.testing.assert_array_equal(found, expected)
    parts = [Stack((wanted,)).tensor(block) for block in blocks([wanted], 1)]
    np.testing.assert_array_equal(torch.cat([part.double() for part in parts]), expected)


@pytest.mark.parametrize("cells", [["1_000", "2"], ["１２", "3"], [NINES, "Oslo"], [NINES, "1_0"]])
def test_what_only_python_calls_a_number_is_none(tmp_path, cells):
    (tmp_path / "x.csv").write_text("x\n" + "\n".join(cells))
    assert_refused(tmp_path / "x.csv", "not numeric")


def test_what_is_missing_beside_a_long_number_is_missing(tmp_path):
    (tmp_path / "x.csv").write_text(f"x;y\n1,5;{NINES}\n2,5;\nNA;Oslo\n{NINES};NA\n")
    x, y = (column(tmp_path / "x.csv", name) for name in "xy")
    found = read([x, y], 9)
    np.testing.assert_array_equal(found[x], [1.5, 2.5, np.nan, np.inf])
    assert files.labels(y, found[y]) == [NINES, None, "Oslo", None]


def test_groups_named_by_long_numbers_stay_apart(tmp_path):
    (tmp_path / "x.csv").write_text(f"x\n{10**30}\n{10**30 + 1}\n")
    wanted = column(tmp_path / "x.csv")
    assert files.labels(wanted, read([wanted], 9)[wanted]) == [10**30, 10**30 + 1]


def test_text_is_refused_with_its_classes(tmp_path):
    (tmp_path / "x.csv").write_text("y\nno\nyes\nno\n")
    assert_refused(tmp_path / "x.csv", "not numeric", "'no'", "classes 0 to 1", "--classes no,yes")
    assert tensor(tmp_path / "x.csv", classes=("yes", "no")).tolist() == [1, 0, 1]


def test_text_among_numbers_is_shown(tmp_path):
    (tmp_path / "x.csv").write_text("y\n" + "".join(f"{k}\n" for k in range(20)) + "1 250\n")
    assert_refused(tmp_path / "x.csv", "it holds '1 250'")


def test_a_class_that_is_none(tmp_path):
    (tmp_path / "x.csv").write_text("y\n1\n2\n3\n")
    assert tensor(tmp_path / "x.csv", classes=("3", "2", "1")).tolist() == [2, 1, 0]
    with pytest.raises(FileError, match="holds '3', but --classes lists only '1', '2'"):
        tensor(tmp_path / "x.csv", classes=("1", "2"))


@pytest.mark.parametrize("content,part", [
    (b"", "is empty"),
    (b"x,y\n", "holds no rows"),
    (b"x\nnan\nnan\n", "holds no rows, or nothing but nan"),
    (bytes(range(256)) * 4, "it is not UTF-8 text"),
    ("x,y\n1,2\n".encode("utf-16"), "it is not UTF-8 text"),
    ("é,y\n1,2\n".encode("latin-1"), "it is not UTF-8 text"),
    (b"\xff\xfe\xfd\n1\n", "it is not UTF-8 text"),
    (b"x" * (tables.HEAD + 1), "does not end"),
    (b"x,y\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
    (b"x,y\n1,2,3\n1,2,3\n", "more fields than its first line"),
])  # fmt: skip
def test_csv_that_is_none(tmp_path, content, part):
    (tmp_path / "x.csv").write_bytes(content)
    assert_refused(tmp_path / "x.csv", part)
