"""What a call shows of something wrong, for causes that no pattern knows."""

from __future__ import annotations

import ast
import re

from torch import Tensor

from onepass.guide.diagnose.batch import Batch
from onepass.guide.diagnose.finding import Finding


def unexplained(batch: Batch, explained: tuple[type[Exception], ...]) -> Finding | None:
    """The exception that the call raises, or the loss or gradient that is not finite."""
    error = batch.outcome.error
    if error is not None:
        return None if isinstance(error, explained) else refused(batch, error)
    return None if FloatingPointError in explained else not_finite(batch)


def refused(batch: Batch, error: Exception) -> Finding:
    """What the loss says itself."""
    message = str(error).removeprefix(f"{batch.name}: ")
    return Finding(
        "error",
        f"{batch.name} refuses the call with {type(error).__name__}.",
        message or "an exception without a message",
        "there is no loss",
        _advised(batch, message),
    )


def _advised(batch: Batch, message: str) -> str:
    """The call as the message says to write it."""
    for advice in re.findall(r"(?:[Ww]rite|Did you mean) (.+)", message):
        code = re.split(r",? or |, which |\. |\? | \(", advice)[0].rstrip("?.")
        try:
            call = ast.parse(f"loss({code})", mode="eval").body
        except SyntaxError:
            continue
        assert isinstance(call, ast.Call)
        for keyword in call.keywords:
            if keyword.arg is not None and keyword.arg in batch.given:
                return batch.call(**{keyword.arg: ast.unparse(keyword.value)})
        names = {node.id for node in ast.walk(call) if isinstance(node, ast.Name)}
        for name in batch.given:
            if name in names:
                return batch.call(**{name: code})
    return f"help(onepass.functional.{batch.name})"


def not_finite(batch: Batch) -> Finding | None:
    """A loss, or a gradient, that is nan or inf."""
    outcome = batch.outcome
    results = {"loss": outcome.value}
    results |= {f"gradient by `{name}`": slope for name, slope in outcome.gradients.items()}
    for what, tensor in results.items():
        if tensor is not None and not tensor.isfinite().all():
            return _lost(batch, what, tensor)
    return None


def _lost(batch: Batch, what: str, tensor: Tensor) -> Finding:
    where = batch.unreduced() if what == "loss" else tensor
    wrong = ~where.isfinite()
    spans = [
        f"`{n}` in {v.span()}" for n in batch.predictions if (v := batch.values(n)) is not None
    ]
    seen = f"{', '.join(spans)}, {tensor.dtype}"
    shown = "not finite"
    if wrong.any():
        place = tuple(wrong.nonzero()[0].tolist())
        shown = f"{where[place].item():g}"
        seen = f"{int(wrong.sum())} of {wrong.numel()} values, the first at {place}; {seen}"
    return Finding(
        "error",
        f"The {what} is {shown}.",
        seen,
        "one step with it makes every weight of the model nan",
        batch.call(**{name: f"{name}.float()" for name in batch.predictions})
        if tensor.dtype.itemsize < 4
        else batch.call(reduction="'none'", normalizer=None) + ".isfinite()  # which elements",
    )
