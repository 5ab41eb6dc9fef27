"""Misuse of losses of distributions, counts and variances."""

import random

import torch

from tests.guide.diagnose.misuse.case import classes, logits, misuse, rows

T = torch.tensor


@misuse("kl_div", "error", "`input` holds no log-probabilities; kl_div wants")
def logits_into_kl():
    input = logits(classes())
    return (input, torch.randn_like(input).softmax(1)), {"reduction": "batchmean"}


@misuse("kl_div", "warning", "`input` holds probabilities; kl_div wants")
def probabilities_into_kl():
    input = logits(classes())
    target = torch.randn_like(input).softmax(1)
    return (input.softmax(1), target), {"reduction": "batchmean"}


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
