"""What torch's functions say of the section that is drawn of each loss."""

import math

import torch
import torch.nn.functional as T


def at(x, value):
    return torch.full_like(x, value)


def two(p):
    return torch.stack([p, 1 - p], -1)


def scores(x):
    return torch.stack([x, 0 * x, 0 * x], -1), torch.zeros(len(x), dtype=torch.int64)


def vectors(x):
    return torch.stack([torch.cos(x), torch.sin(x)], -1), torch.tensor([[1.0, 0.0]]).to(x)


def triplet(x):
    return at(x, 0.0)[:, None], (50 + x)[:, None], at(x, -50.0)[:, None]


def each(function, values):
    return [lambda x, value=value: function(x, value) for value in values]


EXPECTED = {
    "l1_loss": [lambda x: T.l1_loss(x, 0 * x, reduction="none")],
    "mse_loss": [lambda x: T.mse_loss(x, 0 * x, reduction="none")],
    "huber_loss": [lambda x: T.huber_loss(x, 0 * x, reduction="none")],
    "smooth_l1_loss": [lambda x: T.smooth_l1_loss(x, 0 * x, reduction="none")],
    "gaussian_nll_loss": each(
        lambda x, v: T.gaussian_nll_loss(x, 0 * x, at(x, v), reduction="none"), (0.25, 1.0, 4.0)
    ),
    "poisson_nll_loss": each(
        lambda x, k: T.poisson_nll_loss(x, at(x, k), reduction="none"), (0.0, 2.0, 6.0)
    ),
    "kl_div": each(
        lambda x, p: T.kl_div(two(x).log(), two(at(x, p)), reduction="none").sum(-1),
        (0.1, 0.5, 0.9),
    ),
    "binary_cross_entropy": each(
        lambda x, y: T.binary_cross_entropy(x, at(x, y), reduction="none"), (0.0, 1.0)
    ),
    "binary_cross_entropy_with_logits": each(
        lambda x, y: T.binary_cross_entropy_with_logits(x, at(x, y), reduction="none"), (0.0, 1.0)
    ),
    "cross_entropy": [lambda x: T.cross_entropy(*scores(x), reduction="none")],
    "linear_cross_entropy": [lambda x: T.cross_entropy(*scores(x), reduction="none")],
    "nll_loss": [lambda x: T.nll_loss(*scores(x), reduction="none")],
    "multilabel_soft_margin_loss": each(
        lambda x, y: T.multilabel_soft_margin_loss(x[:, None], at(x, y)[:, None], reduction="none"),
        (0.0, 1.0),
    ),
    "soft_margin_loss": each(
        lambda x, y: T.soft_margin_loss(x, at(x, y), reduction="none"), (-1.0, 1.0)
    ),
    "multi_margin_loss": [lambda x: T.multi_margin_loss(*scores(x), reduction="none")],
    "margin_ranking_loss": each(
        lambda x, y: T.margin_ranking_loss(x, 0 * x, at(x, y), reduction="none"), (-1.0, 1.0)
    ),
    "hinge_embedding_loss": each(
        lambda x, y: T.hinge_embedding_loss(x, at(x, y), reduction="none"), (-1.0, 1.0)
    ),
    "cosine_embedding_loss": each(
        lambda x, y: T.cosine_embedding_loss(*vectors(x), at(x, y), reduction="none"), (-1.0, 1.0)
    ),
    "triplet_margin_loss": [lambda x: T.triplet_margin_loss(*triplet(x), reduction="none")],
    "triplet_margin_with_distance_loss": [
        lambda x: T.triplet_margin_with_distance_loss(*triplet(x), reduction="none")
    ],
}
KINKS = {
    "l1_loss": [[0]],
    "huber_loss": [[-1, 1]],
    "smooth_l1_loss": [[-1, 1]],
    "multi_margin_loss": [[1]],
    "margin_ranking_loss": [[0], [0]],
    "hinge_embedding_loss": [[1], []],
    "cosine_embedding_loss": [[math.pi / 2], []],
    "triplet_margin_loss": [[-1]],
    "triplet_margin_with_distance_loss": [[-1]],
}
