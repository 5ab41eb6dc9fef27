"""Legal inputs of any loss, from its declaration: tensors by their domains and roles, options by
their domains.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from onepass.define.pointwise import Pointwise
from onepass.define.role import CLASS_INDEX, Role
from onepass.define.rowwise import Rowwise
from onepass.formula.domain import Domain

SIZES = {"classes": 5, "labels": 4, "features": 4}  # of the axes of a row; pointwise: features


def sample(
    loss: Pointwise | Rowwise,
    rows: int,
    generator: Generator,
    *,
    sizes: Mapping[str, int] = SIZES,
    optional: bool = False,
    variant: int = 0,
) -> dict[str, Tensor]:
    """Random float64 tensors of a loss by name, with those that are optional or without.

    `variant` chooses among the roles of a tensor that has several, such as class indices (0) and
    class probabilities (1).
    """
    names = (*loss.tensors, *loss.optional) if optional else loss.tensors
    if isinstance(loss, Pointwise):
        shape = rows, sizes["features"]
        return {name: draw(loss.domains[name], shape, generator) for name in names}
    sizes = {**sizes, "rows": rows}
    roles = {name: loss.roles[name] for name in names}
    return {
        name: _of_role(each[min(variant, len(each) - 1)], sizes, generator)
        for name, each in roles.items()
    }


def variants(loss: Pointwise | Rowwise) -> int:
    """How many variants `sample` chooses among."""
    return 1 if isinstance(loss, Pointwise) else max(map(len, loss.roles.values()))


def _of_role(role: Role, sizes: Mapping[str, int], generator: Generator) -> Tensor:
    shape = [sizes[axis] for axis in role.axes]
    if role.domain is CLASS_INDEX:
        return torch.randint(sizes["classes"], shape, generator=generator)
    if not role.is_distribution:
        return draw(role.domain, shape, generator)
    scores = 2 * torch.randn(shape, dtype=torch.float64, generator=generator)
    return scores.log_softmax(-1) if role.domain.high == 0 else scores.softmax(-1)


def draw(domain: Domain, shape: Sequence[int], generator: Generator) -> Tensor:
    """Random float64 values of a domain, its confident ends among them."""
    noise = torch.randn(tuple(shape), dtype=torch.float64, generator=generator)
    if domain.values:
        pick = torch.randint(len(domain.values), tuple(shape), generator=generator)
        return torch.tensor(domain.values, dtype=torch.float64)[pick]
    if math.isfinite(domain.low) and math.isfinite(domain.high):
        return domain.low + (domain.high - domain.low) * torch.sigmoid(3 * noise)
    if math.isfinite(domain.low):
        return domain.low + torch.exp(noise)
    if math.isfinite(domain.high):
        return domain.high - torch.exp(noise)
    return 2 * noise


def settings(loss: Pointwise | Rowwise) -> Iterator[dict[str, Any]]:
    """The default options, every flag turned, and each number elsewhere in its domain."""
    yield {}
    for name, default in loss.options.items():
        if isinstance(default, bool):
            yield {name: not default}
        elif name in loss.domains:
            for value in inside(loss.domains[name], (0.5, 2.0)):
                yield {name: value}


def inside(domain: Domain, values: Sequence[float]) -> tuple[float, ...]:
    """Those of the values that the domain has."""
    return tuple(value for value in values if domain.contains(value))
