"""An expression graph as ordered, named assignments: what a printer prints.

A subexpression gets a line of its own if the author named it or if it is used more than once;
everything else is written where it is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from onepass.formula.expression import LEAVES, Expression, in_order


@dataclass(frozen=True)
class Program:
    """Assignments in order, and what is wanted of them."""

    assignments: tuple[tuple[str, Expression], ...]
    results: Mapping[str, Expression]
    names: Mapping[Expression, str]  # of the assigned expressions and of the leaves


def program(
    results: Mapping[str, Expression],
    names: Mapping[Expression, str],
    leaves: Mapping[Expression, str],
    taken: Collection[str],
) -> Program:
    """Order and name what the results need; no name is one of `taken` or that of a leaf."""
    order = in_order(*results.values())
    uses = Counter(argument for node in order for argument in node.arguments)
    uses.update(results.values())
    used = {*taken, *leaves.values()}
    assigned: dict[Expression, str] = {}
    for node in order:
        if node.operation in LEAVES or (uses[node] < 2 and node not in names):
            continue
        assigned[node] = _free_name(names.get(node, node.operation), used)
    lines = tuple((assigned[node], node) for node in order if node in assigned)
    return Program(lines, results, {**leaves, **assigned})


def _free_name(wish: str, used: set[str]) -> str:
    name, count = wish, 1
    while name in used:
        count += 1
        name = f"{wish}_{count}"
    used.add(name)
    return name
