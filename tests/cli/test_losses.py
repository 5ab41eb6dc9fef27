"""What there is, from the command line: list, show, plot."""

import json

import pytest
import torch

import onepass
import onepass.functional as F
from onepass.define import Rowwise
from tests.cli.commands import assert_refused, printed


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
