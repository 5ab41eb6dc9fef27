"""cosine_embedding_loss: pairs of vectors that should, or should not, point the same way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from onepass.define import REAL, SIGN, SIGNS, VECTOR, Card, Laid, Variant, rowwise
from onepass.errors import DtypeError, ShapeError
from onepass.rowwise import vectors
from onepass.rowwise.cosine_embedding import cpu, reference
from onepass.runtime import checks
from onepass.runtime.call import RowCall

_NAME = "cosine_embedding_loss"
_CARD = Card(
    task="pairs",
    input="embeddings",
    target="labels -1 and 1",
    best_for="similarity by angle: faces, text, semantics",
    not_for="distances or lengths that matter, or binary labels without embeddings",
    remarks=(
        "in [0, 2]",
        "blind to length: gradient orthogonal to the vector, the steeper the shorter that is",
    ),
    relatives=("hinge_embedding_loss", "triplet_margin_loss"),
    sources=("Bromley et al. (1993), doi:10.1142/S0218001493000339",),
)


def _refuse_labels(call: RowCall, tensors: Sequence[Tensor]) -> None:
    """Raise for the first label that is neither 1 nor -1, if values are checked."""
    if call.checks_values:
        checks.outside(call, "target", tensors[-1], SIGN)


of_pairs = Variant(
    _NAME, ("input1", "input2", "target"), reference.loss, cpu.plan, refuse=_refuse_labels
)


@rowwise(input1=VECTOR, input2=VECTOR, target=SIGNS, margin=REAL, card=_CARD, variants=(of_pairs,))
def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0
) -> Laid:
    """How far pairs of vectors are from pointing the same way (1), or apart by a margin (-1).

    Turns vectors and leaves their lengths alone. Bromley et al. (1993),
    doi:10.1142/S0218001493000339.
    """
    (input1, input2), dtype = vectors.alike(_NAME, ("input1", "input2"), (input1, input2))
    if input1.dtype.is_complex:
        raise DtypeError(
            f"{_NAME}: tensors must be real, got {input1.dtype}. Write torch.view_as_real(...)."
        )
    return Laid(of_pairs, (input1, input2, _labels(input1, target)), {"margin": margin}, dtype)


def _labels(input: Tensor, target: Tensor) -> Tensor:
    """A label for every pair, in the dtype of the vectors, and without a slope."""
    checks.are_tensors(_NAME, ["target"], [target])
    checks.device(_NAME, "target", target, input.device)
    rows, given = input.shape[:-1], tuple(target.shape)
    try:
        fits = torch.broadcast_shapes(given, rows) == rows
    except RuntimeError:
        fits = False
    if not fits:
        squeezed = [k for k, size in enumerate(given) if size == 1]
        hint = f" Did you mean target.squeeze({squeezed[0]})?" if squeezed else ""
        raise ShapeError(
            f"{_NAME}: `target` must hold a label, 1 or -1, for each pair, {tuple(rows)}; "
            f"got {given}.{hint}"
        )
    target = target.detach() if target.requires_grad else target
    if not target.dtype.is_floating_point:
        target = target.to(input.dtype)
    elif target.dtype is not input.dtype:  # rounded, it could become a label
        target = (target == 1).to(input.dtype) - (target == -1).to(input.dtype)
    return target if checks.same_shape(target.shape, rows) else target.expand(rows)
