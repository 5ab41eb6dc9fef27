"""What a caller may name a loss by, what it was built with, and which arguments it is given."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from onepass import functional, nn
from onepass.catalogue import aliases, catalogue, plain
from onepass.define import Pointwise, Rowwise
from onepass.errors import ParameterError, closest, quoted
from onepass.runtime import keywords

_HOMES = ("onepass.", "torch.nn.")  # modules whose functions and classes are losses by their name
_DEPRECATED = ("size_average", "reduce")
_REQUIRED = inspect.Parameter.empty
_ELSEWHERE = {  # what others call a loss, and what is spelled alike is another one
    "ce": "cross_entropy",
    "cosine": "cosine_embedding_loss",
    "cosinesimilarity": "cosine_embedding_loss",
    "kl": "kl_div",
    "l2": "mse_loss",
    "l2loss": "mse_loss",
    "logistic": "soft_margin_loss",
    "logloss": "binary_cross_entropy_with_logits",
    "mae": "l1_loss",
    "maeloss": "l1_loss",
    "meanabsoluteerror": "l1_loss",
    "meansquarederror": "mse_loss",
    "rmse": "mse_loss",
    "softmax": "cross_entropy",
}
_WEIGHTING: dict[str, Any] = {  # which a loss of one's own takes beside its formula's arguments
    "reduction": "mean",
    "weight": None,
    "sample_weight": None,
    "mask": None,
    "normalizer": None,
}


def loss_named(thing: Any) -> Pointwise | Rowwise:
    """The loss that is meant by its name, by itself, or by its function or class.

    A name may be that of the function or of the class, with or without "loss": "huber_loss",
    "HuberLoss", "huber". Functions are those of onepass.functional and torch.nn.functional,
    classes and modules those of onepass.nn and torch.nn. A loss made by @onepass.pointwise, and
    its PointwiseLoss, are taken as they are.

    Raises ParameterError for anything else, with the closest name there is.
    """
    if isinstance(thing, Pointwise | Rowwise):
        return thing
    if isinstance(thing, nn.PointwiseLoss):
        return thing._onepass_loss
    losses = catalogue()
    name = thing if isinstance(thing, str) else _name_of(thing)
    if name in losses:
        return losses[name]
    known = {plain(alias): loss for loss in losses.values() for alias in aliases(loss)}
    if plain(name) in known:
        return known[plain(name)]
    close = _ELSEWHERE.get(plain(name)) or _closest(plain(name), known)
    if close:
        raise ParameterError(
            f"there is no loss {quoted(thing)}. Did you mean {close!r}? `onepass list` and "
            "onepass.catalogue() have all."
        )
    raise ParameterError(
        f"there is no loss {quoted(thing)}; `loss` must be one of {', '.join(losses)}, or a "
        "function or class of one of them."
    )


def _closest(name: str, known: Mapping[str, Pointwise | Rowwise]) -> str | None:
    """What is spelled alike, or the only one that begins with the name."""
    close = closest(name, list(known))
    begin = {loss.name for alias, loss in known.items() if name and alias.startswith(name)}
    return known[close].name if close else begin.pop() if len(begin) == 1 else None


def _name_of(thing: Any) -> str:
    """Of a function or class of a module that has losses; of anything else, nothing."""
    known = type(thing) if isinstance(thing, torch.nn.Module) else thing
    home = f"{getattr(known, '__module__', None)}."
    return getattr(known, "__name__", "") if home.startswith(_HOMES) else ""


def function_of(loss: Pointwise | Rowwise) -> Callable[..., Tensor]:
    """The function that computes it: that of onepass.functional, or a loss of one's own."""
    if isinstance(loss, Pointwise) and catalogue().get(loss.name) is not loss:
        return loss
    return getattr(functional, loss.name)


def parameters_of(loss: Pointwise | Rowwise) -> dict[str, Any]:
    """Its arguments in their order, each with its default; inspect.Parameter.empty if it has none.

    Those that torch has deprecated are left out.
    """
    return _parameters(function_of(loss)).copy()


@cache
def _parameters(function: Callable[..., Tensor]) -> dict[str, Any]:
    arguments = inspect.signature(function).parameters.values()
    own = {a.name: a.default for a in arguments if a.name not in _DEPRECATED}
    return own if "reduction" in own else own | _WEIGHTING


def settings_of(thing: Any) -> dict[str, Any]:
    """What a module of onepass.nn or torch.nn was built with; of what is no module, nothing."""
    if not isinstance(thing, torch.nn.Module):
        return {}
    chosen = {
        name: getattr(thing, name)
        for name, default in parameters_of(loss_named(thing)).items()
        if default is not _REQUIRED and hasattr(thing, name)
    }
    return chosen | _layer_of(thing)


def _layer_of(module: Any) -> dict[str, Tensor]:
    """The linear layer inside LinearCrossEntropyLoss, as the function takes it."""
    linear = getattr(module, "linear", None)
    if linear is None:
        return {}
    shape = module.num_classes, *module.out_features
    layer = {"linear_weight": linear.weight.reshape(*shape, linear.in_features)}
    return layer if linear.bias is None else layer | {"linear_bias": linear.bias.reshape(shape)}


def arguments_of(thing: Any, given: tuple[Any, ...], options: Mapping[str, Any]) -> dict[str, Any]:
    """Every argument by its name: those given, what a module was built with, and the defaults.

    Raises ParameterError for an unknown loss or option, too many tensors, or too few.
    """
    loss, settings = loss_named(thing), settings_of(thing)
    parameters = parameters_of(loss)
    keywords.unknown(loss.name, options, tuple(parameters))
    required = [
        n for n, default in parameters.items() if default is _REQUIRED and n not in settings
    ]
    order = [name for name in parameters if name not in _layer_of(thing)]
    if len(given) > len(order):
        raise ParameterError(
            f"{loss.name}: takes {_listed(required)}, and options by name; got {len(given)} "
            "arguments by position."
        )
    positional = dict(zip(order, given, strict=False))
    for name in positional:
        if name in options:
            raise ParameterError(f"{loss.name}: `{name}` is given by position and by name.")
    named = settings | positional | dict(options)
    missing = [name for name in required if name not in named]
    if missing:
        raise ParameterError(f"{loss.name}: takes {_listed(required)}; got no {_listed(missing)}.")
    return {name: named.get(name, default) for name, default in parameters.items()}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
