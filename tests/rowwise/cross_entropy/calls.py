"""Cross entropy written out by hand, and calls to try it on."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import onepass
from onepass import functional as F
from tests.rowwise.results import INF, NAN, by_rows, class_weight, upstream_of

# The definition


def definition(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    dim: int = 1,
    z_loss: float = 0.0,
    softcap: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Each row's loss, and how much it counts, in float64 and without cancellation."""
    x = input.double().movedim(dim if input.dim() > 1 else 0, -1)
    classes = x.shape[-1]
    weight = torch.ones(classes) if weight is None else weight
    weight = weight.double()
    kept = target.long() != ignore_index
    x = torch.where(kept.unsqueeze(-1), x, 0.0)
    x = x if softcap is None else softcap * torch.tanh(x / softcap)
    label = torch.where(kept, target.long(), 0).unsqueeze(-1)
    own = x.gather(-1, label)
    others = torch.where(torch.arange(classes) == label, -INF, x)
    distance = torch.logsumexp(others, -1, keepdim=True) - own
    surprise = torch.logaddexp(distance, torch.zeros_like(distance))
    size = own + surprise  # log(sum(exp(x)))
    of_class = torch.where(weight == 0, 0.0, weight * (size - x))
    value = (1 - label_smoothing) * weight[label] * surprise
    if label_smoothing:
        value = value + label_smoothing / classes * of_class.sum(-1, keepdim=True)
    if z_loss:
        value = value + z_loss * size**2
    value = value.squeeze(-1)
    return torch.where(kept, value, 0.0), torch.where(kept, weight[label.squeeze(-1)], 0.0)


def definition_of_probabilities(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    label_smoothing: float = 0.0,
    dim: int = 1,
    z_loss: float = 0.0,
    softcap: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The same of class probabilities, where every row counts once."""
    axis = dim if input.dim() > 1 else 0
    x, mass = input.double().movedim(axis, -1), target.double().movedim(axis, -1)
    classes = x.shape[-1]
    x = x if softcap is None else softcap * torch.tanh(x / softcap)
    mass = (1 - label_smoothing) * mass + label_smoothing / classes
    mass = mass if weight is None else mass * weight.double()
    size = torch.logsumexp(x, -1)
    surprise = size.unsqueeze(-1) - x
    nothing = (mass == 0) & surprise.isinf()
    value = torch.where(nothing, 0.0, mass * torch.where(nothing, 0.0, surprise)).sum(-1)
    value = value + z_loss * size**2
    return value, torch.ones_like(value)


def of_rows(input: Tensor, target: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    """Whichever the target asks for."""
    of_target = definition_of_probabilities if target.shape == input.shape else definition
    return of_target(input, target, **options)


by_hand = by_rows(of_rows)
torchs = torch.nn.functional.cross_entropy


# Results


def results_of_both(
    function: Any, input: Tensor, target: Tensor, *, curved: bool = False, **options: Any
):
    """Value, gradients by logits and by target, and if `curved` how these bend."""
    leaves = input.detach().requires_grad_(), target.detach().requires_grad_()
    value = function(*leaves, **options)
    slopes = torch.autograd.grad(value, leaves, upstream_of(value), create_graph=curved)
    found = [value.detach(), *(slope.detach() for slope in slopes)]
    if curved:
        along = sum((torch.sin(7 * slope.detach()) * slope).sum() for slope in slopes)
        found += torch.autograd.grad(along, leaves)
    return found


def on(engine: str):
    """Our function on one engine."""

    def cross_entropy(*tensors: Tensor, **options: Any) -> Tensor:
        with onepass.engine(engine):
            return F.cross_entropy(*tensors, **options)

    return cross_entropy


# Calls


def logits(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)


def labels(input: Tensor, ignore_index: int | None = None, dim: int = 1, seed: int = 1) -> Tensor:
    """A class for each row; some are `ignore_index`, but the first is the second class."""
    axis = dim if input.dim() > 1 else 0
    shape = [size for k, size in enumerate(input.shape) if k != axis % input.dim()]
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(0, input.shape[axis], shape, generator=generator)
    label.flatten()[:1] = min(1, input.shape[axis] - 1)
    if ignore_index is not None:
        ignored = torch.rand(shape, generator=generator) < 0.25
        ignored.flatten()[:1] = False
        label = torch.where(ignored, ignore_index, label)
    return label


def probabilities(input: Tensor, dim: int = 1) -> Tensor:
    """Of every row; the smallest are 0."""
    mass = logits(*input.shape, seed=11).softmax(dim if input.dim() > 1 else 0)
    return torch.where(mass < 0.002, 0.0, mass)


def layouts(tensor):
    """The same numbers in other places of memory."""
    yield tensor
    yield tensor.transpose(0, -1).contiguous().transpose(0, -1)
    yield torch.stack([tensor, tensor * NAN], -1)[..., 0]
    yield torch.cat([tensor * NAN, tensor])[tensor.shape[0] :]
    yield tensor.flip(0).flip(0)
    yield tensor[:1].expand_as(tensor)
    if tensor.dim() > 1:
        yield tensor.movedim(1, -1).contiguous().movedim(-1, 1)
        yield tensor.movedim(1, 0).contiguous().movedim(0, 1)
        yield tensor[:, :1].expand_as(tensor)
    if tensor.dim() == 4:
        yield tensor.contiguous(memory_format=torch.channels_last)


def options_of(name: str, classes: int) -> dict[str, Any]:
    """A set of options; `kept` is a class and still is ignored."""
    weight = class_weight(classes)
    return {
        "plain": {},
        "ignored": {"ignore_index": -100},
        "kept": {"ignore_index": classes - 1},
        "weight": {"weight": weight, "ignore_index": -100},
        "smoothed": {"label_smoothing": 0.1},
        "all smoothed": {"label_smoothing": 1.0},
        "together": {"weight": weight, "label_smoothing": 0.1, "ignore_index": 255},
        "z_loss": {"z_loss": 1e-2, "ignore_index": -100},
        "softcap": {"softcap": 4.0},
        "everything": {
            "weight": weight, "label_smoothing": 0.2, "ignore_index": -1, "z_loss": 0.1,
            "softcap": 5.0,
        },
    }[name]  # fmt: skip


def options_of_probabilities(name: str, classes: int) -> dict[str, Any]:
    return {k: v for k, v in options_of(name, classes).items() if k != "ignore_index"}


TORCHS = ("plain", "ignored", "kept", "weight", "smoothed", "all smoothed", "together")
BEYOND = ("z_loss", "softcap", "everything")
FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)

# What a kernel may meet: rows along which to go, rows side by side, rows that lie so already, each
# in more than one turn; and what one turn does.
LAST, FEW, ADJACENT, ALONE = (70, 300), (300, 7), (2, 5, 8, 9), (30, 6)
KERNELS = (LAST, FEW, ADJACENT, ALONE)
assert LAST[1] > 24 > FEW[1] == 7
assert math.prod(ADJACENT[2:]) >= 16
assert ALONE[0] < 256

SHAPES = [
    (5,), (1,), (7, 3), (4, 1), (300, 2), (64, 32), (9, 49), (33, 100), (5, 9000), (4, 3, 20),
    (2, 5, 4, 6), (3, 40, 17), (2, 100, 5, 5), (2, 1500, 20), (1, 1, 1), (2, 7, 3, 2, 2),
]  # fmt: skip

ENGINES = pytest.mark.parametrize("engine", ["cpu", "eager"])
EVERY_KERNEL = pytest.mark.parametrize("shape", KERNELS, ids=["along", "few", "adjacent", "alone"])
