"""Cross entropy as plain torch: any device, any transform, any order of derivatives."""

from __future__ import annotations

import torch
from torch import Tensor

from onepass.rowwise.labels import at_label
from onepass.runtime import sharded


def of_labels(
    input: Tensor,  # (*rows, classes)
    target: Tensor,  # (*rows)
    *,
    weight: Tensor | None,
    ignore_index: int,
    label_smoothing: float,
    z_loss: float,
    softcap: float | None,
) -> Tensor:
    """The loss of each row, given the index of its class; 0 where that is ignored."""
    kept = target != ignore_index
    label = torch.where(kept, target, 0).to(torch.int64)
    share = None
    if weight is not None:
        share = weight.to(input.dtype)[label.unsqueeze(-1)].squeeze(-1)
    if share is not None and not label_smoothing and not z_loss:
        kept = kept & (share != 0)  # nothing but its class counts in a row
    logits = _capped(torch.where(kept.unsqueeze(-1), input, 0.0), softcap)
    surprise = _surprise(_finite(logits))
    of_label = at_label(surprise, label)
    if share is not None:
        of_label = of_label * share
    value = (1 - label_smoothing) * of_label
    if label_smoothing:
        value = value + label_smoothing / input.shape[-1] * _sum(surprise, weight)
    return torch.where(kept, value + _squared(logits, z_loss), 0.0)


def of_probabilities(
    input: Tensor,  # (*rows, classes)
    target: Tensor,  # (*rows, classes)
    *,
    weight: Tensor | None,
    label_smoothing: float,
    z_loss: float,
    softcap: float | None,
) -> Tensor:
    """The loss of each row, given the probability of every class."""
    logits = _capped(input, softcap)
    mass = target
    if label_smoothing:
        mass = (1 - label_smoothing) * target + label_smoothing / input.shape[-1]
    surprise = _surprise(_finite(logits))
    if weight is not None:  # whatever mass a class without weight has
        mass = torch.where(weight == 0, 0.0, mass)
    # A class without mass costs nothing, however impossible it is.
    surprise = torch.where((mass == 0) & torch.isinf(surprise), 0.0, surprise)
    return _sum(mass * surprise, weight) + _squared(logits, z_loss)


def _surprise(logits: Tensor) -> Tensor:
    """The negative logarithm of each class's probability. That of the likeliest one comes from the
    sum of the others, so that it does not cancel however sure it is.
    """
    logits = sharded.with_values(logits)
    behind = logits - logits.detach().amax(-1, keepdim=True)
    place = sharded.places(logits)
    first = torch.where(behind == 0, place, logits.shape[-1]).amin(-1, keepdim=True)
    likeliest = place == first
    size = torch.log(sharded.total(torch.exp(behind)))
    top = sharded.total(torch.where(likeliest, behind, 0.0))  # 0, with its slope
    others = sharded.total(torch.where(likeliest, 0.0, torch.exp(behind - top)))
    return torch.where(likeliest, torch.log1p(others), size - behind)


def _capped(logits: Tensor, softcap: float | None) -> Tensor:
    return logits if softcap is None else softcap * torch.tanh(logits / softcap)


def _finite(logits: Tensor) -> Tensor:
    """The same, but 0 for a single infinite logit and -inf beside it, which is its limit; a nan
    stays one.
    """
    infinite = logits == torch.inf
    one = infinite.sum(-1, keepdim=True) == 1
    return torch.where(one & ~logits.isnan(), torch.where(infinite, 0.0, -torch.inf), logits)


def _sum(values: Tensor, weight: Tensor | None) -> Tensor:
    """Over the classes; one without weight counts nothing, whatever it holds."""
    if weight is not None:
        values = torch.where(weight == 0, 0.0, weight.to(values.dtype) * values)
    return sharded.total(values).squeeze(-1)


def _squared(logits: Tensor, z_loss: float) -> Tensor | float:
    return z_loss * torch.logsumexp(logits, -1) ** 2 if z_loss else 0.0
