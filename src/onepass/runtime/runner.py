"""What runs the calls of one kind: from a loss's arguments to its value, without a check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from onepass.runtime import reduce
from onepass.runtime.call import Call, RowCall

Run = Callable[[Call | RowCall, tuple[Tensor, ...]], Tensor]  # the loss of a checked call


class Places(NamedTuple):
    """Where the parts of a call stand among the arguments of its loss."""

    tensors: tuple[int, ...]
    weight: int | None
    normalizer: int | None
    options: Mapping[str, int]  # those that are tensors, and numbers that may differ

    @staticmethod
    def of(
        call: Call | RowCall,
        tensors: Sequence[Tensor],
        given: Sequence[Any],
        varying: Mapping[str, int],
        same: Callable[[Tensor], Any] = id,
    ) -> Places | None:
        """Those of a call; None if it has tensors that were made from what was given. `varying`
        says where the numbers are that may differ, `same` what tensors have in common that are
        taken for one.
        """
        at = {same(thing): place for place, thing in enumerate(given) if isinstance(thing, Tensor)}
        normalizer = len(given) - 1 if given[-1] is not None else None  # the last of all
        options = dict(call.options)
        made = [*tensors, call.weight, *options.values()]
        if normalizer is None:
            made.append(call.denominator if call.counting is None else call.counting)
        needed = [thing for thing in made if isinstance(thing, Tensor)]
        if not call.shape.numel() or any(same(tensor) not in at for tensor in needed):
            return None
        if call.counting is not None and call.counting is not call.weight:
            return None
        return Places(
            tensors=tuple(at[same(tensor)] for tensor in tensors),
            weight=None if call.weight is None else at[same(call.weight)],
            normalizer=normalizer,
            options={n: at[same(x)] for n, x in options.items() if isinstance(x, Tensor)}
            | {name: varying[name] for name in options if name in varying},
        )


def memory_of(tensor: Tensor) -> tuple[Any, ...]:
    """What a view of all elements has in common with its tensor."""
    return tensor.data_ptr(), tensor.dtype, tensor.numel()


class Runner:
    """Runs calls of the kind of one that was checked: `run` takes the call, `whole` arguments that
    must be checked after all.
    """

    def __init__(
        self,
        call: Call | RowCall,
        places: Places,
        run: Run,
        whole: Callable[[tuple[Any, ...]], Tensor],
    ) -> None:
        self._call, self._places, self._run, self._whole = call, places, run, whole
        parts = places.weight, places.normalizer
        self._is_constant = not places.options and parts == (None, None)

    def __call__(self, given: tuple[Any, ...]) -> Tensor:
        places, call = self._places, self._call
        tensors = tuple([given[place] for place in places.tensors])
        if self._is_constant:
            return self._run(call, tensors)
        weight = None if places.weight is None else given[places.weight]
        denominator = call.denominator
        if places.normalizer is not None:
            denominator = _option(given[places.normalizer])
            if not denominator >= 0:
                return self._whole(given)
        elif call.counting is not None and weight is not None:
            denominator = reduce.summed(call.reduction, call.shape, weight)
        options = {name: _option(given[place]) for name, place in places.options.items()}
        return self._run(call.like(options, weight, denominator), tensors)


def _option(thing: Any) -> Any:
    """A tensor as it is, a number as Python's."""
    return thing if thing is None or isinstance(thing, Tensor) else float(thing)
