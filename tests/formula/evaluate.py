"""Expressions evaluated by torch, node by node: what a program must compute, without a printer."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from onepass.formula.expression import CONSTANT, LEAVES, Expression, in_order
from onepass.formula.operations import OPERATIONS

_NAMED_OTHERWISE = {
    "add": torch.add,
    "sub": torch.sub,
    "div": torch.div,
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "where": torch.where,
    "digamma": torch.digamma,
    "detach": lambda x: x,
    "with_slope": lambda value, x, slope: value,
}


def function(operation: str) -> Any:
    """The torch function that an operation is."""
    return _NAMED_OTHERWISE.get(operation) or OPERATIONS[operation].torch[0]


def evaluated(
    roots: Mapping[str, Expression], leaves: Mapping[str, Tensor | float]
) -> dict[Expression, Tensor]:
    """The value of every expression below the roots; leaves by their names."""
    values: dict[Expression, Tensor] = {}
    for node in in_order(*roots.values()):
        if node.operation in LEAVES:
            leaf = node.leaf if node.operation == CONSTANT else leaves[str(node.leaf)]
            values[node] = torch.as_tensor(leaf, dtype=torch.float64)
        else:
            operands = torch.broadcast_tensors(*(values[a] for a in node.arguments))
            values[node] = function(node.operation)(*operands)
    return values
