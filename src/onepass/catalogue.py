"""Which losses there are, and what each may be called."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import torch

from onepass.define import Pointwise, Rowwise
from onepass.errors import FormulaError, ParameterError
from onepass.runtime import keywords

_catalogue: dict[str, Pointwise | Rowwise] = {}


def register(loss: Pointwise | Rowwise, module: type[torch.nn.Module] | None) -> None:
    """Enter a loss of this library into the catalogue, with its class.

    Raises FormulaError if another loss has that name.
    """
    if _catalogue.get(loss.name, loss) is not loss:
        raise FormulaError(f"{loss.name}: there is another loss of this name; call it otherwise.")
    loss.module = module
    _catalogue[loss.name] = loss


def catalogue() -> Mapping[str, Pointwise | Rowwise]:
    """All losses of this library by the name of their function, in the order of the guide."""
    return dict(_catalogue)


def get(name: str, **options: Any) -> Any:
    """Build a loss by its name: `get("huber", delta=2.0)`, "huber_loss" or "HuberLoss".

    Raises ParameterError for an unknown name or option, with the closest there is.
    """
    known = {plain(alias): loss for loss in _catalogue.values() for alias in aliases(loss)}
    if plain(name) not in known:
        names = [loss.name for loss in _catalogue.values()]
        close = difflib.get_close_matches(plain(name), known, 1)
        hint = f" Did you mean {known[close[0]].name!r}?" if close else ""
        raise ParameterError(f"there is no loss {name!r}; there are {', '.join(names)}.{hint}")
    module: Any = known[plain(name)].module
    keywords.unknown(known[plain(name)].name, options, [*module._onepass_options])
    return module(**options)


def aliases(loss: Pointwise | Rowwise) -> tuple[str, ...]:
    """The names of its function and of its class, with and without "loss"."""
    module = loss.module.__name__ if loss.module else loss.name
    return loss.name, loss.name.removesuffix("_loss"), module, module.removesuffix("Loss")


def plain(name: str) -> str:
    """A name as names are compared: in lower case, without dashes and underscores."""
    return str(name).lower().replace("_", "").replace("-", "")
