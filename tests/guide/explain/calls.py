"""Tensors for every loss."""

import torch

import onepass

LOSSES = tuple(onepass.catalogue())


def normal(*shape):
    return torch.randn(shape, dtype=torch.float64)


def signs(*shape):
    return 2.0 * torch.randint(2, shape).double() - 1


def classes(*shape):
    return torch.randint(5, shape)


def distributions(*shape):
    return normal(*shape).softmax(-1)


def tensors_of(loss):
    """Float64 tensors that torch's function takes, too."""
    shape, row = (20, 3), (30, 5)
    return {
        "l1_loss": lambda: {"input": normal(*shape), "target": normal(*shape)},
        "mse_loss": lambda: {"input": normal(*shape), "target": normal(*shape)},
        "huber_loss": lambda: {"input": normal(*shape), "target": normal(*shape)},
        "smooth_l1_loss": lambda: {"input": normal(*shape), "target": normal(*shape)},
        "gaussian_nll_loss": lambda: {
            "input": normal(*shape), "target": normal(*shape), "var": normal(*shape).exp(),
        },
        "poisson_nll_loss": lambda: {"input": normal(60), "target": torch.randint(9, (60,))},
        "kl_div": lambda: {"input": distributions(*row).log(), "target": distributions(*row)},
        "binary_cross_entropy": lambda: {
            "input": normal(60).sigmoid(), "target": torch.rand(60).round().double(),
        },
        "binary_cross_entropy_with_logits": lambda: {
            "input": normal(*shape), "target": torch.rand(shape).round().double(),
        },
        "cross_entropy": lambda: {"input": normal(*row), "target": classes(30)},
        "linear_cross_entropy": lambda: {
            "input": normal(30, 4), "linear_weight": normal(5, 4), "target": classes(30),
        },
        "nll_loss": lambda: {"input": distributions(*row).log(), "target": classes(30)},
        "multilabel_soft_margin_loss": lambda: {
            "input": normal(*row), "target": torch.rand(row).round().double(),
        },
        "soft_margin_loss": lambda: {"input": normal(60), "target": signs(60)},
        "multi_margin_loss": lambda: {"input": normal(*row), "target": classes(30)},
        "margin_ranking_loss": lambda: {
            "input1": normal(60), "input2": normal(60), "target": signs(60),
        },
        "hinge_embedding_loss": lambda: {"input": normal(60).abs(), "target": signs(60)},
        "cosine_embedding_loss": lambda: {
            "input1": normal(*row), "input2": normal(*row), "target": signs(30),
        },
        "triplet_margin_loss": lambda: {
            name: normal(*row) for name in ("anchor", "positive", "negative")
        },
        "triplet_margin_with_distance_loss": lambda: {
            name: normal(*row) for name in ("anchor", "positive", "negative")
        },
    }[loss]()  # fmt: skip
