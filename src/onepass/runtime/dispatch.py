"""Which engine runs this call: eager, cpu or gpu."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from onepass.errors import EngineError, EngineWarning, FormulaError, ParameterError
from onepass.runtime import autograd, checks, eager, reduce
from onepass.runtime.call import Call, Loss

ENGINES = ("auto", "eager", "cpu")
_KERNEL_DTYPES = frozenset(
    {
        torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.bool,
        torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
    }
)  # fmt: skip
_PLAIN = (Tensor, torch.nn.Parameter)

_engine: ContextVar[str] = ContextVar("onepass_engine", default="auto")


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


def evaluate(
    loss: Loss,
    names: tuple[str, ...],
    tensors: Sequence[Tensor],
    parameters: Mapping[str, float],
    flags: Mapping[str, bool],
    reduction: str = "mean",
    weight: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """The loss of these tensors."""
    shape, dtype = checks.agreement(loss.name, names, tensors)
    if dtype.itemsize == 2 and torch.is_autocast_enabled(tensors[0].device.type):
        dtype = torch.float32
    total, denominator = reduce.weighting(
        loss.name, shape, reduction, weight, sample_weight, mask, normalizer
    )
    call = Call(loss, names, parameters, flags, shape, dtype, reduction, total, denominator)
    return _run(call, tensors)


def _run(call: Call, tensors: Sequence[Tensor]) -> Tensor:
    if torch.compiler.is_compiling():
        return eager.evaluate(call, tensors)
    chosen, obstacle = _engine.get(), _obstacle(call, tensors)
    if obstacle is None and chosen != "eager":
        try:
            return autograd.evaluate(call, tensors)
        except (EngineError, FormulaError) as error:
            if chosen == "cpu":
                raise
            _say(call.loss.name, str(error))
    elif chosen == "cpu":
        raise EngineError(f"{call.loss.name}: the cpu engine cannot run this call: {obstacle}.")
    value = eager.evaluate(call, tensors)
    if obstacle is None and value.isnan().any():
        checks.enforced_domains(call, tensors)
    return value


def _obstacle(call: Call, tensors: Sequence[Tensor]) -> str | None:
    """Why the CPU engine must leave this call to the definition.

    Decided before any storage is touched: under a transform a tensor has none.
    """
    if torch._C._are_functorch_transforms_active():
        return "a torch.func transform is active"
    if torch._C._len_torch_dispatch_stack():
        return "a dispatch mode is active"
    if torch.autograd.forward_ad._current_level >= 0:
        return "forward-mode differentiation is active"
    for tensor in tensors if call.weight is None else (*tensors, call.weight):
        if (why := _unfit(tensor)) is not None:
            return why
    for given in (call.weight, call.denominator):
        if isinstance(given, Tensor) and given.requires_grad:
            return "a weight or the normalizer requires its gradient"
    return None if call.shape.numel() else "there are no elements"


def _unfit(tensor: Tensor) -> str | None:
    if type(tensor) not in _PLAIN:
        return f"{type(tensor).__name__} is a subclass of Tensor"
    if not tensor.is_cpu or tensor.layout is not torch.strided:
        return f"a tensor is {tensor.layout} on {tensor.device}"
    if tensor.dtype not in _KERNEL_DTYPES or tensor.is_neg():
        return f"a tensor is {tensor.dtype}, or lazily negated"
    return None


_said: set[tuple[str, str]] = set()


def _say(loss: str, why: str) -> None:
    if (loss, why) not in _said:
        _said.add((loss, why))
        warnings.warn(f"{loss}: the definition runs instead: {why}", EngineWarning, stacklevel=4)
