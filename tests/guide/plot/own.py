"""Losses of one's own, to be drawn."""

import torch

import onepass


@onepass.pointwise
def log_cosh(input, target):
    return torch.log(torch.cosh(input - target))


@onepass.pointwise(target=onepass.SIGN)
def hinge(input, target, *, margin: float = 1.0):
    return torch.clamp(margin - target * input, min=0.0)


@onepass.pointwise(
    rate=onepass.POSITIVE,
    card=onepass.Card(
        task="survival",
        input="a rate",
        target="a time",
        best_for="times until an event",
        not_for="counts",
    ),
)
def exponential_nll(rate, time):
    return rate * time - torch.log(rate)


@onepass.pointwise
def entropy(input):
    return torch.where(input > 0, input * torch.log(input), 0.0)


OWN = (log_cosh, hinge, exponential_nll, entropy)
