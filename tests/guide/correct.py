"""Batches as a careful person gives them to every loss of the catalogue: nothing is wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Call = tuple[tuple[Tensor, ...], dict[str, Any]]
MAKERS: dict[str, Callable[[Draw], Call]] = {}


class Draw:
    """Seeded choices: sizes, scales, dtypes."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        torch.manual_seed(seed)

    def size(self) -> int:
        return self.random.choice((1, 2, 3, 5, 8, 17, 33, 64, 150, 300))

    def shape(self) -> tuple[int, ...]:
        n = self.size()
        return self.random.choice(((n,), (n,), (n, 3), (min(n, 20), 2, 4), ()))

    def some(self, *things):
        return self.random.choice(things)

    def often(self, chance: float = 0.5) -> bool:
        return self.random.random() < chance

    def real(self, *shape: int) -> Tensor:
        """Normal or heavier tails, of several scales and offsets."""
        scale = self.some(1e-3, 0.1, 1.0, 5.0, 100.0)
        tails = (
            torch.randn(shape)
            if self.often(0.8)
            else torch.randn(shape) / (0.3 + torch.rand(shape))
        )
        return tails * scale + self.some(0.0, 0.0, scale, -3 * scale)

    def logits(self, *shape: int) -> Tensor:
        """Fresh models, trained ones, confident rows, and heads that begin with zeros."""
        kind = self.some("fresh", "plain", "sure", "zero", "zero rows", "bias")
        logits = torch.randn(shape) * {"fresh": 0.02, "plain": 1.0, "sure": 8.0}.get(kind, 1.0)
        if kind == "zero":
            logits = torch.zeros(shape)
        if kind == "bias":
            logits = torch.zeros(shape) + self.some(0.3, -4.6)
        if kind == "zero rows" and logits.dim():
            logits = torch.where(
                torch.arange(len(logits)).view(-1, *[1] * (logits.dim() - 1)) % 3 == 0, 0.0, logits
            )
        return logits

    def dtype(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.some(torch.float32, torch.float32, torch.float64, torch.bfloat16))

    def binary(self, *shape: int) -> Tensor:
        """Hard labels, rare or not, of several types; and soft ones."""
        labels = torch.rand(shape) < self.some(0.5, 0.05, 0.9)
        kind = self.some("float", "bool", "int64", "uint8", "smoothed", "soft")
        if kind == "soft":
            return torch.rand(shape)
        if kind == "smoothed":
            return labels.float() * 0.9 + 0.05
        return labels.to(
            {"bool": torch.bool, "int64": torch.int64, "uint8": torch.uint8}.get(
                kind, torch.float32
            )
        )

    def signs(self, *shape: int) -> Tensor:
        signs = 2 * torch.randint(2, shape) - 1
        signs = torch.ones_like(signs) if self.often(0.1) else signs
        return signs.to(self.some(torch.float32, torch.int64, torch.int8))

    def weighting(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """Now and then a mask, a weight for each row, or another reduction."""
        options: dict[str, Any] = {}
        if self.often(0.2):
            mask = torch.rand(shape) < 0.7
            options["mask"] = mask | (torch.arange(mask.numel()).view(shape) == 0)
        if self.often(0.2):
            options["sample_weight"] = torch.rand(shape) + 0.01
        if self.often(0.3):
            options["reduction"] = self.some("mean", "sum", "none", "batchmean")
        elif self.often(0.1):
            options["normalizer"] = self.some(7.0, torch.tensor(3))
        return options


def maker(*names: str):
    def enter(make):
        MAKERS.update(dict.fromkeys(names, make))
        return make

    return enter


def masked_is_free(draw: Draw, tensor: Tensor, options: dict[str, Any]) -> Tensor:
    """What is masked out may hold anything."""
    mask = options.get("mask")
    if mask is None or mask.shape != tensor.shape or not tensor.is_floating_point():
        return tensor
    return torch.where(mask, tensor, draw.some(float("nan"), float("inf"), -999.0))


@maker("l1_loss", "mse_loss", "huber_loss", "smooth_l1_loss")
def distance(draw: Draw) -> Call:
    shape = draw.shape()
    target = draw.real(*shape)
    input = draw.some(
        target + 0.1 * torch.randn(shape), torch.randn(shape), torch.zeros(shape), target.clone()
    )
    options = draw.weighting(shape)
    target = masked_is_free(draw, target, options)
    if draw.often(0.2):
        input = draw.dtype(input)
    if draw.often(0.1):
        target = torch.randint(0, 9, shape)
    return (input, target), options


@maker("gaussian_nll_loss")
def gaussian(draw: Draw) -> Call:
    (input, target), options = distance(draw)
    shape = input.shape
    var = draw.some(
        torch.rand(shape) + 0.05,
        torch.randn(shape).exp(),
        torch.tensor(0.5),
        torch.full(shape, 1e-3),
    )
    options["full"] = draw.often()
    return (input, target, draw.some(0.7, var) if draw.often(0.3) else var), options


@maker("poisson_nll_loss")
def poisson(draw: Draw) -> Call:
    shape = draw.shape()
    rate = torch.rand(shape) * draw.some(0.1, 3.0, 50.0, 1e4) + 0.01
    target = torch.poisson(rate)
    target = target.long() if draw.often(0.3) else target
    options = draw.weighting(shape) | {"full": draw.often()}
    if draw.often(0.4):
        return (rate * (0.5 + torch.rand(shape)), target), options | {"log_input": False}
    return (draw.some(rate.log(), torch.randn(shape), torch.zeros(shape)), target), options


@maker("kl_div")
def divergence(draw: Draw) -> Call:
    n, classes = draw.size(), draw.some(2, 3, 10, 100)
    shape, axis = draw.some(
        ((n, classes), 1),
        ((min(n, 8), 5, classes), -1),
        ((min(n, 8), classes, 4), 1),
        ((classes,), 0),
    )
    input = draw.logits(*shape).log_softmax(axis)
    target = (draw.logits(*shape) * draw.some(0.5, 1.0, 4.0)).softmax(axis)
    if draw.often(0.2):
        target = (
            torch.nn.functional.one_hot(target.argmax(axis), shape[axis]).movedim(-1, axis).float()
        )
    options = draw.weighting(shape)
    options.pop("normalizer", None)
    options["reduction"] = draw.some("sum", "none", "batchmean")
    if draw.often(0.3):
        return (input, target.log()), options | {"log_target": True}
    return (draw.dtype(input), target), options


@maker("binary_cross_entropy")
def probabilities(draw: Draw) -> Call:
    shape = draw.shape()
    target = draw.binary(*shape)
    logits = draw.logits(*shape).clamp(-6, 6) + 3 * (2 * target.float() - 1) * draw.some(0, 1)
    options = draw.weighting(shape)
    if draw.often(0.2):
        options["weight"] = torch.rand(shape) + 0.1
    return (masked_is_free(draw, logits.sigmoid(), options), target), options


@maker("binary_cross_entropy_with_logits")
def logits(draw: Draw) -> Call:
    shape = draw.shape()
    options = draw.weighting(shape)
    if draw.often(0.3):
        options["pos_weight"] = torch.rand(shape[-1:]) * 20 + 0.1
    if draw.often(0.1):
        options["weight"] = torch.rand(shape)
    input = masked_is_free(draw, draw.dtype(draw.logits(*shape)), options)
    return (input, draw.binary(*shape)), options


@maker("soft_margin_loss")
def soft_margin(draw: Draw) -> Call:
    shape = draw.shape()
    return (draw.dtype(draw.logits(*shape)), draw.signs(*shape)), draw.weighting(shape)


@maker("multilabel_soft_margin_loss")
def labels(draw: Draw) -> Call:
    n, classes = draw.size(), draw.some(1, 2, 5, 40)
    options = draw.weighting((n,))
    if draw.often(0.3):
        options["weight"] = torch.rand(classes) + 0.1
    return (draw.dtype(draw.logits(n, classes)), draw.binary(n, classes)), options


def indices(draw: Draw, shape: tuple[int, ...], classes: int, ignored: int | None) -> Tensor:
    target = torch.randint(classes, shape)
    if ignored is not None and draw.often(0.4):
        skip = torch.rand(shape) < draw.some(0.1, 0.5, 0.9)
        skip &= torch.arange(skip.numel()).view(shape) > 0
        target = torch.where(skip, ignored, target)
    return target.int() if draw.often(0.1) else target


def class_shape(draw: Draw) -> tuple[tuple[int, ...], int]:
    n, classes = draw.size(), draw.some(2, 3, 5, 10, 100)
    kind = draw.some("rows", "rows", "rows", "image", "sequence", "alone")
    if kind == "image":
        return (min(n, 4), classes, 5, 6), 1
    if kind == "sequence":
        return (min(n, 8), draw.some(7, 10), classes), -1
    if kind == "alone":
        return (classes,), 0
    return (n, classes), 1


def class_options(
    draw: Draw, shape: tuple[int, ...], axis: int
) -> tuple[dict[str, Any], tuple[int, ...]]:
    axis %= len(shape)
    rows = shape[:axis] + shape[axis + 1 :]
    options = draw.weighting(rows)
    if axis > 1:
        options["dim"] = -1
    if draw.often(0.3):
        options["weight"] = torch.rand(shape[axis]) + 0.1
    if draw.often(0.3):
        options["ignore_index"] = draw.some(-1, 255, -100)
    return options, rows


@maker("cross_entropy")
def cross_entropy(draw: Draw) -> Call:
    shape, axis = class_shape(draw)
    options, rows = class_options(draw, shape, axis)
    input = draw.logits(*shape)
    if draw.often(0.2):
        options.pop("ignore_index", None)
        target = draw.logits(*shape).softmax(axis)
        if draw.often(0.3):
            target = torch.where(torch.rand(rows).unsqueeze(axis) < 0.3, 0.0, target)
            target = target.clone() if target.any() else torch.full(shape, 1 / shape[axis])
        return (input, target), options
    target = indices(draw, rows, shape[axis], options.get("ignore_index", -100))
    ignored = target == options.get("ignore_index", -100)
    if draw.often(0.3):
        input = torch.where(ignored.unsqueeze(axis), float("nan"), input)
    elif draw.often(0.2):  # a class ruled out, unless it is the true one
        first = input.select(axis, 0)
        first.copy_(torch.where(target == 0, first, -torch.inf))
    if draw.often(0.3):
        options["label_smoothing"] = 0.1 if input.isfinite().all() else 0.0
    return (draw.dtype(input) if draw.often(0.3) else input, target), options


@maker("nll_loss")
def nll(draw: Draw) -> Call:
    shape, axis = class_shape(draw)
    options, rows = class_options(draw, shape, axis)
    input = draw.dtype(draw.logits(*shape).log_softmax(axis))
    return (input, indices(draw, rows, shape[axis], options.get("ignore_index", -100))), options


@maker("multi_margin_loss")
def multi_margin(draw: Draw) -> Call:
    n, classes = draw.size(), draw.some(2, 3, 10, 100)
    options = draw.weighting((n,)) | {"p": draw.some(1, 2), "margin": draw.some(1.0, 0.5)}
    if draw.often(0.3):
        options["weight"] = torch.rand(classes) + 0.1
    return (draw.dtype(draw.logits(n, classes)), indices(draw, (n,), classes, None)), options


@maker("linear_cross_entropy")
def linear(draw: Draw) -> Call:
    n, features, classes = draw.size(), draw.some(1, 4, 16), draw.some(2, 10, 50)
    options = draw.weighting((n,))
    if options.get("reduction") == "batchmean":
        del options["reduction"]
    if draw.often(0.3):
        options["linear_bias"] = torch.randn(classes)
    if draw.often(0.3):
        options["weight"] = torch.rand(classes) + 0.1
    weight = torch.randn(classes, features) * draw.some(0.02, 0.3)
    return (torch.randn(n, features), weight, indices(draw, (n,), classes, -100)), options


@maker("margin_ranking_loss")
def ranking(draw: Draw) -> Call:
    shape = draw.shape()
    options = draw.weighting(shape) | {"margin": draw.some(0.0, 0.5, 1.0)}
    return (draw.real(*shape), draw.logits(*shape), draw.signs(*shape)), options


@maker("hinge_embedding_loss")
def hinge(draw: Draw) -> Call:
    shape = draw.shape()
    options = draw.weighting(shape) | {"margin": draw.some(0.5, 1.0, 2.0)}
    distance = torch.rand(shape) * draw.some(0.1, 1.0, 10.0)
    return (draw.dtype(distance), draw.signs(*shape)), options


def vectors(draw: Draw, n: int, features: int) -> Tensor:
    made = torch.randn(n, features) * draw.some(0.01, 1.0, 30.0)
    made = made.relu() if draw.often(0.2) else made
    return torch.nn.functional.normalize(made, dim=1) if draw.often(0.3) else made


@maker("cosine_embedding_loss")
def cosine(draw: Draw) -> Call:
    n, features = draw.size(), draw.some(2, 8, 64)
    options = draw.weighting((n,)) | {"margin": draw.some(0.0, 0.5)}
    return (vectors(draw, n, features), vectors(draw, n, features), draw.signs(n)), options


@maker("triplet_margin_loss")
def triplet(draw: Draw) -> Call:
    n, features = draw.size(), draw.some(2, 8, 64)
    options = draw.weighting((n,)) | {"margin": draw.some(0.2, 1.0), "swap": draw.often()}
    return tuple(vectors(draw, n, features) for _ in range(3)), options


def manhattan(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().sum(-1) + 0.1


@maker("triplet_margin_with_distance_loss")
def triplet_with_distance(draw: Draw) -> Call:
    tensors, options = triplet(draw)
    return tensors, options | {"distance_function": draw.some(None, manhattan)}


def correct(loss: str, seed: int) -> Call:
    """A correct call of this loss: tensors and options."""
    return MAKERS[loss](Draw(seed))
