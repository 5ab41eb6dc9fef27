"""onepass against torch.nn, from the command line: demo and bench."""

import json
import sys
from dataclasses import replace

import pytest

import onepass
from onepass.guide import demo
from onepass.guide.demo import race, training
from tests.cli.commands import printed, run


@pytest.fixture(autouse=True)
def small_race(monkeypatch):
    monkeypatch.setattr(race, "SHAPE", (20, 10))
    monkeypatch.setattr(race, "PAIRS", 2)


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
