"""A recommendation, and recommendations as a table."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich import box
from rich.table import Table
from rich.text import Text

from onepass import functional
from onepass.guide.recommend.rule import Parameters

TENSORS = ("weight", "pos_weight")  # parameters that a loss takes as tensors
SHOWN = 6  # numbers of a weight that a table shows


@dataclass(frozen=True)
class Recommendation:
    """A loss for the data, with what speaks for it and against it.

    - loss: its name in onepass.functional.
    - parameters: what the data suggest; numbers, bools, strings and lists of numbers, as JSON has
      them.
    - evidence: measured facts, the strongest first.
    - against: what speaks against it compared with the first; empty for the first.
    """

    loss: str
    parameters: Parameters
    evidence: list[str]
    against: list[str]

    def arguments(
        self, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> dict[str, Any]:
        """The parameters as onepass.functional takes them: weights are tensors."""
        return {
            name: torch.tensor(value, dtype=dtype, device=device) if name in TENSORS else value
            for name, value in self.parameters.items()
        }

    @property
    def call(self) -> str:
        """The line of code that computes it, with `import onepass.functional as F`."""
        return _call(self, {name: _code(name, value) for name, value in self.parameters.items()})

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON has it."""
        return asdict(self)


def _call(recommendation: Recommendation, options: dict[str, str]) -> str:
    signature = inspect.signature(getattr(functional, recommendation.loss))
    tensors = [p.name for p in signature.parameters.values() if p.default is p.empty]
    arguments = [*tensors, *(f"{name}={value}" for name, value in options.items())]
    return f"F.{recommendation.loss}({', '.join(arguments)})"


def _code(name: str, value: Any) -> str:
    return f"torch.tensor({value})" if name in TENSORS else repr(value)


def _short(name: str, value: Any) -> str:
    """The same, without most of a long list."""
    if not isinstance(value, list) or len(value) <= SHOWN:
        return _code(name, value)
    shown = ", ".join(repr(number) for number in value[:SHOWN])
    return f"torch.tensor([{shown}, ... {len(value) - SHOWN} more])"


def table(recommendations: Sequence[Recommendation]) -> Table:
    """A row a recommendation: the call, what speaks for it (+) and against it (-), best first.

    Evidence that a row above has shown is not shown again.
    """
    shown = Table(box=box.HORIZONTALS, show_lines=True, header_style="bold", pad_edge=False)
    shown.add_column("loss", ratio=2, overflow="fold")
    shown.add_column("evidence (+) and what speaks against it (-)", ratio=3)
    said: set[str] = set()
    for place, recommendation in enumerate(recommendations):
        options = {name: _short(name, value) for name, value in recommendation.parameters.items()}
        style = "bold green" if place == 0 else "cyan"
        fresh = [line for line in recommendation.evidence if line not in said]
        said.update(fresh)
        signed = [("+", "green", line) for line in fresh]
        signed += [("-", "red", line) for line in recommendation.against]
        reasons = Text("\n").join(
            Text.assemble((sign, colour), f" {line}") for sign, colour, line in signed
        )
        shown.add_row(Text(_call(recommendation, options), style), reasons)
    return shown
