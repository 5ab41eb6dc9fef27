from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import onepass
import onepass.functional as F
from onepass.cli import app
from onepass.define import Rowwise
from onepass.errors import EngineError
from onepass.guide import demo
from onepass.guide.demo import race, training
from onepass.runtime.cpu import disk, native


@pytest.fixture(autouse=True)
def small_race(monkeypatch):
    monkeypatch.setattr(race, "SHAPE", (20, 10))
    monkeypatch.setattr(race, "PAIRS", 2)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def printed(*arguments, code=0):
    """What a command prints on stdout, which must be all it prints."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert result.stderr == ""
    return result.stdout


def assert_refused(*arguments, says, code=2):
    """The command ends with one line on stderr and nothing on stdout."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert result.stderr.startswith("onepass: ")
    assert result.stderr.count("\n") == 1
    for part in (says,) if isinstance(says, str) else says:
        assert part in result.stderr


@pytest.fixture
def houses(tmp_path):
    source = np.random.default_rng(0)
    table = pd.DataFrame({
        "estimate": source.normal(size=200),
        "price": source.normal(size=200),
        "city": source.choice(["Oslo", "Rome"], 200),
        "weight": source.uniform(size=200),
        "sold": source.choice(["no", "yes"], 200),
    })  # fmt: skip
    table.round(6).to_csv(tmp_path / "houses.csv", index=False)  # every pandas reads them alike
    return tmp_path / "houses.csv"


def tensors(path, *names):
    table = pd.read_csv(path)
    return [torch.from_numpy(table[name].to_numpy(copy=True)) for name in names]


# --- what there is -----------------------------------------------------------------------------

COMMANDS = (
    "list", "show", "plot", "recommend", "diagnose", "explain", "evaluate", "demo", "bench",
    "build", "cache",
)  # fmt: skip


def test_without_a_command_all_are_listed():
    shown = printed()
    assert all(f"  {command} " in shown for command in COMMANDS)
    assert "..." not in shown.split("Commands:")[1]  # each says it in one line


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command):
    shown = printed(command, "--help")
    assert f"Usage: onepass {command}" in shown.replace("root", "onepass")
    assert "<" not in shown.replace("LOSS <", "").replace("FILE <", "")  # types of Python's


def test_the_version():
    assert printed("--version") == f"onepass {onepass.__version__}\n"


def test_list_names_every_loss():
    shown = printed("list").replace("\n", "")
    continuous, discrete = (shown.index(t) for t in ("Continuous outputs", "Discrete outputs"))
    assert continuous < shown.index("l1_loss") < discrete < shown.index("nll_loss", discrete)


def test_in_a_narrow_terminal_the_list_has_no_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    shown = printed("list")
    assert all(len(line) <= 40 for line in shown.splitlines())
    for name, loss in onepass.catalogue().items():
        assert f"\n{name}\n" in shown
        assert " ".join(loss.card.best_for.split()) in " ".join(shown.split())


def test_list_as_json():
    losses = json.loads(printed("list", "--json"))
    assert {loss["loss"] for loss in losses} == set(onepass.catalogue())
    assert {loss["outputs"] for loss in losses[:7]} == {"Continuous outputs"}
    assert all(loss["best_for"] for loss in losses)


@pytest.mark.parametrize("loss", onepass.catalogue())
def test_show_a_loss(loss):
    card = onepass.catalogue()[loss].card
    shown = printed("show", loss)
    assert all(len(line) <= 80 for line in shown.split("\nDefinition")[0].splitlines())
    shown = " ".join(shown.split())
    for part in (loss, card.best_for, card.not_for, *card.relatives, "Definition", "def "):
        assert part in shown
    described = json.loads(printed("show", loss, "--json"))
    assert described["best_for"] == card.best_for
    assert described["parameters"]["reduction"] == {"default": "mean"}


def test_show_has_definition_gradient_and_parameters():
    shown = printed("show", "huber")
    assert "error = input - target" in shown
    assert "delta * (size - 0.5 * delta)" in shown
    assert "where(size < delta, error, delta * sign(error))" in shown
    assert "\nwhere = " not in shown  # a name of its own
    assert "= 1.0" in shown
    assert "a positive finite number, > 0" in shown
    assert "card=" not in shown  # it is shown, not quoted


def test_the_gradient_that_is_shown_is_the_gradient():
    text = json.loads(printed("show", "huber_loss", "--json"))["gradient"]
    *steps, by_input, _ = text.splitlines()
    input, target = torch.tensor([-3.0, 0.4, 5.0], requires_grad=True), torch.zeros(3)
    names = {"abs": torch.abs, "sign": torch.sign, "where": torch.where, "delta": 1.0}
    scope = {**names, "input": input.detach(), "target": target}
    for step in steps:
        name, _, expression = step.partition(" = ")
        scope[name] = eval(expression, {}, {**names, **scope, "where": torch.where})
    shown = eval(by_input.partition(": ")[2], {}, scope)
    F.huber_loss(input, target, reduction="sum").backward()
    torch.testing.assert_close(shown, input.grad)


def test_domains_of_a_row_wise_loss_are_shown():
    described = json.loads(printed("show", "cross_entropy", "--json"))["parameters"]
    assert described["label_smoothing"] == {
        "domain": "a probability, in [0, 1]", "default": 0.0,
    }  # fmt: skip
    for loss in onepass.catalogue().values():
        shown = json.loads(printed("show", loss.name, "--json"))["parameters"]
        domains = loss.domains if isinstance(loss, Rowwise) else {}
        assert {name: shown[name]["domain"] for name in domains} == {
            name: str(domain) for name, domain in domains.items()
        }


@pytest.mark.parametrize("loss", ["huber_loss", "cross_entropy"])
def test_show_a_kernel(loss):
    found = onepass.catalogue()[loss]
    assert printed("show", loss, "--source", "cpu") == found.source("cpu") + "\n"
    shown = json.loads(printed("show", loss, "--source", "eager", "--json"))
    assert shown == {"loss": loss, "eager": found.source("eager")}


@pytest.mark.parametrize("given,meant", [("hubr_loss", "huber_loss"), ("kl_dv", "kl_div")])
def test_an_unknown_loss_names_the_closest(given, meant):
    for command in (("show",), ("demo", "--loss"), ("bench",)):
        assert_refused(*command, given, says=(repr(given), f"Did you mean {meant!r}?"))


@pytest.mark.parametrize("arguments,says", [
    (("frob",), "No such command 'frob'. See root --help"),
    (("shw",), ("No such command 'shw'. ", "See root --help")),  # a newer typer names 'show'
    (("show",), "Missing argument 'LOSS'. See root show --help"),
    (("show", "huber", "--sauce"), "No such option"),
    (("show", "huber", "--source", "tpu"), "--source must be cpu or eager; got 'tpu'"),
    (("plot", "huber"), "Missing option"),
    (("recommend",), "Missing argument 'FILE'"),
    (("recommend", "x.csv", "--rows", "0"), "--rows"),
    (("demo", "--loss"), "requires an argument"),
])  # fmt: skip
def test_commands_that_make_no_sense(arguments, says):
    assert_refused(*arguments, says=says)


@pytest.mark.parametrize("digits", [400, 5000])
@pytest.mark.parametrize("command", ["evaluate", "explain"])
def test_an_option_of_many_digits_is_the_float_it_spells(houses, command, digits):
    given = (command, "huber", houses, "--input", "estimate", "--target", "price", "--delta")
    assert_refused(*given, "1" * digits, says="`delta` must be a positive finite number, > 0")


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


# --- plot --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "suffix,begins", [(".svg", b"<?xml"), (".png", b"\x89PNG"), (".pdf", b"%PDF")]
)
def test_plot_a_family_and_its_alternatives(tmp_path, suffix, begins):
    path = tmp_path / f"huber{suffix}"
    options = ("--delta", "0.5", "1", "2", "--against", "mse_loss", "-o", path)
    assert printed("plot", "huber_loss", *options) == f"written to {path}\n"
    assert path.read_bytes().startswith(begins)


def test_what_is_plotted_is_what_was_asked_for(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("onepass.cli.losses.plotted", lambda loss, **given: asked.append(given))
    monkeypatch.setattr("onepass.cli.losses.save", lambda figure, path: None)
    options = ("--eps=0.1", "--log-input", "false", "--full", "--against", "mse_loss")
    printed("plot", "poisson_nll_loss", *options, "-o", tmp_path / "x.svg")
    printed("plot", "margin_ranking_loss", "--margin", "-1", "2.5", "-o", tmp_path / "x.svg")
    printed("plot", "kl_div", "--surface", "--width", "narrow", "-o", tmp_path / "x.svg")
    poisson = {"eps": 0.1, "log_input": False, "full": True, "alternatives": ["mse_loss"]}
    assert asked == [
        {**poisson, "surface": False, "width": "wide"},
        {"margin": [-1, 2.5], "alternatives": (), "surface": False, "width": "wide"},
        {"alternatives": (), "surface": True, "width": "narrow"},
    ]


def test_plots_that_there_are_not(tmp_path):
    path = tmp_path / "x.svg"
    assert_refused("plot", "huber", "--dleta", "1", "-o", path, says="Did you mean `delta`?")
    assert_refused("plot", "huber", "--delta", "-1", "-o", path, says="positive")
    assert_refused("plot", "huber", "--delta", "big", "-o", path, says="'big'")
    assert_refused("plot", "huber", "1", "-o", path, says="what is '1'?")
    assert_refused("plot", "huber", "-o", tmp_path / "x.doc", says=".svg")
    assert_refused("plot", "huber", "--width", "broad", "-o", path, says="wide, narrow")
    assert_refused("plot", "huber", "-o", tmp_path / "no" / "x.svg", says="No such file")


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


def test_evaluate_tensors_of_other_names(houses):
    price, estimate, weight = tensors(houses, "price", "estimate", "weight")
    given = ("--input", "estimate", "--target", "price", "--var", "weight", "--full")
    shown = printed("evaluate", "gaussian_nll", houses, *given)
    expected = F.gaussian_nll_loss(estimate, price, weight, full=True).item()
    assert float(shown) == pytest.approx(expected, rel=1e-7)
    files = []
    for name, values in (("input", estimate), ("target", price), ("var", weight)):
        np.save(houses.parent / f"{name}.npy", values)
        files += [f"--{name}", houses.parent / f"{name}.npy"]
    assert printed("evaluate", "gaussian_nll", "--full", *files) == shown  # without FILE
    assert printed("evaluate", "gaussian_nll", *files, "--full=true") == shown


def test_options_are_spelled_as_in_python_or_with_dashes(tmp_path):
    source = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 3, generator=source), torch.randint(3, (40,), generator=source)
    np.savez(tmp_path / "x.npz", x=x, y=y)
    given = ("evaluate", "cross_entropy", tmp_path / "x.npz", "--input", "x", "--target", "y")
    expected = F.cross_entropy(x, y, label_smoothing=0.1, ignore_index=-1).item()
    for smoothing in ("--label-smoothing", "--label_smoothing"):
        shown = printed(*given, smoothing, "0.1", "--ignore-index", "-1")
        assert float(shown) == pytest.approx(expected, rel=1e-6)


def test_evaluate_a_layer(tmp_path):
    source = torch.Generator().manual_seed(0)
    hidden, layer = torch.randn(40, 3, generator=source), torch.randn(5, 3, generator=source)
    target = torch.randint(5, (40,), generator=source)
    np.savez(tmp_path / "x.npz", hidden=hidden, layer=layer, target=target)
    given = ("--input", "hidden", "--linear-weight", "layer", "--target", "target")
    shown = printed("evaluate", "linear_cross_entropy", tmp_path / "x.npz", *given)
    expected = F.linear_cross_entropy(hidden, layer, target).item()
    assert float(shown) == pytest.approx(expected, rel=1e-6)


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


# --- demo and bench ----------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["huber_loss", "cross_entropy"])
def test_demo_of_one_loss(loss):
    result = run("demo", "--loss", loss)
    assert result.exit_code == 0, result.output
    assert "✓ 1 of 1 known numbers" in result.output
    assert "1 of 1 losses train as with torch.nn" in result.output
    assert "mse_loss" in result.output  # the rival


def test_demo_writes_json(tmp_path):
    path = tmp_path / "demo.json"
    result = run("demo", "--loss", "mse_loss", "--loss", "kl_div", "--json", path)
    assert result.exit_code == 0, result.output
    written = json.loads(path.read_text(encoding="utf-8"))
    assert [row["loss"] for row in written["losses"]] == ["mse_loss", "kl_div"]


def test_demo_without_loss_shows_the_whole_catalogue(monkeypatch):
    asked = []

    def stand_in(names, progress):
        asked.extend(names)
        return run_one(["mse_loss"], progress)

    run_one = demo.run
    monkeypatch.setattr(demo, "run", stand_in)
    assert run("demo").exit_code == 0
    assert asked == list(onepass.catalogue())


def test_a_training_that_differs_fails_the_demo(monkeypatch):
    def stand_in(names, progress):
        (result,) = run_one(names, progress)
        off = [value + 1 for value in result.ours.trajectory]
        return [replace(result, ours=training.Run(off, 0.0, 0.0))]

    run_one = demo.run
    monkeypatch.setattr(demo, "run", stand_in)
    result = run("demo", "--loss", "mse_loss")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "✗ 0 of 1 losses" in result.output


def test_without_scikit_learn_the_demo_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    result = run("demo", "--loss", "mse_loss")
    assert result.exit_code == 1
    expected = "the demo's data comes with scikit-learn: pip install 'onepass[demo]'"
    assert result.stderr == f"onepass: {expected}\n"


def test_bench_times_the_losses_that_are_named():
    shown = printed("bench", "huber", "kl_div")
    assert "huber_loss" in shown
    assert "mse_loss" not in shown
    (row,) = json.loads(printed("bench", "huber", "--json"))["losses"]
    assert row["loss"] == "huber_loss"
    assert row["elements"] == 200
    assert len(row["theirs"]) == len(row["ours"]) == 2


# --- as a program ------------------------------------------------------------------------------


def test_build_says_where_the_compiled_part_is_and_why_there_is_none(tmp_path, monkeypatch):
    path = tmp_path / "made.so"
    monkeypatch.setattr(native, "build", lambda: path)
    assert printed("build").strip() == f"built: {path}"

    def failing():
        raise EngineError("native.cpp: there is no C++ compiler")

    monkeypatch.setattr(native, "build", failing)
    assert_refused("build", says="native.cpp: there is no C++ compiler", code=1)


def test_the_cache_can_be_seen_and_emptied(tmp_path, monkeypatch):
    monkeypatch.setenv("ONEPASS_CACHE_DIR", str(tmp_path / "kernels"))
    (tmp_path / "kernels").mkdir(mode=0o700)
    (tmp_path / "kernels" / "notes").touch()
    disk.save(f"{1:032x}.o", bytes(200_000))
    assert printed("cache").strip() == f"{tmp_path / 'kernels'}: 1 files, 0.2 MB"
    shown = json.loads(printed("cache", "--json"))
    assert shown == {"folder": str(tmp_path / "kernels"), "files": 1, "bytes": 200_032}
    assert printed("cache", "--clear").strip().endswith("0 files, 0.0 MB")
    assert [path.name for path in (tmp_path / "kernels").iterdir()] == ["notes"]


def test_without_a_folder_the_cache_says_what_to_set(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ONEPASS_CACHE_DIR", str(tmp_path / "file" / "kernels"))
    with pytest.warns(onepass.EngineWarning):
        assert_refused("cache", says="set ONEPASS_CACHE_DIR to one of your own", code=1)


def test_python_m_onepass():
    command = [sys.executable, "-m", "onepass", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Usage: onepass" in shown
    assert "demo" in shown


def test_a_reader_that_stops_reading_is_no_error():
    command = f"{sys.executable} -m onepass show cross_entropy --source cpu | head -n 1"
    shown = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert shown.stderr == ""
    assert shown.stdout.count("\n") == 1


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
