"""triplet_margin_loss: an anchor closer to its positive than to its negative, by a margin."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from onepass.define import POSITIVE, REAL, Card, Domain, Rowwise, within
from onepass.rowwise import vectors
from onepass.rowwise.triplet_margin import cpu, reference
from onepass.runtime import keywords
from onepass.runtime.call import Prepared
from onepass.runtime.call_cache import cached

_NAME, TENSORS = "triplet_margin_loss", ("anchor", "positive", "negative")
_CARD = Card(
    task="metric learning",
    input="embeddings",
    target="none, as each anchor has its positive and its negative",
    best_for="embeddings from anchor, positive and negative: faces, re-identification, retrieval",
    not_for="plain classification, binary similarity, triplets that are hard to mine, little data",
    gradient_bound=2,
    remarks=("0 once the margin is kept",),
    relatives=(
        "triplet_margin_with_distance_loss",
        "cosine_embedding_loss",
        "hinge_embedding_loss",
        "margin_ranking_loss",
    ),
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
    "swap": keywords.flag,
}
loss = Rowwise(_NAME, TENSORS, reference.loss, cpu.plan, OPTIONS, _CARD)


@cached
def evaluate(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float,
    p: float,
    eps: float,
    swap: bool,
    *weighting: Any,
) -> Prepared:
    """The loss of triplets of vectors."""
    options = loss.checked({"margin": margin, "p": p, "eps": eps, "swap": swap})
    tensors, dtype = vectors.alike(_NAME, TENSORS, (anchor, positive, negative))
    return loss.call(tensors, options, *weighting, dtype=dtype)
