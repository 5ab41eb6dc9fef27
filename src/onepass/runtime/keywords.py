"""Reductions, numbers and flags: what a caller gives becomes Python's own, or an error.

A number may be anything that torch takes for one: Python's, numpy's, or a tensor of no axes.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from onepass.errors import ParameterError, closest, quoted, shortened, warn
from onepass.formula.domain import Domain

REDUCTIONS = ("none", "mean", "sum", "batchmean")
_DEPRECATED = {"elementwise_mean": "mean"}  # names that torch still takes


def reduction(loss: str, given: Any) -> str:
    """The reduction under its present name; refuse one that there is not."""
    if isinstance(given, str) and given in REDUCTIONS:
        return given
    if isinstance(given, str) and given in _DEPRECATED:
        present = _DEPRECATED[given]
        warn(f"reduction='{given}' is deprecated, please use reduction='{present}' instead.")
        return present
    close = closest(str(given).lower(), REDUCTIONS, 0.4)
    close = "mean" if str(given).lower() in ("avg", "average") else close
    hint = f" Did you mean {close!r}?" if close else ""
    raise ParameterError(
        f"{loss}: {quoted(given)} is not a valid value for reduction: `reduction` must be one of "
        f"{', '.join(map(repr, REDUCTIONS))}.{hint}"
    )


def parameter(loss: str, name: str, given: Any, domain: Domain) -> float:
    """A float keyword; refuse one that is no number, or outside its domain."""
    value = number(given)
    if value is None:
        raise ParameterError(
            f"{loss}: `{name}` must be {domain}; got {_described(given)}. "
            f"It is one number for all elements{_number_hint(name, given)}."
        )
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        raise ParameterError(f"{loss}: `{name}` must be {domain}; got an int beyond any float.")
    if not domain.contains(value):
        raise ParameterError(f"{loss}: `{name}` must be {domain}; got {quoted(value)}.")
    return value


def index(loss: str, name: str, given: Any) -> Any:
    """An int, or a symbolic one; ParameterError for anything else."""
    value = number(given)
    if isinstance(value, int | torch.SymInt):
        return value
    hint = _number_hint(name, given)
    if isinstance(value, float):
        hint = f": write int({name})" if value.is_integer() else ""
    raise ParameterError(f"{loss}: `{name}` must be an integer, got {_described(given)}{hint}.")


def flag(loss: str, name: str, given: Any) -> bool:
    """A bool keyword; refuse what is no bool."""
    if isinstance(given, bool):
        return given
    if _is_scalar_of_numpy(given, "bool"):
        return bool(given)
    if isinstance(given, Tensor) and given.dtype is torch.bool and _is_known_number(given):
        return bool(given.item())
    raise ParameterError(f"{loss}: `{name}` must be True or False, got {_described(given)}.")


def unknown(loss: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    """Refuse keywords that the loss does not have."""
    for name in given:
        if name not in known:
            close = closest(name, known)
            hint = f" Did you mean `{close}`?" if close else ""
            raise ParameterError(
                f"{loss}: there is no `{shortened(name)}`; it takes {', '.join(known)}.{hint}"
            )


def number(given: Any) -> Any:
    """A Python int or float, or a symbolic one as it is; None if `given` is not a number."""
    if isinstance(given, bool):
        return None
    if type(given) in (int, float) or isinstance(given, torch.SymInt | torch.SymFloat):
        return given
    if isinstance(given, Integral):
        return int(given)
    if isinstance(given, Real):
        return float(given)
    if isinstance(given, Tensor):
        return number(given.item()) if _is_known_number(given) else None
    return None


def _is_known_number(tensor: Tensor) -> bool:
    """Whether it is one number that may be asked for: on the CPU, and no part of a graph."""
    return not tensor.dim() and tensor.is_cpu and not tensor.requires_grad


def _is_scalar_of_numpy(given: Any, kind: str) -> bool:
    """Whether it is one of numpy's scalars; numpy itself need not be imported for that."""
    return type(given).__module__ == "numpy" and type(given).__name__ in (kind, f"{kind}_")


def _described(given: Any) -> str:
    if isinstance(given, Tensor):
        grad = ", requires_grad" if given.requires_grad else ""
        return f"a tensor of shape {tuple(given.shape)} on {given.device}{grad}"
    shape = getattr(given, "shape", None)  # of numpy, and of whatever is like it
    if shape is not None:
        return f"{type(given).__name__} of shape {tuple(shape)}"
    shown = " ".join(repr(given).split())
    return f"{type(given).__name__}: {shortened(shown)}"


def _number_hint(name: str, given: Any) -> str:
    shape = getattr(given, "shape", None)
    return f": write {name}.item()" if shape is not None and math.prod(shape) == 1 else ""
