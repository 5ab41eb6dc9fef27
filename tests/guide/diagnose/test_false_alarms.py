"""Correct use raises no alarm, and would if a threshold were loose."""

from math import inf

import pytest

import onepass
from onepass.guide.diagnose import binary, diagnose, distributions, likelihood, pairs
from onepass.guide.diagnose import classes as of_classes
from tests.guide.correct import MAKERS, correct


@pytest.mark.slow
@pytest.mark.parametrize("loss", onepass.catalogue())
def test_correct_use_raises_no_alarm(loss):
    for seed in range(2000):
        tensors, options = correct(loss, seed)
        wrong = [f for f in diagnose(loss, *tensors, **options) if f.severity != "note"]
        assert not wrong, f"seed {seed}: {wrong[0]}"


def test_the_makers_of_correct_batches_cover_the_catalogue():
    assert set(MAKERS) == set(onepass.catalogue())


@pytest.mark.parametrize(
    "modules, name, mutant, loss",
    [
        ([distributions], "_BY_CHANCE", inf, "cross_entropy"),
        ([binary], "SQUASHED", 1, "soft_margin_loss"),
        ([distributions, of_classes], "tolerance", lambda batch, name: 1e-6, "nll_loss"),
        ([likelihood], "tolerance", lambda batch, name: 1e-6, "kl_div"),
        ([likelihood], "_OFF", 0.0, "poisson_nll_loss"),
        ([likelihood], "_OFF_OF_FEW", 0.0, "poisson_nll_loss"),
        ([binary], "_SMALLEST_VARIANCE", 0.1, "binary_cross_entropy"),
        ([pairs], "_ROUNDING", -1.0, "hinge_embedding_loss"),
    ],
)
def test_a_loose_threshold_raises_an_alarm(monkeypatch, modules, name, mutant, loss):
    for module in modules:
        monkeypatch.setattr(module, name, mutant)
    for seed in range(2000):
        tensors, options = correct(loss, seed)
        if any(finding.severity != "note" for finding in diagnose(loss, *tensors, **options)):
            return
    pytest.fail("the correct batches do not tell this threshold from the right one")
