"""What an engine is, and which there are.

An engine computes calls on tensors that it can read; a call is given to the first that can, and a
loss knows none. A further engine is an object with these functions, entered into ENGINES.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from onepass.runtime.call import Call, Gradients, RowCall
from onepass.runtime.cpu import engine as cpu
from onepass.runtime.runner import Places, Run


class Engine(Protocol):
    """The functions of an engine.

    All may raise EngineError where a kernel cannot be made; then the definition runs. Tensors are
    never changed, and a value or gradient that is nan for what was given must show it.
    """

    def obstacle(self, call: Call | RowCall, tensors: Sequence[Tensor]) -> str | None:
        """Why it cannot run this call; None if it can."""
        ...

    def value(self, call: Call | RowCall, tensors: Sequence[Tensor]) -> Tensor:
        """The reduced loss."""
        ...

    def values(
        self, call: Call | RowCall, tensors: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """The unreduced loss, and where it is nan, if it is anywhere."""
        ...

    def value_and_gradients(
        self,
        call: Call | RowCall,
        tensors: Sequence[Tensor],
        needs_grad: Sequence[bool],
        upstream: Tensor | None = None,
    ) -> tuple[Tensor, Gradients]:
        """The reduced loss and its finished gradients, times the gradient upstream, if given."""
        ...

    def gradients(
        self,
        call: Call | RowCall,
        tensors: Sequence[Tensor],
        needs_grad: Sequence[bool],
        upstream: Tensor,
        lost: Tensor | None,
    ) -> Gradients:
        """The gradients of the unreduced loss: slopes times upstream; nan where it is lost."""
        ...

    def scaled(
        self, call: Call | RowCall, gradients: Gradients, upstream: Tensor
    ) -> Gradients | None:
        """Finished gradients times one upstream, in place; None if that would round them twice."""
        ...

    def definition(self, call: Call | RowCall, tensors: Sequence[Tensor]) -> Tensor:
        """The loss by its definition; labels and values are refused as by the engine's kernels."""
        ...

    def runner(self, call: Call | RowCall, tensors: Sequence[Tensor], otherwise: Run) -> Run:
        """What runs the calls of this kind: `otherwise`, if nothing does so faster."""
        ...

    def recipe(self, call: Call | RowCall, tensors: Sequence[Tensor], places: Places) -> Any:
        """How native.cpp runs the calls of this kind; None if it cannot."""
        ...


ENGINES: dict[str, Engine] = {"cpu": cpu}  # by the name that onepass.engine() takes
