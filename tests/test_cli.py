from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

import onepass
from onepass.cli import app
from onepass.guide import demo
from onepass.guide.demo import race, training


@pytest.fixture(autouse=True)
def small_race(monkeypatch):
    monkeypatch.setattr(race, "SHAPE", (20, 10))
    monkeypatch.setattr(race, "PAIRS", 2)


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize("loss", ["huber_loss", "cross_entropy"])
def test_demo_of_one_loss(loss):
    result = run("demo", "--loss", loss)
    assert result.exit_code == 0, result.output
    assert "✓ 1 of 1 known numbers" in result.output
    assert "1 of 1 losses train as with torch.nn" in result.output
    assert "mse_loss" in result.output  # the rival


def test_demo_writes_json(tmp_path):
    path = tmp_path / "demo.json"
    result = run("demo", "--loss", "mse_loss", "--loss", "kl_div", "--json", str(path))
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


@pytest.mark.parametrize(
    "given,meant", [("hubr_loss", "huber_loss"), ("kl", "kl_div"), ("L1Loss", "l1_loss")]
)
def test_an_unknown_loss_names_the_closest(given, meant):
    result = run("demo", "--loss", given)
    assert result.exit_code == 2
    assert result.stderr == f"onepass: no loss is called {given!r}; did you mean {meant}?\n"


def test_an_unknown_loss_like_no_other_lists_all():
    result = run("demo", "--loss", "???")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert all(name in result.stderr for name in onepass.catalogue())


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


def test_python_m_onepass():
    command = [sys.executable, "-m", "onepass", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Usage: onepass" in shown
    assert "demo" in shown
