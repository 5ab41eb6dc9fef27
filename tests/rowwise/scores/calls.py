"""nll_loss, multi_margin_loss and multilabel_soft_margin_loss by hand, and calls to try."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import onepass
from onepass import functional as F
from onepass import nn
from tests.rowwise.results import by_rows, class_weight

T = torch.nn.functional
F16, BF16, F32, F64 = torch.float16, torch.bfloat16, torch.float32, torch.float64
NAMES = ("nll_loss", "multi_margin_loss", "multilabel_soft_margin_loss")
INDEXED = NAMES[:2]  # with class indices
CLASSES = {
    "nll_loss": nn.NLLLoss,
    "multi_margin_loss": nn.MultiMarginLoss,
    "multilabel_soft_margin_loss": nn.MultiLabelSoftMarginLoss,
}
ENGINES = pytest.mark.parametrize("engine", ["cpu", "eager"])
EVERY = pytest.mark.parametrize("name", NAMES)
OF_INDICES = pytest.mark.parametrize("name", INDEXED)

# Rows along which to go, few classes, many classes side by side, many in more than one run, rows
# in more than one turn, few rows side by side.
SHAPES = [
    (5,), (1,), (7, 3), (4, 1), (600, 2), (300, 48), (70, 300), (5, 9000), (4, 3, 20), (3, 5, 4),
    (2, 5, 4, 6), (2, 300, 5, 5), (2, 1500, 20), (1, 21, 700), (1, 1, 1), (2, 7, 3, 2, 2),
]  # fmt: skip
KERNELS = [(70, 300), (300, 7), (2, 5, 8, 50), (30, 6), (2, 5, 7, 3)]


# The definitions, by hand: each row's loss, and how much it counts


def nll_of_rows(x, target, weight=None, *, ignore_index=-100, dim=1):
    x = x.movedim(dim if x.dim() > 1 else 0, -1)
    kept = target != ignore_index
    label = torch.where(kept, target, 0)
    weight = torch.ones(x.shape[-1], dtype=F64) if weight is None else weight.double()
    share = torch.where(kept, weight[label], 0.0)
    value = -x.gather(-1, label.unsqueeze(-1)).squeeze(-1)
    return torch.where(share == 0, 0.0, share * value), share


def multi_margin_of_rows(x, target, p=1, margin=1.0, weight=None):
    x = x.movedim(1 if x.dim() > 1 else 0, -1)
    label = target.unsqueeze(-1)
    slack = margin - x.gather(-1, label) + x
    slack = slack.scatter(-1, label, -1.0)  # below the kink
    cost = (torch.where(slack > 0, slack, 0.0) ** p).sum(-1) / x.shape[-1]
    share = torch.ones_like(cost) if weight is None else weight.double()[target]
    return torch.where(share == 0, 0.0, share * cost), torch.ones_like(cost)


def multilabel_of_rows(x, target, weight=None):
    target = target.double()
    each = torch.clamp(x, min=0) - x * target + torch.log1p(torch.exp(-x.abs()))
    each = each if weight is None else torch.where(weight == 0, 0.0, weight * each)
    value = each.sum(-1) / x.shape[-1]
    return value, torch.ones_like(value)


OF_ROWS = dict(zip(NAMES, (nll_of_rows, multi_margin_of_rows, multilabel_of_rows), strict=True))


def by_hand(name: str) -> Callable[..., Tensor]:
    """The loss as its function gives it, in float64."""
    return by_rows(
        lambda input, *others, **options: OF_ROWS[name](input.double(), *others, **options)
    )


# Calls


def on(engine: str, name: str) -> Callable[..., Tensor]:
    """Our function on one engine."""

    def loss(*tensors, **options):
        with onepass.engine(engine):
            return getattr(F, name)(*tensors, **options)

    return loss


def scores(*shape, dtype=F64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=F64).to(dtype)


def classes_of(name, input):
    return input.shape[-1] if name not in INDEXED or input.dim() == 1 else input.shape[1]


def rows_of(name, input):
    """The shape of the unreduced loss."""
    axis = 1 if name in INDEXED and input.dim() > 1 else -1
    return torch.Size([n for k, n in enumerate(input.shape) if k != axis % input.dim()])


def targets(name, input, ignore_index=None):
    generator = torch.Generator().manual_seed(1)
    if name not in INDEXED:
        return torch.rand(input.shape, generator=generator, dtype=F64).round(decimals=1)
    shape = rows_of(name, input)
    label = torch.randint(classes_of(name, input), shape, generator=generator)
    label.flatten()[:1] = min(1, classes_of(name, input) - 1)  # one that has a weight
    if ignore_index is not None:
        ignored = torch.rand(shape, generator=generator) < 0.25
        ignored.flatten()[:1] = False
        label = torch.where(ignored, ignore_index, label)
    return label


def options_of(name, input) -> list[dict[str, Any]]:
    classes = classes_of(name, input)
    weight = class_weight(classes)
    return {
        "nll_loss": [
            {}, {"ignore_index": -100}, {"weight": weight, "ignore_index": 255},
            {"ignore_index": classes - 1}, {"weight": weight},
        ],
        "multi_margin_loss": [
            {}, {"p": 2}, {"margin": 0.25, "weight": weight}, {"p": 2, "margin": 2.5},
            {"p": 2, "margin": -0.5, "weight": weight}, {"margin": 0},
        ],
        "multilabel_soft_margin_loss": [{}, {"weight": weight}],
    }[name]  # fmt: skip


def ignoring(options):
    return options.get("ignore_index")


def torchs(name: str) -> Callable[..., Tensor]:
    """torch's function, with multi_margin_loss for every shape."""
    function = getattr(T, name)
    if name != "multi_margin_loss":
        return function

    def loss(input, target, **options):
        if input.dim() < 3:
            return function(input, target, **options)
        flat = input.movedim(1, -1).reshape(-1, input.shape[1])
        value = function(flat, target.flatten(), **options)
        return value.reshape(target.shape) if value.dim() else value

    return loss
