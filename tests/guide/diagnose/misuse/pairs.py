"""Misuse of losses of pairs and triplets."""

import torch

from tests.guide.diagnose.misuse.case import bits, logits, misuse


@misuse("hinge_embedding_loss", "warning", "`input` is negative, and no distance")
def scores_as_distances():
    input = logits()
    return (input, 2 * bits(input) - 1), {}


@misuse("triplet_margin_loss", "warning", "All three vectors are the same")
def collapsed():
    anchor = logits(4)
    return (anchor, anchor.clone(), anchor.clone()), {}


def rooted(a, b):
    return torch.sqrt(((a - b) ** 2).sum(-1) * (1 + 0 * a.sum()))


@misuse(
    "triplet_margin_with_distance_loss", "error", "gradient of `distance_function` rooted is not"
)
def steep_distance():
    anchor = logits(4)
    positive = torch.randn_like(anchor)
    positive[3] = anchor[3]
    return (anchor, positive, torch.randn_like(anchor)), {
        "distance_function": rooted, "margin": 9.0,
    }  # fmt: skip
