"""The samples of the properties stand on the kinks: every switch of a formula meets an element."""

import math

import pytest
import torch

import onepass
from onepass.formula.expression import Expression, in_order, is_number
from onepass.formula.operations import OPERATIONS
from onepass.testing import Sample, samples
from tests.formula.evaluate import evaluated
from tests.twins import ALL_LOSSES, names

# Switches that no element of a grid of round numbers meets; it has elements on both sides.
BETWEEN = {
    "less(log(input), -100.0)": "torch's bound on a logarithm: a probability of 4e-44",
    "less(log1p(neg(input)), -100.0)": "the same of the other outcome",
    "less(mul(input, sub(1.0, input)), 9.999999960041972e-13)": "torch's smallest variance",
}
# Where no finite element switches.
NOWHERE = {
    "abs(softplus(neg(input)))": "0 at infinity only",
    "abs(softplus(input))": "0 at infinity only",
}


def switches(sample: Sample) -> dict[Expression, tuple[Expression, Expression]]:
    """Every operation with a kink in the value and the slopes, and the two sides that meet."""
    loss = sample.loss
    flags = {name: sample.options.get(name, default) for name, default in loss.flags.items()}
    results, _ = loss.results(given(sample), flags)
    return {
        node: row.kink(*node.arguments)
        for node in in_order(*results.values())
        if (row := OPERATIONS.get(node.operation)) and row.kink
        if not any(is_number(side, x) for side in node.arguments for x in (math.inf, -math.inf))
        if node.operation != "not_equal" or node.arguments[0] is not node.arguments[1]  # is nan
    }


def given(sample: Sample) -> tuple[str, ...]:
    return (*sample.loss.tensors, *sample.loss.optional)[: len(sample.tensors)]


def sides(sample: Sample) -> dict[Expression, set[float]]:
    """On which sides of every switch the elements lie: -1, 0 (it is met), 1."""
    loss, found = sample.loss, switches(sample)
    parameters = {n: sample.options.get(n, default) for n, default in loss.parameters.items()}
    leaves = dict(zip(given(sample), sample.tensors, strict=True)) | parameters
    roots = {
        f"{k} {place}": e for k, pair in enumerate(found.values()) for place, e in enumerate(pair)
    }
    values = evaluated(roots, leaves)
    return {
        node: set(torch.sign(values[a] - values[b]).flatten().tolist())
        for node, (a, b) in found.items()
    }


def met(loss) -> dict[Expression, set[float]]:
    """Over all settings that the properties run through."""
    found: dict[Expression, set[float]] = {}
    for sample in samples(loss):
        for node, reached in sides(sample).items():
            found.setdefault(node, set()).update(reached)
    return found


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=names(ALL_LOSSES))
def test_every_switch_is_met_by_an_element(loss):
    for node, reached in met(loss).items():
        if repr(node) in BETWEEN:
            assert {-1.0, 1.0} <= reached, node
        elif repr(node) not in NOWHERE:
            assert 0.0 in reached, node
            assert reached - {0.0}, node


def test_exceptions_are_exceptions():
    found = {repr(node): reached for loss in ALL_LOSSES for node, reached in met(loss).items()}
    assert all(0.0 not in found[text] for text in (*BETWEEN, *NOWHERE))


SMOOTH = {"mse_loss", "soft_margin_loss"}


def test_losses_without_a_switch_are_the_smooth_ones():
    assert {loss.name for loss in ALL_LOSSES if not met(loss)} == SMOOTH


def test_the_numbers_that_a_formula_names_are_met():
    @onepass.pointwise
    def odd(input, target):
        return torch.where(torch.abs(input - target) < 1.345, input, target)

    ((node, reached), *_) = ((n, r) for n, r in met(odd).items() if n.operation == "less")
    assert repr(node) == "less(abs(sub(input, target)), 1.345)"
    assert reached == {-1.0, 0.0, 1.0}


def test_switches_of_another_place_would_be_noticed():
    @onepass.pointwise
    def odd(input, target):
        return torch.where(torch.exp(input) < 1.345, input, target)

    ((_, reached), *_) = ((n, r) for n, r in met(odd).items() if n.operation == "less")
    assert reached == {-1.0, 1.0}
