"""triplet_margin_loss: an anchor closer to its positive than to its negative, by a margin."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from onepass.define import POSITIVE, REAL, Card, Domain, Rowwise, within
from onepass.rowwise import vectors
from onepass.rowwise.triplet_margin import cpu, reference
from onepass.runtime import checks

_NAME, TENSORS = "triplet_margin_loss", ("anchor", "positive", "negative")
_CARD = Card(
    task="metric learning",
    best_for="embeddings from anchor, positive and negative: faces, re-identification, retrieval",
    not_for="plain classification, or where triplets are hard to find or data is little",
    properties=("0 once the margin is kept", "slopes of length 1 for p = 2"),
    relatives=("triplet_margin_with_distance_loss", "cosine_embedding_loss"),
    sources=(
        "Balntas, Riba, Ponsa and Mikolajczyk (2016), doi:10.5244/C.30.119",
        "Schroff, Kalenichenko and Philbin (2015), doi:10.1109/CVPR.2015.7298682",
    ),
)
NORM = Domain("a positive number or inf", low=0, low_open=True)
OPTIONS = {
    "margin": within(POSITIVE),
    "p": within(NORM),
    "eps": within(REAL),
    "swap": checks.flag,
}
loss = Rowwise(_NAME, TENSORS, reference.loss, cpu.plan, OPTIONS, _CARD)


def evaluate(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float,
    p: float,
    eps: float,
    swap: bool,
    **weighting: Any,
) -> Tensor:
    """The loss of triplets of vectors."""
    options = {"margin": margin, "p": p, "eps": eps, "swap": swap}
    loss.settings(options)
    tensors = vectors.alike(_NAME, TENSORS, (anchor, positive, negative))
    return loss.evaluate(tensors, options, **weighting)
