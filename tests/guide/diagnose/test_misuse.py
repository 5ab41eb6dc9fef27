"""Misuse is told from the tensors alone, and the remedy mends it."""

import random
import re

import pytest
import torch

import onepass
from onepass.guide.diagnose import diagnose, everywhere
from onepass.guide.diagnose.batch import Batch
from onepass.guide.diagnose.finding import PATTERNS
from onepass.guide.names import arguments_of, parameters_of
from tests.guide.diagnose.misuse.every import MISUSE
from tests.guide.diagnose.untouched import assert_untouched

SEEDS = range(4)


def made(name, seed):
    random.seed(seed)
    torch.manual_seed(seed)
    return MISUSE[name].make()


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_is_found_first(name):
    case = MISUSE[name]
    for seed in SEEDS:
        tensors, options = made(name, seed)
        copies = [tensor.clone() for tensor in tensors]
        findings = diagnose(case.loss, *tensors, **options)
        assert findings, seed
        assert re.search(case.problem, findings[0].problem), (seed, findings[0])
        assert re.fullmatch(case.severity, findings[0].severity)
        assert_untouched(tensors, copies)


# Remedies that say what to do to the model, or look further, instead of mending the call.
NO_CALL = {
    "collapsed",
    "nan_predictions",
    "nan_logits",
    "labels_out_of_range",
    "float_ids",
    "decisions",
}
# What mends these is data that the batch does not have, or a rest that is right if it is meant.
NOT_MENDED = {
    "all_ignored", "all_masked", "empty", "scaled_soft_labels", "weights_of_rows_in_a_square",
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in MISUSE if name not in NO_CALL])
def test_the_remedy_mends_it(name):
    case = MISUSE[name]
    for seed in SEEDS:
        tensors, options = made(name, seed)
        finding = diagnose(case.loss, *tensors, **options)[0]
        loss, tensors, options = mended(finding.remedy, case.loss, tensors, options)
        again = diagnose(loss, *tensors, **options)
        assert all(f.severity == "note" for f in again), (seed, finding.remedy, again)
        assert name in NOT_MENDED or finding.problem not in [f.problem for f in again], seed


def mended(remedy, loss, tensors, options):
    """The call that a remedy writes: run it with functions that say what they are given."""

    def recorder(name):
        return lambda *given, **named: (name, given, named)

    known = dict(zip(parameters_of(onepass.catalogue()[loss]), tensors, strict=False))
    functions = {name: recorder(name) for name in onepass.catalogue()}
    return eval(remedy, {"torch": torch, **functions}, known | options)


def test_every_pattern_has_a_case():
    found = set()
    for name, case in MISUSE.items():
        tensors, options = made(name, 0)
        loss = onepass.catalogue()[case.loss]
        batch = Batch(loss, arguments_of(case.loss, tensors, options))
        found |= {pattern.find for pattern in PATTERNS if pattern.found(batch)}
    own = {everywhere.outside, everywhere.unreadable, everywhere.no_gradient}  # tested below
    missing = {pattern.find.__name__ for pattern in PATTERNS if pattern.find not in found | own}
    assert missing == {"variance_at_the_floor"}
