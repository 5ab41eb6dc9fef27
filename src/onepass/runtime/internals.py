"""Every private name of torch that this library touches, and what takes its place where a torch
does not have it: always something that is right, and may be slower.

Nothing else reads an attribute of torch that begins with an underscore.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch import Tensor, UntypedStorage
from torch.autograd import forward_ad


def _named(path: str, otherwise: Any) -> Any:
    """What torch has under this dotted name."""
    try:
        return reduce(getattr, path.split("."), torch)
    except AttributeError:
        return otherwise


def _unknown() -> bool:
    """Whether something may be active that cannot be asked for: the definition runs."""
    return True


# Whether a torch.func transform is active; without it, every call runs by its definition.
are_transforms_active: Callable[[], bool] = _named("_C._are_functorch_transforms_active", _unknown)

# How many dispatch modes are active; without it, every call runs by its definition.
dispatch_modes: Callable[[], int] = _named("_C._len_torch_dispatch_stack", _unknown)

# The trace that torch.jit.trace records, or None; torch.jit.is_tracing is the slower question.
tracing_state: Callable[[], Any] = _named(
    "_C._get_tracing_state",
    lambda: torch.jit.is_tracing() or None,  # type: ignore[attr-defined]
)

# Whether a gradient is a batch of them; without it, every backward runs by the definition.
is_batch: Callable[[Tensor], bool] = _named("_C._functorch.is_legacy_batchedtensor", lambda _: True)

# Whether a tensor is zeros without memory; without it, whoever has elements but no address is.
is_zero_tensor: Callable[[Tensor], bool] = _named(
    "Tensor._is_zerotensor", lambda tensor: bool(tensor.numel()) and not tensor.data_ptr()
)

# Whether a tensor's elements fill a piece of memory, in any order of its axes; without it, those
# in another order than that of the axes are copied.
is_dense: Callable[[Tensor], bool] = _named(
    "_prims_common.is_non_overlapping_and_dense_or_false", Tensor.is_contiguous
)

# By the address of a storage, how many refer to it; without it, none is ever free.
_use_count: Callable[[int], int] = _named("_C._storage_Use_Count", lambda _: sys.maxsize)

# torch's own operations, which serve tiny tensors; without one of them, our kernel does.
mse_loss: Callable[..., Tensor] | None = _named("_C._nn.mse_loss", None)
huber_loss: Callable[..., Tensor] | None = _named("_C._nn.huber_loss", None)
smooth_l1_loss: Callable[..., Tensor] | None = _named("_C._nn.smooth_l1_loss", None)
nll_loss: Callable[..., Tensor] | None = _named("_C._nn.nll_loss_nd", None)


def storage_references(storage: UntypedStorage) -> int:
    """How many refer to it in C++, its Python object among them."""
    return _use_count(storage._cdata)


def is_forward_mode() -> bool:
    """Whether forward-mode differentiation is active; if that is not known, every call runs by its
    definition.
    """
    try:
        return forward_ad._current_level >= 0
    except AttributeError:
        return True


def apply_of(function: type[torch.autograd.Function]) -> Callable[..., Any]:
    """What calls an autograd function from where no torch.func transform is active.

    `Function.apply` asks for transforms first, which costs a small call a tenth of its time.
    """
    direct = super(torch.autograd.Function, function)
    return getattr(direct, "apply", function.apply)
