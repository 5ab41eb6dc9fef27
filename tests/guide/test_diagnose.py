"""Misuse is told from the tensors alone, the remedy mends it, and correct use raises no alarm."""

from __future__ import annotations

import inspect
import math
import random
import re
import time
import warnings
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as TF

import onepass
import onepass.functional as F
from onepass import nn
from onepass.errors import ParameterError
from onepass.guide.diagnose import (
    Finding,
    binary,
    diagnose,
    distributions,
    everywhere,
    likelihood,
    pairs,
)
from onepass.guide.diagnose import classes as of_classes
from onepass.guide.diagnose.batch import Batch
from onepass.guide.diagnose.finding import PATTERNS
from onepass.guide.names import arguments_of, parameters_of
from tests.guide.correct import MAKERS, correct

T = torch.tensor
nan, inf = math.nan, math.inf
SEEDS = range(4)


def rows(*last):
    return random.choice((12, 40, 130)), *last


def logits(classes=None):
    shape = rows() if classes is None else rows(classes)
    return torch.randn(shape) * random.choice((1.0, 3.0))


def labels(input, classes):
    return torch.randint(classes, input.shape[:1])


def bits(input):
    target = torch.randint(2, input.shape).float()
    target.view(-1)[:2] = T([0.0, 1.0])
    return target


def classes():
    return random.choice((2, 3, 10, 50))


# Each row: the loss, a maker of its tensors and options, the severity and the problem.
MISUSE = {}


def misuse(loss, severity, problem):
    def enter(make):
        MISUSE[make.__name__] = SimpleNamespace(
            loss=loss, make=make, severity=severity, problem=problem
        )
        return make

    return enter


@misuse("cross_entropy", "warning", "`input` holds probabilities; cross_entropy wants logits")
def softmax_then_cross_entropy():
    c = classes()
    input = logits(c)
    return (
        input.to(random.choice((torch.float32, torch.float64))).softmax(1),
        labels(input, c),
    ), {}


@misuse("cross_entropy", "warning", "`input` holds probabilities; cross_entropy wants logits")
def softmax_in_bfloat16():
    input = torch.randn(40, 6).bfloat16()
    return (input.softmax(1), labels(input, 6)), {}


@misuse("cross_entropy", "note", r"All logits lie in \[0, 1\]")
def sigmoid_then_cross_entropy():
    c = random.choice((5, 10))
    input = logits(c)
    return (input.sigmoid(), labels(input, c)), {}


@misuse("nll_loss", "warning", "`input` holds probabilities; nll_loss wants their logarithms")
def probabilities_into_nll():
    c = classes()
    input = logits(c)
    return (input.softmax(1), labels(input, c)), {}


@misuse("nll_loss", "error", "`input` holds no log-probabilities")
def logits_into_nll():
    c = classes()
    input = logits(c)
    return (input, labels(input, c)), {}


@misuse("nll_loss", "warning", "`input` holds no log-probabilities")
def log_sigmoids_into_nll():
    input = logits(7)
    return (TF.logsigmoid(input), labels(input, 7)), {}


@misuse("kl_div", "error", "`input` holds no log-probabilities; kl_div wants")
def logits_into_kl():
    input = logits(classes())
    return (input, torch.randn_like(input).softmax(1)), {"reduction": "batchmean"}


@misuse("kl_div", "warning", "`input` holds probabilities; kl_div wants")
def probabilities_into_kl():
    input = logits(classes())
    target = torch.randn_like(input).softmax(1)
    return (input.softmax(1), target), {"reduction": "batchmean"}


@misuse("binary_cross_entropy_with_logits", "warning", "`input` holds probabilities")
def sigmoid_twice():
    input = torch.randn(random.choice((40, 200)))
    return (input.sigmoid(), bits(input)), {}


@misuse("multilabel_soft_margin_loss", "warning", "`input` holds probabilities")
def sigmoid_then_multilabel():
    input = logits(9)
    return (input.sigmoid(), bits(input)), {}


@misuse("soft_margin_loss", "warning", "`input` holds probabilities")
def sigmoid_then_soft_margin():
    input = torch.randn(50)
    return (input.sigmoid(), 2 * bits(input) - 1), {}


@misuse("binary_cross_entropy", "error", "`input` holds logits; binary_cross_entropy wants prob")
def logits_into_bce():
    input = logits(random.choice((None, 3)))
    return (input, bits(input)), {}


@misuse("binary_cross_entropy", "error", r"`input` is a little outside of \[0, 1\]")
def rounded_beyond_one():
    return (T([0.2, 1 + 2**-23, 0.5]), T([0, 1, 0])), {}


@misuse("binary_cross_entropy", "warning", "Wrong probabilities have become 0 or 1")
def saturated_probabilities():
    input = torch.randn(20)
    input[7] = -50.0
    target = bits(input)
    target[7] = 1
    return (input.sigmoid(), target), {}


@misuse("binary_cross_entropy_with_logits", "error", "outside of .*: it looks like labels -1 and 1")
def signs_into_bce_with_logits():
    input = logits()
    return (input, 2 * bits(input) - 1), {}


@misuse("multilabel_soft_margin_loss", "error", "outside of .*: it looks like labels -1 and 1")
def signs_into_multilabel():
    input = logits(4)
    return (input, 2 * bits(input) - 1), {}


@misuse("binary_cross_entropy", "error", "it looks like a mask of 0 and 255")
def mask_of_bytes():
    input = logits().sigmoid()
    return (input, bits(input) * 255), {}


@misuse("binary_cross_entropy_with_logits", "error", "it looks like bytes")
def grey_bytes():
    input = torch.randn(3, 8, 8)
    target = torch.randint(256, input.shape).to(torch.uint8)
    target[0, 0, 0] = 200
    return (input, target), {}


@misuse("binary_cross_entropy_with_logits", "error", "it looks like class ids")
def ids_into_bce():
    input = logits()
    target = torch.randint(5, input.shape)
    target[:4] = T([0, 1, 2, 4])
    return (input, target), {}


@misuse("binary_cross_entropy_with_logits", "error", "it looks like labels 1 and 2")
def counted_from_one():
    input = logits()
    return (input, bits(input) + 1), {}


@misuse("binary_cross_entropy_with_logits", "error", "a mark for what is missing")
def missing_labels():
    input = logits()
    target = bits(input)
    target[5] = random.choice((-1.0, 255.0, -100.0))
    return (input, target), {}


@misuse("multilabel_soft_margin_loss", "error", "a mark for what is missing")
def missing_labels_of_rows():
    input = logits(4)
    target = bits(input)
    target[5, 2] = -1
    return (input, target), {}


@misuse("binary_cross_entropy_with_logits", "error", "it looks like logits")
def teacher_logits():
    input = logits()
    return (input, torch.randn_like(input)), {}


def zero_one_labels(loss):
    """Labels 0 and 1, also as bool."""

    def make():
        input = logits(4)
        if loss in ("soft_margin_loss", "hinge_embedding_loss"):
            input = input[:, 0].abs() if loss == "hinge_embedding_loss" else input[:, 0]
            tensors = (input,)
        elif loss == "margin_ranking_loss":
            tensors = (input[:, 0], input[:, 1])
        else:
            tensors = (input, torch.randn_like(input))
        target = bits(tensors[0] if tensors[0].dim() == 1 else input[:, 0])
        return (*tensors, random.choice((target, target.long(), target.bool()))), {}

    return make


SIGNED = (
    "cosine_embedding_loss", "hinge_embedding_loss", "margin_ranking_loss", "soft_margin_loss",
)  # fmt: skip
for signed in SIGNED:
    MISUSE[f"zero_one_labels_{signed}"] = SimpleNamespace(
        loss=signed,
        make=zero_one_labels(signed),
        severity="error",
        problem="`target` must be -1 or 1; it holds labels 0 and 1",
    )


@misuse("margin_ranking_loss", "warning", "it holds ties")
def tied_pairs():
    input = logits()
    return (
        input,
        input.flip(0),
        torch.where(torch.arange(len(input)) % 3 > 1, 0, 2 * bits(input) - 1),
    ), {}


@misuse("soft_margin_loss", "error", "it holds other numbers")
def real_targets():
    input = logits()
    return (input, torch.randn_like(input)), {}


PAIRS = [name for name, loss in onepass.catalogue().items() if isinstance(loss, onepass.Pointwise)]
PAIRS = [
    name for name in PAIRS if name not in ("gaussian_nll_loss", "margin_ranking_loss", "kl_div")
]


def column_with_row(loss):
    def make():
        n = random.choice((3, 17, 60))
        input, target = torch.rand(n, 1), torch.ones(n)
        return random.choice(((input, target), (input.squeeze(1), target.unsqueeze(1)))), {}

    return make


for paired in PAIRS:
    MISUSE[f"column_with_row_{paired}"] = SimpleNamespace(
        loss=paired,
        make=column_with_row(paired),
        severity="error",
        problem=r"`input` \(.*\) and `target` \(.*\) differ by an axis of size 1",
    )


@misuse("cross_entropy", "error", "refuses the call with ShapeError")
def column_of_labels():
    input = logits(5)
    return (input, labels(input, 5).unsqueeze(1)), {}


@misuse("cross_entropy", "error", r"The classes of `input` \(4, 6, 9\) are on its last axis")
def classes_last():
    return (torch.randn(4, 6, 9), torch.randint(9, (4, 6))), {}


@misuse("multi_margin_loss", "error", "The classes of `input` .* are on its last axis")
def classes_last_of_margins():
    return (torch.randn(4, 6, 9), torch.randint(9, (4, 6))), {}


@misuse("cross_entropy", "note", "has two axes that could hold the classes; axis 1 is taken")
def as_many_positions_as_classes():
    return (torch.randn(4, 6, 6), torch.randint(6, (4, 6))), {}


@misuse("nll_loss", "warning", r"has the classes on its last axis, but axis 1 is taken")
def log_probabilities_last():
    return (torch.randn(4, 6, 6).log_softmax(-1), torch.randint(6, (4, 6))), {}


@misuse("cross_entropy", "warning", "has the classes on its last axis, but axis 1 is taken")
def soft_labels_last():
    return (torch.randn(4, 6, 6), torch.randn(4, 6, 6).softmax(-1)), {}


@misuse("cross_entropy", "note", "`target` is one-hot")
def one_hot_integers():
    c = random.choice((3, 10))
    input = logits(c)
    return (input, TF.one_hot(labels(input, c), c)), {}


@misuse("nll_loss", "error", "`target` is one-hot")
def one_hot_into_nll():
    input = logits(5)
    return (input.log_softmax(1), TF.one_hot(labels(input, 5), 5)), {}


@misuse("multi_margin_loss", "error", "`target` is one-hot")
def one_hot_into_margins():
    input = logits(5)
    return (input, TF.one_hot(labels(input, 5), 5).float()), {}


@misuse("cross_entropy", "error", "looks like class ids")
def float_ids():
    n = random.choice((3, 10))
    return (torch.randn(n), torch.randint(2, 8, (n,)).float()), {}


@misuse("cross_entropy", "error", "read as class probabilities, but has negative values")
def logits_as_soft_labels():
    input = logits(5)
    return (input, torch.randn_like(input)), {}


@misuse("cross_entropy", "warning", "`target` marks several classes in a row")
def several_labels():
    input = logits(6)
    target = bits(input)
    target[3] = T([1, 1, 0, 0, 0, 1])
    return (input, target), {}


@misuse("cross_entropy", "note", "do not sum to 1")
def scaled_soft_labels():
    input = logits(6)
    return (input, torch.rand_like(input)), {}


@misuse("cross_entropy", "error", "The classes of `target` count from 1")
def from_one():
    c = classes()
    input = logits(c)
    target = labels(input, c) + 1
    target[1] = c
    return (input, target), {}


@misuse("cross_entropy", "error", "holds 255, which is no class: a mark for rows to skip")
def void_pixels():
    target = torch.randint(4, (2, 8, 8))
    target[0, :2] = 255
    return (torch.randn(2, 4, 8, 8), target), {}


@misuse("multi_margin_loss", "error", "holds -1, which is no class: a mark for rows to skip")
def skipped_margins():
    input = logits(4)
    target = labels(input, 4)
    target[3] = -1
    return (input, target), {}


@misuse("linear_cross_entropy", "error", "`target` holds what is no class")
def labels_out_of_range():
    target = torch.randint(4, (9,))
    target[:3] = T([7, 9, -5])
    return (torch.randn(9, 3), torch.randn(4, 3), target), {}


@misuse("cross_entropy", "error", "There is only one class")
def one_logit():
    input = logits(1)
    return (input, torch.zeros(len(input), dtype=torch.long)), {}


@misuse("cross_entropy", "error", "There is only one class")
def one_logit_and_column():
    input = logits(1)
    return (input, bits(input)), {}


@misuse("cross_entropy", "error", "`input` and `target` are swapped")
def swapped_classes():
    input = logits(5)
    return (labels(input, 5), input), {}


@misuse("cross_entropy", "error", "`weight` has a number for each row")
def row_weights():
    input = logits(5)
    return (input, labels(input, 5)), {"weight": torch.rand(len(input))}


@misuse("cross_entropy", "note", "There are as many rows as classes")
def as_many_rows_as_classes():
    return (torch.randn(6, 6), torch.randint(6, (6,))), {"weight": torch.rand(6) + 0.1}


@misuse("binary_cross_entropy_with_logits", "error", "refuses the call with ShapeError")
def weights_of_channels():
    input = torch.randn(2, 3, 5, 4)
    return (input, bits(input)), {"pos_weight": torch.rand(3) + 1}


@misuse("binary_cross_entropy_with_logits", "note", "`pos_weight` .* is read along the last axis")
def weights_of_channels_as_wide():
    input = torch.randn(2, 3, 5, 3)
    return (input, bits(input)), {"pos_weight": torch.rand(3) + 1}


@misuse("binary_cross_entropy", "note", "`weight` .* is read along the last axis")
def weights_of_rows_in_a_square():
    input = torch.rand(7, 7)
    return (input, bits(input)), {"weight": torch.rand(7)}


@misuse("kl_div", "warning", "reduction='mean' is not the divergence")
def mean_of_divergences():
    input = logits(classes())
    return (input.log_softmax(1), torch.randn_like(input).softmax(1)), {}


@misuse("kl_div", "warning", "reduction='mean' is not the divergence")
def mean_of_a_single_divergence():
    return (torch.randn(9).log_softmax(0), torch.randn(9).softmax(0)), {}


@misuse("kl_div", "error", "`input` and `target` are swapped")
def swapped_distributions():
    input = logits(classes())
    target = torch.randn_like(input).softmax(1)
    return (target, input.log_softmax(1)), {"reduction": "batchmean"}


@misuse("kl_div", "error", "that is log_target=True")
def log_target_forgotten():
    input = logits(classes())
    target = torch.randn_like(input).log_softmax(1)
    return (input.log_softmax(1), target), {"reduction": "batchmean"}


@misuse("kl_div", "error", "log_target=True says their logarithms")
def log_target_too_much():
    input = logits(classes())
    target = torch.randn_like(input).softmax(1)
    return (input.log_softmax(1), target), {"reduction": "sum", "log_target": True}


@misuse("kl_div", "error", "`target` holds negative values")
def logits_as_target_of_kl():
    input = logits(classes())
    return (input.log_softmax(1), torch.randn_like(input)), {"reduction": "sum"}


@misuse("poisson_nll_loss", "(warning|error)", "`input` looks like rates")
def rates():
    rate = torch.rand(rows()) * random.choice((10.0, 60.0, 500.0)) + 9
    return (rate, torch.poisson(rate)), {}


@misuse("poisson_nll_loss", "(warning|error)", "`input` looks like rates")
def few_rates():
    return (T([50.0, 60.0]), T([50.0, 61.0])), {}


@misuse("poisson_nll_loss", "error", "`input` is negative; are these log-rates")
def log_rates():
    input = torch.randn(30)
    return (input, torch.poisson(input.exp())), {"log_input": False}


@misuse("poisson_nll_loss", "error", "`target` is negative")
def negative_counts():
    input = logits()
    return (input, torch.randint(-3, 5, input.shape).index_fill_(0, T([2]), -1)), {}


@misuse("poisson_nll_loss", "note", "counts that are not whole")
def fractional_counts():
    input = torch.randn(30)
    return (input, torch.rand(30) * 4), {}


@misuse("gaussian_nll_loss", "error", "`var` is negative: a log-variance")
def log_variances():
    input = logits(3)
    return (input, torch.randn_like(input), torch.randn_like(input)), {}


@misuse("mse_loss", "error", "`input` holds numbers that are not finite")
def nan_predictions():
    input = logits(3)
    input[4, 1] = random.choice((nan, inf))
    return (input, torch.randn_like(input)), {}


@misuse("l1_loss", "error", "`target` holds missing values")
def missing_targets():
    input = logits()
    target = torch.randn_like(input)
    target[::3] = nan
    return (input, target), {}


@misuse("cross_entropy", "error", "`input` holds numbers that are not finite")
def nan_logits():
    input = logits(3)
    input[2, 0] = nan
    return (input, labels(input, 3)), {}


@misuse("mse_loss", "note", "A few elements hold much of the gradient")
def outliers():
    input = torch.randn(1000)
    target = input + torch.randn(1000)
    target[::200] += 1e4
    return (input, target), {}


@misuse("cross_entropy", "error", "Nothing in this batch counts")
def all_ignored():
    input = logits(3)
    return (input, torch.full(input.shape[:1], -100)), {}


@misuse("huber_loss", "error", "Nothing in this batch counts")
def all_masked():
    input = logits()
    return (input, input + 1), {"mask": torch.zeros(input.shape, dtype=torch.bool)}


@misuse("mse_loss", "error", "Nothing in this batch counts")
def empty():
    shape = random.choice(((0,), (0, 3)))
    return (torch.ones(shape), torch.ones(shape)), {}


@misuse("l1_loss", "error", "`sample_weight` is negative")
def negative_weights():
    input = logits()
    return (input, input + 1), {"sample_weight": torch.linspace(-0.2, 1, len(input))}


@misuse("hinge_embedding_loss", "warning", "`input` is negative, and no distance")
def scores_as_distances():
    input = logits()
    return (input, 2 * bits(input) - 1), {}


@misuse("triplet_margin_loss", "warning", "All three vectors are the same")
def collapsed():
    anchor = logits(4)
    return (anchor, anchor.clone(), anchor.clone()), {}


def rooted(a, b):
    return torch.sqrt(((a - b) ** 2).sum(-1) * (1 + 0 * a.sum()))


@misuse(
    "triplet_margin_with_distance_loss", "error", "gradient of `distance_function` rooted is not"
)
def steep_distance():
    anchor = logits(4)
    positive = torch.randn_like(anchor)
    positive[3] = anchor[3]
    return (anchor, positive, torch.randn_like(anchor)), {
        "distance_function": rooted, "margin": 9.0,
    }  # fmt: skip


@misuse("mse_loss", "note", "`input` is torch.int64: predictions, or already decisions")
def decisions():
    return (torch.randint(5, (9,)), torch.rand(9)), {}


@misuse("mse_loss", "note", "`target` .* serves all of")
def one_target_for_all():
    return (torch.randn(9, 3), torch.randn(3)), {}


@misuse("mse_loss", "error", "The loss is inf")
def overflow():
    return (torch.full((4,), 1000.0).half(), torch.zeros(4).half()), {}


def made(name, seed):
    random.seed(seed)
    torch.manual_seed(seed)
    return MISUSE[name].make()


def assert_untouched(tensors, copies):
    for tensor, copy in zip(tensors, copies, strict=True):
        assert torch.equal(tensor.isnan(), copy.isnan())
        assert torch.equal(tensor.nan_to_num(), copy.nan_to_num())
        assert not tensor.requires_grad
        assert tensor.grad is None


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


# --- no false alarms ------------------------------------------------------------------------------


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


# --- what a finding says --------------------------------------------------------------------------


@pytest.mark.parametrize("c, floor", [(2, 0.3133), (10, 1.461), (1000, 5.909)])
def test_the_floor_of_two_softmaxes_is_the_loss_of_a_sure_model(c, floor):
    input = torch.eye(c)[:40]
    target = torch.arange(len(input))
    finding = diagnose("cross_entropy", input, target)[0]
    assert f"cannot fall below {floor:.4g} for C = {c}," in finding.cost
    assert F.cross_entropy(input, target).item() == pytest.approx(floor, abs=1e-3)


def test_the_floors_of_two_sigmoids_are_the_losses_of_a_sure_model():
    finding = diagnose("binary_cross_entropy_with_logits", torch.rand(64), torch.ones(64))[0]
    for said, label, probability in (("0.6931", 0.0, 0.0), ("0.3133", 1.0, 1.0)):
        assert said in finding.cost
        value = F.binary_cross_entropy_with_logits(T([probability]), T([label]))
        assert value.item() == pytest.approx(float(said), abs=1e-4)


def test_evidence_has_numbers_and_the_first_place():
    target = torch.zeros(3, 4)
    target[1, 2], target[2, 0] = 255.0, 255.0
    finding = diagnose("binary_cross_entropy", torch.rand(3, 4), target)[0]
    assert finding.evidence == (
        "2 of 12 values of `target`, the first 255 at (1, 2); range [0, 255]"
    )
    assert finding.remedy == "binary_cross_entropy(input, target / 255)"


def test_places_are_those_of_the_tensor_given():
    input, target = torch.randn(4, 3, 2), torch.randint(3, (4, 2))
    target[0], target[3, 1] = -100, 7
    input[2, 1, 1] = nan
    evidence = [f.evidence for f in diagnose("cross_entropy", input, target)]
    assert any("1 of 6 values of `target`, the first 7 at (3, 1)" in said for said in evidence)
    assert any("1 of 18 values of `input`, the first nan at (2, 1, 1)" in said for said in evidence)


def test_a_target_that_serves_several_is_placed_in_itself():
    mask = torch.ones(4, 3, dtype=torch.bool)
    mask[:2] = False
    finding = diagnose("l1_loss", torch.randn(4, 3), T([1.0, nan, 2.0]), mask=mask)[0]
    assert "2 of 6 values of `target`, the first nan at (1,)" in finding.evidence


def test_worst_comes_first():
    input = torch.rand(64, 10)
    input[:, 0] = 1 - input[:, 1:].sum(1)
    target = torch.randint(1, 11, (64,))
    target[0] = 10
    severities = [
        f.severity for f in diagnose("cross_entropy", torch.randn(64, 10).softmax(1), target)
    ]
    assert severities == ["error", "warning"]


def test_a_finding_prints_as_four_lines():
    finding = Finding("note", "A.", "b", "c", "d()")
    assert str(finding) == "note: A.\n  seen:  b\n  costs: c\n  write: d()"


def test_options_of_the_caller_stay_in_the_remedy():
    findings = diagnose(
        nn.CrossEntropyLoss(label_smoothing=0.1), torch.randn(2, 5, 7), torch.randint(7, (2, 5)),
        reduction="sum",
    )  # fmt: skip
    assert findings[0].remedy == (
        "cross_entropy(input, target, reduction='sum', label_smoothing=0.1, dim=-1)"
    )


# --- what does not count --------------------------------------------------------------------------


def test_what_does_not_count_is_not_looked_at():
    input = torch.randn(6, 3)
    target = T([0, 1, 2, -100, 1, 0])
    input[3] = nan
    assert diagnose("cross_entropy", input, target) == []
    assert (
        diagnose("cross_entropy", input.nan_to_num(), T([0, 1, 7, 0, 1, 0]), ignore_index=7) == []
    )
    weight = T([1.0, 1.0, 0.0])
    input[2] = nan
    assert diagnose("cross_entropy", input, target, weight) == []
    target = T([0.5, nan, 255.0])
    mask = T([True, False, False])
    assert diagnose("binary_cross_entropy", torch.rand(3), target, mask=mask) == []
    assert diagnose("mse_loss", torch.rand(3), target, sample_weight=mask.float()) == []


# --- odd input ------------------------------------------------------------------------------------

ODD = {
    "nothing": lambda: torch.ones(0),
    "a number": lambda: T(1.0),
    "nan": lambda: T(nan),
    "all nan": lambda: torch.full((3,), nan),
    "half": lambda: torch.rand(3).half(),
    "bool": lambda: T([True, False, True]),
    "int8": lambda: T([1, 0, -1], dtype=torch.int8),
    "complex": lambda: torch.randn(3, dtype=torch.complex64),
    "meta": lambda: torch.ones(3, device="meta"),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "a list": lambda: [1.0, 2.0],
    "none": lambda: None,
    "four axes": lambda: torch.randn(2, 3, 1, 2),
    "asking": lambda: torch.randn(3, requires_grad=True),
    "a view": lambda: torch.randn(6)[::2],
    "expanded": lambda: torch.randn(1).expand(3),
}


@pytest.mark.slow
@pytest.mark.parametrize("loss", onepass.catalogue())
@pytest.mark.parametrize("first", ODD)
def test_nothing_odd_raises(loss, first):
    required = parameters_of(onepass.catalogue()[loss])
    count = sum(default is inspect.Parameter.empty for default in required.values())
    for second, make in ODD.items():
        tensors = [ODD[first](), *(make() for _ in range(count - 1))]
        findings = diagnose(loss, *tensors)
        assert all(isinstance(finding, Finding) for finding in findings)
        try:
            with warnings.catch_warnings(action="ignore"):
                value = getattr(F, loss)(*tensors)
            refused = not value.is_meta and not value.isfinite().all()
        except Exception:  # noqa: BLE001 - torch's own of what is sparse or complex, too
            refused = True
        assert not refused or any(f.severity == "error" for f in findings), (second, findings)


def test_inference_tensors_and_modes():
    with torch.inference_mode():
        tensors = torch.rand(40), torch.ones(40)
        inside = diagnose("soft_margin_loss", *tensors)
    with torch.no_grad():
        assert diagnose("soft_margin_loss", *tensors) == inside
    assert inside[0].severity == "warning"


def test_unreadable_tensors_are_said_to_be():
    problems = [f.problem for f in diagnose("mse", *[torch.ones(3, device="meta")] * 2)]
    assert problems == ["`input` is on the meta device: only its shape was looked at."]


def test_a_refused_call_is_found_and_its_advice_taken():
    finding = diagnose("mse_loss", [1.0, 2.0], torch.ones(2))[0]
    assert finding.problem == "mse_loss refuses the call with DtypeError."
    assert finding.remedy == "mse_loss(torch.as_tensor(input), target)"
    finding = diagnose("huber_loss", torch.ones(2), torch.ones(2), delta=-1.0)[0]
    assert "`delta` must be a positive finite number, > 0; got -1.0" in finding.evidence
    assert finding.remedy == "help(onepass.functional.huber_loss)"


def test_what_a_distance_raises_is_found():
    def broken(a, b):
        raise KeyError("no such layer")

    vectors = [torch.randn(3, 2)] * 3
    loss = "triplet_margin_with_distance_loss"
    found = diagnose(loss, vectors[0], vectors[1], vectors[0] + 1, distance_function=broken)
    assert [f.problem for f in found] == [f"{loss} refuses the call with KeyError."]


def test_a_distance_may_write_where_it_likes():
    def careless(a, b):
        a.sub_(b)
        return a.abs().sum(-1)

    vectors = [torch.randn(3, 2) for _ in range(3)]
    copies = [v.clone() for v in vectors]
    diagnose("triplet_margin_with_distance_loss", *vectors, distance_function=careless)
    assert_untouched(vectors, copies)


@pytest.mark.parametrize(
    "loss, tensors, options, said",
    [
        ("hubber", 2, {}, "Did you mean 'huber_loss'"),
        ("mse_loss", 1, {}, "got no `target`"),
        ("mse_loss", 2, {"beta": 1.0}, "there is no `beta`"),
    ],
)
def test_a_call_that_is_none_raises(loss, tensors, options, said):
    with pytest.raises(ParameterError, match=said):
        diagnose(loss, *[torch.ones(3)] * tensors, **options)


# --- a loss of one's own --------------------------------------------------------------------------


@onepass.pointwise(input=onepass.POSITIVE, target=onepass.SIGN)
def mine(input, target):
    return input * target


def test_a_loss_of_ones_own_is_judged_by_its_domains():
    input = torch.rand(9) + 0.1
    assert diagnose(mine, input, torch.ones(9)) == []
    assert "labels 0 and 1" in diagnose(mine, input, torch.arange(9) % 2)[0].problem
    finding = diagnose(mine, input - 1, torch.ones(9))[0]
    assert "`input` must be a positive finite number" in finding.problem
    assert "of 9 values of `input`" in finding.evidence


# --- large tensors --------------------------------------------------------------------------------


def test_large_tensors_are_sampled_and_the_evidence_says_so():
    input = torch.rand(3, 9_000_000)
    target = torch.zeros_like(input)
    target[1, 4::2] = -1.0
    target[1, 5::2] = 1.0
    begun = time.perf_counter()
    findings = diagnose("binary_cross_entropy_with_logits", input, target)
    assert time.perf_counter() - begun < 20
    assert "labels -1 and 1" in findings[0].problem or "a mark" in findings[0].problem
    assert "the first -1 at (1, 6)" in findings[0].evidence
    assert findings[0].evidence.endswith("(of every 3th entry along axis 1 of the rows)")


def test_large_layers_are_sampled():
    input, layer = torch.randn(60_000, 32), torch.randn(5_000, 32)
    target = torch.randint(5_000, (60_000,))
    batch = Batch(
        onepass.catalogue()["linear_cross_entropy"],
        arguments_of("linear_cross_entropy", (input, layer, target), {}),
    )
    assert batch.thinned == (0, 3)
    assert batch.seen["input"].shape == (20_000, 32)
    assert batch.seen["target"].shape == (20_000,)
    assert batch.seen["linear_weight"] is layer
