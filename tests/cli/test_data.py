"""What files of numbers are good for: evaluate, recommend, diagnose, explain."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

import onepass
import onepass.functional as F
from tests.cli.commands import assert_refused, printed, run, tensors

# --- evaluate ----------------------------------------------------------------------------------


def test_evaluate_columns_of_a_file(houses):
    price, estimate = tensors(houses, "price", "estimate")
    given = ("evaluate", "huber_loss", houses, "--input", "estimate", "--target", "price")
    for reduction in ("mean", "sum", "batchmean"):
        expected = F.huber_loss(estimate, price, reduction=reduction, delta=0.5).item()
        shown = printed(*given, "--reduction", reduction, "--delta", "0.5")
        assert float(shown) == pytest.approx(expected, rel=1e-7)


def test_evaluate_files_of_one_column_each(tmp_path):
    input, target = torch.randn(2, 50, generator=torch.Generator().manual_seed(0))
    np.save(tmp_path / "input.npy", input)
    np.savez(tmp_path / "target.npz", y=target, other=target)
    target_file = f"{tmp_path / 'target.npz'}:y"
    shown = printed("evaluate", "mse", "--input", tmp_path / "input.npy", "--target", target_file)
    assert float(shown) == pytest.approx(F.mse_loss(input, target).item(), rel=1e-6)


def test_evaluate_groups_as_json(houses):
    price, estimate, weight = tensors(houses, "price", "estimate", "weight")
    rome = torch.tensor((pd.read_csv(houses)["city"] == "Rome").to_list())
    columns = ("--input", "estimate", "--target", "price", "--sample-weight", "weight")
    shown = json.loads(printed("evaluate", "l1", houses, *columns, "--by", "city", "--json"))
    assert (shown["loss"], shown["reduction"], shown["by"]) == ("l1_loss", "mean", "city")
    for group, rows in zip(shown["groups"], (~rome, rome), strict=True):
        expected = F.l1_loss(estimate[rows], price[rows], sample_weight=weight[rows]).item()
        assert group == {
            "group": "Rome" if rows is rome else "Oslo",
            "rows": int(rows.sum()),
            "value": pytest.approx(expected, rel=1e-7),
        }
    table = printed("evaluate", "l1", houses, *columns, "--by", "city")
    assert "Oslo" in table
    assert "Rome" in table


def test_evaluate_logits_side_by_side_and_classes_by_name(tmp_path):
    logits = np.random.default_rng(0).normal(size=(30, 3))
    names = ["cat", "dog", "eel"]
    table = pd.DataFrame(logits, columns=[f"logit_{name}" for name in names])
    labels = np.arange(30) % 3
    table["animal"] = [names[label] for label in labels]
    table.to_parquet(tmp_path / "animals.parquet")
    given = ("evaluate", "cross_entropy", tmp_path / "animals.parquet", "--target", "animal",
             "--classes", "cat,dog,eel", "--weight", "1,2,0.5")  # fmt: skip
    weight = torch.tensor([1, 2, 0.5]).double()
    expected = F.cross_entropy(torch.tensor(logits), torch.tensor(labels), weight).item()
    one_by_one = [part for name in names for part in ("--input", f"logit_{name}")]
    for inputs in (one_by_one, ("--input", "logit_*")):
        assert float(printed(*given, *inputs)) == pytest.approx(expected, rel=1e-7)


def test_evaluate_writes_the_unreduced_loss(houses, tmp_path):
    price, estimate = tensors(houses, "price", "estimate")
    columns = ("--input", "estimate", "--target", "price", "--reduction", "none")
    assert_refused("evaluate", "mse", houses, *columns, says="give --output FILE.npy")
    printed("evaluate", "mse", houses, *columns, "--output", tmp_path / "loss.npy")
    expected = F.mse_loss(estimate, price, reduction="none")
    np.testing.assert_array_equal(np.load(tmp_path / "loss.npy"), expected)


def test_what_is_no_number_is_null_in_json(tmp_path):
    np.savez(tmp_path / "x.npz", x=[1.0, np.nan], y=[0.0, 0.0])
    given = ("evaluate", "mse", tmp_path / "x.npz", "--input", "x", "--target", "y")
    for result, value in ((run(*given), "nan"), (run(*given, "--json"), '"value": null')):
        assert result.exit_code == 0
        assert value in result.stdout
        assert result.stderr.startswith("onepass: nan: no row counts, or some hold nan")
        assert result.stderr.count("\n") == 1


def test_data_that_do_not_suit(houses, tmp_path):
    given = ("evaluate", "huber", houses, "--input", "estimate")
    priced = (*given, "--target", "price")
    assert_refused(*given, says="huber_loss takes --input, --target; give --target")
    assert_refused(*given, "--target", "prize", says=("no column 'prize'", "mean 'price'?"))
    assert_refused(*given, "--target", "sold", says=("not numeric", "--classes no,yes"))
    assert_refused(*priced, "--var", "weight", says="has no --var; it takes --input, --target")
    assert_refused(*priced, "extra", says="what is 'extra'?")
    assert_refused(*priced, "--dleta", "2", says=("no --dleta", "Did you mean --delta?"))
    assert_refused(*priced, "--delta", says="`delta` must be a positive")
    assert_refused(*priced, "--delta", "x", says="`delta` must be a positive")
    assert_refused(*priced, "--delta", "-1", says="`delta` must be a positive")
    assert_refused(*priced, "--delta", "1", "2", says="--delta takes one value; got 1 2")
    assert_refused(*priced, "--weight", "1,x", says="numbers with commas")
    assert_refused(*priced, "--weight", says="numbers with commas")
    late = ("evaluate", "huber", "--delta", "1", houses, *given[3:], "--target", "price")
    assert_refused(*late, says="FILE follows LOSS")
    assert_refused(*priced, "--reduction", "avg", says="Did you mean 'mean'?")
    assert_refused(*priced, "--by", "*e*", says="must name one column")
    assert_refused(*priced, "--output", tmp_path / "no" / "x.npy", says="No such file")
    columns = ("--input", "estimate", "--target", "price")
    assert_refused("evaluate", "huber", tmp_path / "no.csv", *columns, says="No such file")
    assert_refused("evaluate", "huber", tmp_path, *columns, says="is a directory")
    assert_refused("evaluate", "huber", *columns, says="give FILE after LOSS")


# --- recommend and diagnose --------------------------------------------------------------------


def test_recommend_for_numbers_and_for_text(houses):
    shown = json.loads(
        printed("recommend", houses, "--target", "price", "--prediction", "estimate", "--json")
    )
    given = pd.read_csv(houses)
    expected = onepass.recommend(given["price"].to_numpy(), given["estimate"].to_numpy())
    assert shown == [json.loads(json.dumps(r.as_dict())) for r in expected]
    assert expected[0].loss in printed("recommend", houses, "--target", "price")
    binary = json.loads(printed("recommend", houses, "--target", "sold", "--json"))
    assert "binary_cross_entropy_with_logits" in {r["loss"] for r in binary}


def test_of_a_single_column_the_target_need_not_be_said(houses):
    price = pd.read_csv(houses)["price"].to_numpy()
    np.save(houses.parent / "price.npy", price)
    named = printed("recommend", houses, "--target", "price")
    assert printed("recommend", houses.parent / "price.npy") == named
    says = "give --target COLUMN: ", "'estimate', 'price', 'city', 'weight', 'sold'"
    assert_refused("recommend", houses, says=says)


@pytest.mark.parametrize("column, says", [
    (["1,200.5", "2,300.0"], "it holds '1,200.5'; write numbers without separators of thousands"),
    (["5%", "7%"], "it holds '5%'; write numbers without a unit"),
    (["2024-01-31", "2024-02-01"], "write the time since a fixed day as a number"),
    (["1.5", "2.5", "?"], "is neither numbers nor names: it holds '?'"),
    (["1,5", "2,5"], "write decimals with a point"),
])  # fmt: skip
def test_text_that_is_to_be_numbers_is_not_taken_for_names(tmp_path, column, says):
    pd.DataFrame({"y": column * 20}).to_csv(tmp_path / "x.csv", index=False)
    assert_refused("recommend", tmp_path / "x.csv", says=("column 'y' of", says))


def test_recommend_looks_at_the_first_rows(tmp_path):
    pd.DataFrame({"y": [0, 1] * 50 + [0.5, 3.7] * 50}).to_parquet(tmp_path / "x.parquet")
    first = printed("recommend", tmp_path / "x.parquet", "--target", "y", "--rows", 100)
    assert first != printed("recommend", tmp_path / "x.parquet", "--target", "y")


@pytest.mark.parametrize("rows, bytes", [(100, 1 << 25), (1000, 800)])
def test_as_many_rows_are_read_as_are_enough(tmp_path, monkeypatch, rows, bytes):
    monkeypatch.setattr("onepass.cli.data.MOST_ROWS", rows)
    monkeypatch.setattr("onepass.cli.data.MOST_BYTES", bytes)
    np.save(tmp_path / "x.npy", np.array([0, 1] * 50 + [0.5, 3.7] * 50))
    few = printed("recommend", tmp_path / "x.npy")
    assert few == printed("recommend", tmp_path / "x.npy", "--rows", 100)
    assert few != printed("recommend", tmp_path / "x.npy", "--rows", 200)
    np.savez(tmp_path / "p.npz", x=np.linspace(0, 1, 200), y=np.linspace(1, 0, 200))
    given = ("diagnose", "mse", tmp_path / "p.npz", "--input", "x", "--target", "y")
    seen = min(rows, bytes // 16)
    assert printed(*given) == f"nothing found: mse_loss suits the first {seen} of 200 rows\n"
    assert printed(*given, "--rows", 200) == "nothing found: mse_loss suits 200 rows\n"


def test_diagnose_finds_what_is_wrong(tmp_path):
    source = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 5, generator=source)
    target = torch.randint(5, (200,), generator=source)
    np.savez(tmp_path / "x.npz", logits=logits, p=logits.softmax(1), y=target)
    given = ("diagnose", "cross_entropy", tmp_path / "x.npz", "--target", "y", "--input")
    printed(*given, "logits")
    shown = printed(*given, "p", code=1)
    findings = json.loads(printed(*given, "p", "--json", code=1))
    assert [f["problem"] for f in findings] == [
        f.problem for f in onepass.diagnose("cross_entropy", logits.softmax(1), target)
    ]
    assert f"{findings[0]['remedy']}\n" in shown


def test_diagnose_calls_the_loss_with_its_options(tmp_path):
    target = np.array([0, 1, 255, 2] * 20)
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(80, 3)), y=target)
    given = ("diagnose", "cross_entropy", tmp_path / "x.npz", "--input", "x", "--target", "y")
    printed(*given, code=1)
    assert "255" not in printed(*given, "--ignore-index", "255")
    assert_refused(*given, "--ignore", "255", says="Did you mean --ignore-index?")


@pytest.fixture
def missing(tmp_path):
    """A file in whose first column a tenth is missing, and another that says where."""
    source = np.random.default_rng(0)
    input, target = source.normal(size=(2, 200, 3))
    known = np.arange(200) % 10 > 0
    target[~known] = np.nan
    np.savez(tmp_path / "x.npz", x=input, y=target, known=known.astype("f4"))
    return tmp_path / "x.npz", torch.from_numpy(input[known]), torch.from_numpy(target[known])


def test_diagnose_and_explain_leave_out_what_a_mask_does(missing):
    path, input, target = missing
    given = ("mse", path, "--input", "x", "--target", "y")
    printed("diagnose", *given, code=1)
    masked = printed("diagnose", *given, "--mask", "known")
    assert "nan" not in masked
    shown = json.loads(printed("explain", *given, "--mask", "known", "--json"))
    expected = onepass.explain("mse", input, target)
    assert shown["counting"] == expected.counting == 180 * 3
    assert shown["spread"]["value"] == pytest.approx(expected.spread.value)
    weighed = json.loads(printed("explain", *given, "--sample-weight", "known", "--json"))
    for share in ("value", "loss", "gradient"):
        assert weighed["spread"][share] == pytest.approx(shown["spread"][share])


def test_diagnose_speaks_of_tensors_that_do_not_fit_whatever_weighs_them(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.ones((4, 3)), y=np.ones((4, 2)), w=np.ones(4))
    given = ("--input", "x", "--target", "y", "--sample-weight", "w")
    assert "ShapeError" in printed("diagnose", "mse", tmp_path / "x.npz", *given, code=1)


# --- explain -----------------------------------------------------------------------------------


def test_explain_prints_the_explanation(houses):
    price, estimate = tensors(houses, "price", "estimate")
    given = ("explain", "huber", houses, "--input", "estimate", "--target", "price")
    expected = onepass.explain("huber", estimate, price, delta=0.5)
    assert printed(*given, "--delta", "0.5").rstrip() == str(expected)
    assert json.loads(printed(*given, "--delta", "0.5", "--json")) == json.loads(
        json.dumps(expected.as_dict())
    )
    first = onepass.explain("huber", estimate[:50], price[:50])
    assert printed(*given, "--rows", 50).rstrip() == str(first)


def test_explain_reads_classes_by_name(houses):
    given = ("explain", "bce_with_logits", houses, "--input", "estimate", "--target", "sold")
    assert_refused(*given, says="to read it as classes 0 to 1 write --classes no,yes")
    groups = json.loads(printed(*given, "--classes", "no,yes", "--json"))["groups"]["class"]
    counts = pd.read_csv(houses)["sold"].value_counts()
    assert {g["key"]: g["elements"] for g in groups} == {0: counts["no"], 1: counts["yes"]}


@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_explain_draws(houses, width):
    path = houses.parent / "x.png"
    given = ("explain", "mse", houses, "--input", "estimate", "--target", "price")
    assert printed(*given, "-o", path, "--width", width) == f"written to {path}\n"
    assert path.read_bytes().startswith(b"\x89PNG")
    shown = json.loads(printed(*given, "-o", path, "--json"))
    assert shown["loss"] == "mse_loss"
    assert_refused(*given, "-o", path, "--width", "broad", says="wide, narrow")
    assert_refused(*given, "-o", houses.parent / "x.gif", says=".svg, .png, .pdf")


def test_what_cannot_be_explained_is_said(houses):
    given = ("explain", "mse", houses, "--input", "estimate", "--target")
    assert_refused(*given, "city", says="not numeric")
    assert_refused("explain", "bce", *given[2:], "price", says="binary_cross_entropy")
