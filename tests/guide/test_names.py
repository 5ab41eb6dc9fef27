"""Names of losses, and the arguments that belong to them."""

from __future__ import annotations

import pytest
import torch

import onepass
import onepass.functional as F
from onepass import nn
from onepass.catalogue import aliases, plain
from onepass.errors import ParameterError
from onepass.guide.names import (
    _ELSEWHERE,
    arguments_of,
    function_of,
    loss_named,
    parameters_of,
    settings_of,
)

CATALOGUE = onepass.catalogue()


@onepass.pointwise(scale=onepass.POSITIVE)
def scaled(input, target, *, scale: float = 2.0):
    return scale * (input - target) ** 2


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_way_to_name_a_loss(name):
    loss = CATALOGUE[name]
    ways = [name, loss, getattr(F, name), getattr(torch.nn.functional, name), loss.module]
    ways += [loss.module.__name__, getattr(torch.nn, loss.module.__name__)]
    assert all(loss_named(way) is loss for way in ways)


@pytest.mark.parametrize("name", ["huber", "Huber", "HuberLoss", "huber-loss", "HUBER_LOSS"])
def test_spelling_is_free(name):
    assert loss_named(name) is CATALOGUE["huber_loss"]


def test_modules_are_losses():
    assert loss_named(nn.HuberLoss(delta=2.0)) is CATALOGUE["huber_loss"]
    assert loss_named(torch.nn.BCEWithLogitsLoss()) is CATALOGUE["binary_cross_entropy_with_logits"]
    assert loss_named(scaled) is loss_named(nn.PointwiseLoss(scaled)) is scaled


@pytest.mark.parametrize(
    "thing, said",
    [
        ("hubber", r"there is no loss 'hubber'.*Did you mean 'huber_loss'\?"),
        ("CrossEntropy2", r"Did you mean 'cross_entropy'\? `onepass list` and .* have all\.$"),
        ("MAE", r"Did you mean 'l1_loss'\?"),
        ("l2_loss", r"Did you mean 'mse_loss'\?"),
        ("hinge", r"Did you mean 'hinge_embedding_loss'\?"),
        ("focal", r"there is no loss 'focal'; `loss` must be one of l1_loss, .*, nll_loss, "),
        ("m", r"there is no loss 'm'; `loss` must be one of"),  # several begin so
        ("", "there is no loss ''"),
        (3, "there is no loss 3; `loss` must be one of l1_loss, mse_loss, "),
        (None, "there is no loss None"),
        (torch.nn.Linear(1, 1), r"there is no loss Linear\(in_features=1"),
        (torch.nn.functional.relu, "there is no loss <function relu"),
        (lambda input, target: input - target, "there is no loss <function <lambda>"),
    ],
)
def test_what_is_no_loss_is_refused(thing, said):
    with pytest.raises(ParameterError, match=said):
        loss_named(thing)


def test_a_function_of_elsewhere_is_not_taken_for_ours_by_its_name():
    def huber_loss(input, target):
        return input - target

    with pytest.raises(ParameterError, match="there is no loss <function"):
        loss_named(huber_loss)


def test_the_function_of_a_loss():
    assert all(function_of(loss) is getattr(F, name) for name, loss in CATALOGUE.items())
    assert function_of(scaled) is scaled


def test_parameters_have_the_order_of_the_function():
    assert list(parameters_of(CATALOGUE["huber_loss"]))[:5] == [
        "input", "target", "reduction", "delta", "weight",
    ]  # fmt: skip
    assert "size_average" not in parameters_of(CATALOGUE["mse_loss"])
    own = parameters_of(scaled)
    assert list(own)[:3] == ["input", "target", "scale"]
    assert own["scale"] == 2.0
    assert own["mask"] is None


def test_a_module_brings_its_settings():
    weight = torch.rand(3)
    for home in (nn, torch.nn):
        module = home.CrossEntropyLoss(weight, label_smoothing=0.1, reduction="sum")
        settings = settings_of(module)
        assert settings["label_smoothing"] == 0.1
        assert settings["reduction"] == "sum"
        assert torch.equal(settings["weight"], weight)
    assert settings_of(nn.PointwiseLoss(scaled, scale=3.0))["scale"] == 3.0
    assert settings_of("huber_loss") == settings_of(nn.HuberLoss) == {}


@pytest.mark.parametrize("home", [nn, torch.nn])
def test_a_module_brings_its_layer(home):
    module = home.LinearCrossEntropyLoss(4, 3, bias=True)
    input, target = torch.randn(5, 4), torch.randint(3, (5,))
    arguments = arguments_of(module, (input, target), {})
    assert arguments["target"] is target
    value = F.linear_cross_entropy(**arguments)
    torch.testing.assert_close(value, module(input, target))


def test_arguments_by_position_by_name_and_by_default():
    input, target = torch.zeros(2), torch.ones(2)
    arguments = arguments_of(nn.HuberLoss(delta=3.0), (input,), {"target": target})
    assert arguments["input"] is input
    assert arguments["target"] is target
    assert (arguments["delta"], arguments["reduction"]) == (3.0, "mean")
    assert arguments_of(nn.HuberLoss(delta=3.0), (input, target), {"delta": 4.0})["delta"] == 4.0
    assert arguments_of("huber", (input, target, "sum"), {})["reduction"] == "sum"


@pytest.mark.parametrize(
    "loss, given, options, said",
    [
        ("mse", (), {}, r"mse_loss: takes `input`, `target`; got no `input`, `target`\."),
        ("mse", (1,), {}, r"got no `target`\."),
        ("mse", (1,), {"input": 2}, r"mse_loss: `input` is given by position and by name\."),
        ("mse", (1,) * 9, {}, r"takes `input`, `target`, and options by name; got 9 arguments"),
        ("huber", (1, 2), {"delt": 3}, r"huber_loss: there is no `delt`.*Did you mean `delta`\?"),
        (scaled, (1, 2), {"beta": 3}, r"scaled: there is no `beta`; it takes input, target, scale"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(loss, given, options, said):
    with pytest.raises(ParameterError, match=said):
        arguments_of(loss, given, options)


def test_with_a_close_name_not_all_are_listed():
    with pytest.raises(ParameterError) as refused:
        loss_named("hubber")
    assert str(refused.value).count("_loss") == 1


def test_what_others_call_a_loss_is_none_of_ours():
    known = {plain(alias) for loss in CATALOGUE.values() for alias in aliases(loss)}
    assert known.isdisjoint(_ELSEWHERE)
    assert set(_ELSEWHERE.values()) <= set(CATALOGUE)
