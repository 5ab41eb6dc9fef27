"""Misuse of any loss."""

import random
from math import inf, nan
from types import SimpleNamespace

import torch

import onepass
from tests.guide.diagnose.misuse.case import MISUSE, labels, logits, misuse

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


@misuse("mse_loss", "note", "`input` is torch.int64: predictions, or already decisions")
def decisions():
    return (torch.randint(5, (9,)), torch.rand(9)), {}


@misuse("mse_loss", "note", "`target` .* serves all of")
def one_target_for_all():
    return (torch.randn(9, 3), torch.randn(3)), {}


@misuse("mse_loss", "error", "The loss is inf")
def overflow():
    return (torch.full((4,), 1000.0).half(), torch.zeros(4).half()), {}
