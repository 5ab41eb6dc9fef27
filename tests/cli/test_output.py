"""What commands print of long names, of many columns, and of names that are no text."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.cli.commands import printed, run

LONG = "q" * 100_000
NAMED = {  # by what is long: a command, and what else its message says
    "a column that is not there": ("{houses} --input {long} --target price", "it has 'estimate'"),
    "a pattern": ("{houses} --input {long}* --target price", "it has 'estimate'"),
    "a group": ("{houses} --input estimate --target price --by {long}", "it has 'estimate'"),
    "a column of text": ("{strange} --input {long} --target y", "not numeric: it holds"),
    "a column beside": ("{strange} --input y --target z", "it has 'qqq"),
    "a class": ("{strange} --input y --target {long} --classes a,{long}", "lists only 'a'"),
    "a path": ("{houses}{long}.csv --input x --target y", "File name too long"),
    "a suffix": ("{houses}.{long} --input x --target y", "File name too long"),
    "a file's column": ("--input {houses}:{long} --target y", "it has 'estimate'"),
    "no file": ("--input {long}:x --target y", "is no file"),
    "an option": ("{houses} --input estimate --target price --{long} 1", "may take"),
    "an option's value": ("{houses} --input estimate --target price --delta {long}", "`delta`"),
    "two values": ("{houses} --input estimate --target price --delta 1 {long}", "takes one value"),
    "weights": ("{houses} --input estimate --target price --weight {long}", "with commas"),
    "a reduction": (
        "{houses} --input estimate --target price --reduction {long}",
        "must be one of",
    ),
    "an output": ("{houses} --input estimate --target price -o {long}", "name.npy"),
    "what is no option": ("{houses} {long} --input estimate", "Columns follow"),
}


@pytest.mark.parametrize("kind", NAMED)
def test_long_names_are_shortened_in_errors(houses, kind):
    strange = houses.parent / "strange.csv"
    pd.DataFrame({LONG: ["b" + LONG, "c"], "y": [1, 2]}).to_csv(strange, index=False)
    given, says = NAMED[kind]
    line = given.format(houses=houses, strange=strange, long=LONG)
    result = run("evaluate", "huber", *line.split())
    assert result.exit_code == 2, result.output[:500]
    assert says in result.stderr
    assert len(result.stderr) < 1500
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [
    (LONG,), ("show", LONG), ("show", "huber", f"--{LONG}"), ("show", "huber", "--source", LONG),
    ("plot", "huber", "--delta", LONG, "-o", "x.svg"), ("plot", "huber", "-o", LONG),
    ("plot", "huber", f"--{LONG}", "1", "-o", "x.svg"), ("recommend", LONG),
    ("plot", "huber", "--width", LONG, "-o", "x.svg"),
    ("demo", "--loss", LONG), ("plot", LONG, "-o", "x.svg"),
])  # fmt: skip
def test_long_words_are_shortened_in_errors(arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert "qqq" in result.stderr
    assert len(result.stderr) < 1500


def test_of_many_columns_a_few_are_listed(tmp_path):
    names = [f"c{place}" for place in range(5000)]
    pd.DataFrame(np.ones((2, 5000)), columns=names).to_csv(tmp_path / "x.csv", index=False)
    np.save(tmp_path / "y.npy", np.ones(3))
    wide = f"{tmp_path / 'x.csv'}:c*"
    for arguments, says in {
        ("recommend", tmp_path / "x.csv"): "give --target COLUMN",
        ("recommend", tmp_path / "x.csv", "--target", "d"): "no column 'd'",
        ("evaluate", "mse", "--input", tmp_path / "x.csv", "--target", "y"): "name one",
        ("evaluate", "mse", "--input", wide, "--target", tmp_path / "y.npy"): "differ in length",
    }.items():
        result = run(*arguments)
        assert result.exit_code == 2
        assert says in result.stderr
        assert "more" in result.stderr
        assert len(result.stderr) < 3000


FORBIDDEN = set("\x1b\x07\x9b\u202e\u2066\x08\x7f\r\t")
OBEYED = "\x1b[31m \x1b]0;title\x07 \x9b2J \u202egpj \u2066x \x08\x7f"


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize("name", ["[red]", "[/x]", ":smile:", "\\", OBEYED])
def test_names_in_files_are_text_for_the_terminal(tmp_path, name, options):
    table = {"x": [1.0, 2.0], "y": [2.0, 1.0], name: [name, "other"]}
    pd.DataFrame(table).to_csv(tmp_path / "x.csv", index=False)
    given = ("--input", "x", "--target", "y", "--by", name)
    shown = printed("evaluate", "mse", tmp_path / "x.csv", *given, *options)
    assert not FORBIDDEN.intersection(shown)
    if options:
        assert json.loads(shown)["groups"][0]["group"] in (name, "other")
    elif name is not OBEYED:
        assert shown.count(name) == 2  # over the column, and in it
    else:
        assert "\\u001b[31m" in "".join(shown.split())
        assert "\\u202egpj" in "".join(shown.split())


def test_names_in_errors_are_text_for_the_terminal(tmp_path):
    missing = tmp_path / f"{OBEYED}.csv"
    result = run("evaluate", "mse", missing, "--input", "x", "--target", "y")
    assert result.exit_code == 2
    assert "\\u001b[31m" in result.stderr
    assert not FORBIDDEN.intersection(result.stderr)
