"""Negative log-likelihoods of numbers: gaussian_nll, poisson_nll."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from onepass.define import (
    NONNEGATIVE,
    REAL,
    VARIANCE,
    Card,
    Depending,
    enforced,
    pointwise,
    with_slope,
)


@pointwise(
    var=enforced(VARIANCE, hint="Let the model predict log-variances and give their exp()."),
    eps=NONNEGATIVE,
    card=Card(
        task="regression",
        input="means and variances",
        target="any real number",
        best_for="uncertainty estimation: noise that varies between samples",
        not_for="plain point prediction, constant variance, classification",
        smooth=True,
        proper=True,
        minimised_by="mean and variance",
        remarks=(
            "convex in the mean alone",
            "the larger the claimed variance, the less an error pulls",
            "a variance below eps counts as eps",
        ),
        relatives=("mse_loss", "poisson_nll_loss"),
        sources=("Nix and Weigend (1994), doi:10.1109/ICNN.1994.374138",),
    ),
)
def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Tensor, *, full: bool = False, eps: float = 1e-6
) -> Tensor:
    """Squared error in units of the variance that the model claims, plus the price of claiming it.

    The floor eps on var is not seen by the gradient: a variance below it is still pulled. mse_loss
    where the variance is constant. Nix and Weigend (1994), doi:10.1109/ICNN.1994.374138.
    """
    error = input - target
    variance = with_slope(torch.clamp(var.detach(), min=eps), var, 1.0)
    value = 0.5 * (torch.log(variance) + error * error / variance)
    return value + 0.5 * math.log(2 * math.pi) if full else value


@pointwise(
    input=Depending("log_input", REAL, NONNEGATIVE),
    target=NONNEGATIVE,
    eps=NONNEGATIVE,
    card=Card(
        task="counts",
        input="logarithms of rates",
        target="counts",
        best_for="counts of events or items, rates, rare events",
        not_for="unbounded continuous, negative or binary data",
        smooth=True,
        convex=True,
        proper=True,
        minimised_by="logarithm of the mean",
        remarks=(
            "gradient is the rate minus the count",
            "takes the rates themselves with log_input=False, and is minimised by their mean",
        ),
        relatives=("gaussian_nll_loss",),
        sources=("Nelder and Wedderburn (1972), doi:10.2307/2344614",),
    ),
)
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
) -> Tensor:
    """Likelihood of a count under the predicted rate; the gradient is the rate minus the count.

    `input` is the logarithm of the rate, or the rate itself with log_input=False. `full` adds
    Stirling's approximation of log(target!). Nelder and Wedderburn (1972), doi:10.2307/2344614.
    """
    if log_input:
        value = torch.exp(input) - target * input
    else:
        value = input - target * torch.log(input + eps)
    if not full:
        return value
    count = torch.where(target > 1, target, 2.0)
    stirling = count * torch.log(count) - count + 0.5 * torch.log(2 * math.pi * count)
    return value + torch.where(target > 1, stirling, 0.0)
