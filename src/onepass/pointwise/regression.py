"""Distances between a prediction and a target: l1, mse, huber, smooth_l1."""

from __future__ import annotations

import torch
from torch import Tensor

from onepass.define import NONNEGATIVE, POSITIVE, Card, pointwise
from onepass.runtime import internals


@pointwise(
    weight_counts=True,
    card=Card(
        task="regression",
        input="any real number",
        target="any real number",
        best_for="data with outliers, image reconstruction, errors that count in proportion",
        not_for="outliers that carry information, or a smooth path to the optimum",
        convex=True,
        gradient_bound=1,
        minimised_by="median",
        remarks=("the mean absolute error", "gradient is a sign: always of size 1, but 0 at 0"),
        relatives=("mse_loss", "huber_loss", "smooth_l1_loss"),
        sources=("Laplace (1774), Mémoire sur la probabilité des causes, no DOI: older than DOIs",),
    ),
)
def l1_loss(input: Tensor, target: Tensor) -> Tensor:
    """Absolute error: every element pulls with the same strength, however far off it is.

    Between its relatives the most robust and the least smooth. Laplace (1774).
    """
    return torch.abs(input - target)


@pointwise(
    torch_op=internals.mse_loss,
    weight_counts=True,
    card=Card(
        task="regression",
        input="any real number",
        target="any real number",
        best_for="general regression, roughly normal errors, where large errors must hurt most",
        not_for="many outliers, or errors that should all weigh the same",
        smooth=True,
        convex=True,
        minimised_by="mean",
        remarks=("gradient proportional to the error",),
        relatives=("l1_loss", "huber_loss", "gaussian_nll_loss"),
        sources=("Gauss (1809), Theoria motus corporum coelestium, no DOI: older than DOIs",),
    ),
)
def mse_loss(input: Tensor, target: Tensor) -> Tensor:
    """Squared error: an element pulls in proportion to how far off it is.

    gaussian_nll_loss with a constant variance, huber_loss with delta to infinity. Gauss (1809).
    """
    error = input - target
    return error * error


@pointwise(
    delta=POSITIVE,
    torch_op=internals.huber_loss,
    card=Card(
        task="regression",
        input="any real number",
        target="any real number",
        best_for="mostly well-behaved targets with some outliers",
        not_for="purely absolute or purely squared error, or where every operation counts",
        smooth=True,
        convex=True,
        gradient_bound="delta",
        minimised_by="mean of the targets clipped to within delta of it",
        remarks=("quadratic up to delta, linear beyond",),
        relatives=("mse_loss", "l1_loss", "smooth_l1_loss"),
        sources=("Huber (1964), doi:10.1214/aoms/1177703732",),
    ),
)
def huber_loss(input: Tensor, target: Tensor, *, delta: float = 1.0) -> Tensor:
    """Squared error whose gradient is clipped to [-delta, delta].

    Between mse_loss (delta to infinity) and l1_loss (delta to zero). Huber (1964),
    doi:10.1214/aoms/1177703732.
    """
    error = input - target
    size = torch.abs(error)
    near = torch.where(size < delta, error, 0.0)  # an infinite error has no square on the way back
    return torch.where(size < delta, 0.5 * torch.square(near), delta * (size - 0.5 * delta))


@pointwise(
    beta=NONNEGATIVE,
    torch_op=internals.smooth_l1_loss,
    card=Card(
        task="regression",
        input="any real number",
        target="any real number",
        best_for="box regression and localisation in object detection",
        not_for="regression without such structure, or where outliers are very rare",
        smooth=True,
        convex=True,
        gradient_bound=1,
        minimised_by="mean of the targets clipped to within beta of it",
        remarks=(
            "huber_loss divided by its delta, here beta",
            "l1_loss, corner and all, at beta = 0",
        ),
        relatives=("huber_loss", "l1_loss"),
        sources=("Girshick (2015), doi:10.1109/ICCV.2015.169",),
    ),
)
def smooth_l1_loss(input: Tensor, target: Tensor, *, beta: float = 1.0) -> Tensor:
    """Absolute error with its corner rounded off within beta of the target.

    huber_loss divided by delta; l1_loss when beta is 0. Girshick (2015),
    doi:10.1109/ICCV.2015.169.
    """
    error = input - target
    size = torch.abs(error)
    near = torch.where(size < beta, error, 0.0)  # so that beta = 0 divides nothing but 0
    return torch.where(size < beta, 0.5 * near * near / beta, size - 0.5 * beta)
