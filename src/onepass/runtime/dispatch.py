"""Which engine runs this call: eager or cpu."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from onepass.errors import EngineError, EngineWarning, FormulaError, ParameterError, warn
from onepass.runtime import autograd, checks, circumstances, eager, keywords, reduce
from onepass.runtime.call import Call, Loss, RowCall
from onepass.runtime.operands import PLAIN, is_data

ENGINES = ("auto", "eager", "cpu")
_TORCHS = ("none", "mean", "sum")  # torch's C++ enumeration of reductions, from 0
# Elements up to which torch's own fused operation, where there is one, is faster. It stays below
# torch's grain, where torch shares a sum among threads and its bits depend on their number.
_TINY = 16384
_WIDE = 64 * _TINY  # the same of the scores of that many rows, most of which are only set to 0

_engine: ContextVar[str] = ContextVar("onepass_engine", default="auto")
_checking: ContextVar[bool] = ContextVar("onepass_checking", default=False)


@contextmanager
def engine(name: str) -> Iterator[None]:
    """Choose the engine of the calls inside: "auto", "eager" (the definition) or "cpu".

    An engine chosen by hand that cannot run a call raises EngineError instead of giving way.
    """
    if name not in ENGINES:
        raise ParameterError(f"engine: must be one of {', '.join(ENGINES)}; got {name!r}.")
    token = _engine.set(name)
    try:
        yield
    finally:
        _engine.reset(token)


@contextmanager
def checking() -> Iterator[None]:
    """Check every value of the calls inside: labels 0 and 1 where -1 and 1 are meant, negative
    counts, probabilities beyond 1, nan. The first one raises DomainError with its position.

    The check is part of the kernel, not a pass of its own. Values that are masked or have weight 0
    may be anything; under torch.compile the loss is nan instead, since nothing can be raised there.
    """
    token = _checking.set(True)
    try:
        yield
    finally:
        _checking.reset(token)


def is_checking() -> bool:
    """Whether calls check all their values."""
    return not torch.compiler.is_compiling() and _checking.get()


def has_defaults() -> bool:
    """Whether no engine was chosen, and values are not checked."""
    return _engine.get() == "auto" and not _checking.get()


def is_ordinary() -> bool:
    """Whether nothing in torch's own state decides how a call is taken."""
    return circumstances.obstacle() is None and not torch.is_autocast_enabled("cpu")


def prepared(
    loss: Loss,
    names: tuple[str, ...],
    tensors: tuple[Tensor, ...],
    parameters: Mapping[str, float],
    flags: Mapping[str, bool],
    reduction: str,
    weight: Tensor | None,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    normalizer: float | Tensor | None,
) -> tuple[Call, tuple[Tensor, ...]]:
    """A call of these tensors, checked."""
    shape, dtype = checks.agreement(loss.name, names, tensors)
    reduction = keywords.reduction(loss.name, reduction)
    total = denominator = None
    if not (weight is None and sample_weight is None and mask is None and normalizer is None):
        total, denominator = reduce.weighting(
            loss.name,
            shape,
            tensors[0].device,
            reduction,
            weight,
            sample_weight,
            mask,
            normalizer,
            loss.weight_counts,
        )
    if dtype.itemsize == 2 and torch.is_autocast_enabled(tensors[0].device.type):
        dtype = torch.float32
    call = Call(
        shape, dtype, reduction, total, denominator, is_checking(), loss, names, parameters, flags
    )
    return call, tensors


def by_torch(call: Call | RowCall) -> Callable[..., Tensor]:
    """What runs small calls like this one: torch's own operation."""
    operation, number = call.loss.fused, _TORCHS.index(call.reduction)
    options = call.options if isinstance(call, RowCall) else call.parameters
    assert operation is not None

    def evaluate(*tensors: Tensor) -> Tensor:
        try:
            value = operation(*tensors, number, **options)
        except (IndexError, RuntimeError):
            # An out-of-range label, of which the kernel's refusal says more, or a tensor made in
            # inference mode, which torch's operation would save.
            return run_data(call, tensors)
        if isinstance(call, RowCall) and math.isnan((value.sum() if value.dim() else value).item()):
            return run_data(call, tensors)  # torch's gradient would not show it
        return value

    return evaluate


def suits_torch(call: Call | RowCall, tensors: Sequence[Tensor]) -> bool:
    """Whether that is the faster way for a call of plain tensors without weights: ours costs more
    than its arithmetic.
    """
    small = call.loss.fused is not None and call.shape.numel() <= _TINY
    if not small or call.dtype.itemsize < 4 or call.reduction not in _TORCHS:
        return False
    if isinstance(call, RowCall):
        return _suit_rows(call, tensors)
    return _suit_elements(call, tensors)


def _suit_rows(call: RowCall, tensors: Sequence[Tensor]) -> bool:
    input = tensors[0]
    return (
        input.numel() <= _WIDE
        and input.dim() <= 2  # beyond, torch's classes are on axis 1
        and (call.reduction != "mean" or call.counts_rows)
    )


def _suit_elements(call: Call, tensors: Sequence[Tensor]) -> bool:
    return (
        all(t.shape == call.shape and t.dtype is call.dtype for t in tensors)
        and all(call.parameters.values())  # torch's operations take a parameter 0 differently
        and reduce.divisor(call) == reduce.count(call.reduction, call.shape)
    )


def run(call: Call | RowCall, tensors: tuple[Tensor, ...]) -> Tensor:
    """The loss of a checked call, by the engine that suits it."""
    if torch.compiler.is_compiling():
        return eager.evaluate(call, tensors)
    obstacle = circumstances.obstacle() or no_data(call, tensors)
    if obstacle is None and not call.shape.numel():
        return eager.evaluate(call, tensors)
    chosen = _engine.get()
    if chosen == "cpu":
        if obstacle is not None:
            raise EngineError(f"{call.loss.name}: the cpu engine cannot run this call: {obstacle}.")
        return autograd.evaluate(call, tensors)
    if chosen == "eager" or obstacle is not None:
        return _by_definition(call, tensors, refuses=obstacle is None)
    return run_data(call, tensors)


def run_data(call: Call | RowCall, tensors: tuple[Tensor, ...]) -> Tensor:
    """The loss of a call that nothing keeps from a kernel."""
    try:
        return autograd.evaluate(call, tensors)
    except (EngineError, FormulaError) as error:  # the kernel cannot be made
        _say(str(error))
    return _by_definition(call, tensors, refuses=True)


def _by_definition(call: Call | RowCall, tensors: tuple[Tensor, ...], refuses: bool) -> Tensor:
    """Labels and values can be refused only where they can be looked at."""
    if refuses and isinstance(call, RowCall) and call.loss.refuse is not None:
        call.loss.refuse(call, tensors)
    value = eager.evaluate(call, tensors)
    if refuses and value.isnan().any():
        _refuse_values(call, tensors)
    return value


def no_data(call: Call | RowCall, tensors: Sequence[Tensor]) -> str | None:
    """Which of its tensors no kernel can read."""
    for tensor in tensors:
        if not is_data(tensor):
            return f"a tensor is {_described(tensor)}"
    for weight in call.weights:
        if weight.requires_grad or not is_data(weight):
            return f"a weight or the normalizer is {_described(weight)}"
    return None


def _described(tensor: Tensor) -> str:
    kind = "" if type(tensor) in PLAIN else f"a {type(tensor).__name__}, "
    kind += "lazily negated, " if tensor.is_neg() else ""
    kind += "asking for its gradient, " if tensor.requires_grad else ""
    return f"{kind}{tensor.dtype}, {tensor.layout}, on {tensor.device}"


def _refuse_values(call: Call | RowCall, tensors: Sequence[Tensor]) -> None:
    """What a value that is nan is to be refused for."""
    if isinstance(call, Call):
        checks.values(call, tensors)
    elif call.checks_values:
        eager.refuse_nan(call, tensors)


_said: set[str] = set()


def _say(why: str) -> None:
    if why not in _said:
        _said.add(why)
        warn(f"{why}. The definition runs instead.", EngineWarning)
