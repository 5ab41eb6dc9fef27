"""Pairs and margins: margin_ranking, hinge_embedding."""

from __future__ import annotations

import torch
from torch import Tensor

from onepass.define import SIGN, Card, pointwise


@pointwise(
    target=SIGN,
    card=Card(
        task="ranking",
        input="scores",
        target="labels -1 and 1",
        best_for="learning to rank, pairwise preferences, recommendation: which of two is higher",
        not_for="plain classification, absolute values, or where no order exists",
        convex=True,
        gradient_bound=1,
        remarks=("sees only the difference of the scores", "0 once the margin is kept"),
        relatives=("soft_margin_loss", "multi_margin_loss", "triplet_margin_loss"),
        sources=("Herbrich, Graepel and Obermayer (1999), doi:10.1049/cp:19991091",),
    ),
)
def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, *, margin: float = 0.0
) -> Tensor:
    """How far two scores are from keeping their order by a margin; pulls both until they do.

    target 1: input1 should be higher, -1: input2. Herbrich, Graepel and Obermayer (1999),
    doi:10.1049/cp:19991091.
    """
    return torch.clamp(-target * (input1 - input2) + margin, min=0.0)


@pointwise(
    target=SIGN,
    card=Card(
        task="pairs",
        input="distances",
        target="labels -1 and 1",
        best_for="similar (1) or dissimilar (-1) pairs, given their distance; Siamese networks",
        not_for="many classes, complex relations, or where the distance itself matters",
        convex=True,
        gradient_bound=1,
        remarks=(
            "draws similar pairs together without end",
            "pushes dissimilar ones to the margin",
        ),
        relatives=("cosine_embedding_loss", "triplet_margin_loss"),
        sources=("Hadsell, Chopra and LeCun (2006), doi:10.1109/CVPR.2006.100",),
    ),
)
def hinge_embedding_loss(input: Tensor, target: Tensor, *, margin: float = 1.0) -> Tensor:
    """Draws similar pairs together without end, pushes dissimilar ones apart up to the margin.

    Hadsell, Chopra and LeCun (2006), doi:10.1109/CVPR.2006.100, without their squares.
    """
    similar = torch.where(target != -1, input, 0.0)
    dissimilar = torch.where(target != 1, torch.clamp(margin - input, min=0.0), 0.0)
    return similar + dissimilar
