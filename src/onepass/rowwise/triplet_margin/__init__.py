"""triplet_margin_loss: an anchor closer to its positive than to its negative, by a margin."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from onepass.define import POSITIVE, REAL, VECTOR, Card, Domain, Laid, Variant, rowwise
from onepass.rowwise import vectors
from onepass.rowwise.triplet_margin import cpu, reference
from onepass.runtime import keywords

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
of_norms = Variant(_NAME, TENSORS, reference.loss, cpu.plan)


def _power(loss: str, name: str, given: Any) -> float:
    """1, 2 and inf have kernels of their own: it is no number that may be any."""
    return keywords.parameter(loss, name, given, NORM)


@rowwise(
    anchor=VECTOR,
    positive=VECTOR,
    negative=VECTOR,
    margin=POSITIVE,
    p=_power,
    eps=REAL,
    swap=keywords.flag,
    card=_CARD,
    variants=(of_norms,),
)
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
) -> Laid:
    """How far an anchor is from being closer to its positive than to its negative by a margin.

    Draws the one and pushes the other, until the margin is kept. Balntas, Riba, Ponsa and
    Mikolajczyk (2016), doi:10.5244/C.30.119.
    """
    tensors, dtype = vectors.alike(_NAME, TENSORS, (anchor, positive, negative))
    return Laid(of_norms, tensors, {"margin": margin, "p": p, "eps": eps, "swap": swap}, dtype)
