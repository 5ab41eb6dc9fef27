"""Cross entropy as plain torch: any device, any transform, any order of derivatives."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


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
    label = torch.where(kept, target, 0).to(torch.int64).unsqueeze(-1)
    share = None if weight is None else weight.expand(input.shape).gather(-1, label).squeeze(-1)
    if share is not None and not label_smoothing and not z_loss:
        kept = kept & (share != 0)  # nothing but its class counts in a row
    logits = _capped(torch.where(kept.unsqueeze(-1), input, 0.0), softcap)
    surprise = _surprise(_finite(logits))
    of_label = surprise.gather(-1, label).squeeze(-1)
    if share is not None:
        of_label = of_label * share.to(logits.dtype)
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
    # A class without mass costs nothing, however impossible it is.
    surprise = torch.where((mass == 0) & torch.isinf(surprise), 0.0, surprise)
    return _sum(mass * surprise, weight) + _squared(logits, z_loss)


def _surprise(logits: Tensor) -> Tensor:
    """The negative logarithm of each class's probability. That of the likeliest one comes from the
    sum of the others, so that it does not cancel however sure it is.
    """
    top = logits.argmax(-1, keepdim=True)
    others = logits.scatter(-1, top, -torch.inf)
    alone = (others == -torch.inf).all(-1, keepdim=True)
    others = torch.where(alone, 0.0, others)
    highest = logits.gather(-1, top)
    ahead = highest - torch.logsumexp(others, -1, keepdim=True)
    sure = torch.where(alone, highest - highest, -logsigmoid(ahead))
    return (-torch.log_softmax(logits, -1)).scatter(-1, top, sure)


def _capped(logits: Tensor, softcap: float | None) -> Tensor:
    return logits if softcap is None else softcap * torch.tanh(logits / softcap)


def _finite(logits: Tensor) -> Tensor:
    """The same, but 0 for a single infinite logit and -inf beside it, which is its limit."""
    infinite = logits == torch.inf
    one = infinite.sum(-1, keepdim=True) == 1
    return torch.where(one, torch.where(infinite, 0.0, -torch.inf), logits)


def _sum(values: Tensor, weight: Tensor | None) -> Tensor:
    """Over the classes; one without weight counts nothing, whatever it holds."""
    if weight is not None:
        values = torch.where(weight == 0, 0.0, weight.to(values.dtype) * values)
    return values.sum(-1)


def _squared(logits: Tensor, z_loss: float) -> Tensor | float:
    return z_loss * torch.logsumexp(logits, -1) ** 2 if z_loss else 0.0
