"""Distances between distributions: kl_div."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from onepass.define import LOG_PROBABILITY, PROBABILITY, Card, Depending, pointwise


@pointwise(
    input=LOG_PROBABILITY,
    target=Depending("log_target", LOG_PROBABILITY, PROBABILITY),
    card=Card(
        task="distributions",
        input="log-probabilities",
        target="probabilities",
        best_for="distillation, distribution matching, variational inference",
        not_for="direct regression, inputs that are no distributions, a symmetric distance",
        smooth=True,
        convex=True,
        proper=True,
        gradient_bound=1,
        minimised_by="logarithm of the mean",
        remarks=(
            "asymmetric",
            "'batchmean' is the divergence, 'mean' is not",
            "log_target=True is stabler where the target is in log space already",
        ),
        relatives=("cross_entropy",),
        sources=("Kullback and Leibler (1951), doi:10.1214/aoms/1177729694",),
    ),
)
def kl_div(input: Tensor, target: Tensor, *, log_target: bool = False) -> Tensor:
    """Extra surprise of seeing `target` while believing `input`; the gradient is minus the target.

    `input` holds log-probabilities; so does `target` with log_target=True, the stabler way.
    Where the target has no mass it contributes 0. Kullback and Leibler (1951),
    doi:10.1214/aoms/1177729694.
    """
    empty = target == -math.inf if log_target else target == 0
    input = torch.where(empty, 0.0, input)
    target = torch.where(empty, 1.0, target)
    if log_target:
        value = torch.exp(target) * (target - input)
    else:
        value = target * (torch.log(target) - input)
    return torch.where(empty, 0.0, value)
