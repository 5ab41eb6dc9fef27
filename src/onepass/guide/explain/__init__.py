"""Where the loss and the gradient of a batch come from.

parts.py    the numbers: shares, groups, the largest elements, relatives, robustness
table.py    in the terminal
picture.py  as a matplotlib Figure
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

from onepass.errors import ParameterError, quoted
from onepass.guide.diagnose.batch import Batch
from onepass.guide.explain import parts, picture, table
from onepass.guide.explain.parts import TOPS, Element, Group, Robust, Spread
from onepass.guide.names import arguments_of, loss_named
from onepass.guide.plot.draw import SIZES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Element", "Explanation", "Group", "Robust", "Spread", "explain"]

_WIDE = 72  # columns that the wide table needs


@dataclass(frozen=True)
class Explanation:
    """What explain returns: print it, `.table()`, `.plot()`, or `.as_dict()`.

    - loss, reduction: of the call; shape: of the unreduced loss, whose numbers are the elements.
    - elements: how many were looked at: all, or of each `step` along one axis a single one.
    - counting: how many of these count; `lost` of them are not finite and left out below.
    - spread: how loss and gradient are spread over them; relatives: the same of its card's
      relatives; refused: why some do not take these tensors.
    - largest: the elements with the largest gradients.
    - groups: the elements by "class" of the target, and by "column": their index along the second
      axis, or in a loss of rows the numbers of the predictions by their place in the row. The
      largest gradients come first.
    - robust: what a robust loss would discount, of a loss of real numbers.

    A gradient is that of the call on what was looked at; its size is the sum of the sizes of the
    slopes by all predictions. A share is of the sum of all sizes.
    """

    loss: str
    shape: tuple[int, ...]
    reduction: str
    elements: int
    counting: int
    lost: int
    step: int
    spread: Spread
    relatives: tuple[Spread, ...]
    refused: Mapping[str, str]
    largest: tuple[Element, ...]
    groups: Mapping[str, list[Group]]
    robust: Robust | None

    def table(self, *, width: str = "wide") -> RenderableType:
        """Everything for a terminal: `rich.print(explanation.table())`.

        `width` is "wide", for 80 columns or more, or "narrow", for 50.
        """
        _refuse_width("table", width)
        return table.table(self, narrow=width == "narrow")

    def plot(self, *, width: str = "wide") -> Figure:
        """The shares of the largest elements, and groups or the elements themselves.

        `width` is "wide", or "narrow" for a phone. ModuleNotFoundError without matplotlib.
        """
        _refuse_width("plot", width)
        return picture.figure(self, width)

    def as_dict(self) -> dict[str, Any]:
        """Everything in what JSON knows; a number that is not finite is None."""
        return _plain({"tops": TOPS, **asdict(self)})

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.table(width="wide" if options.max_width >= _WIDE else "narrow")

    def __str__(self) -> str:
        written = StringIO()
        Console(file=written, width=80, color_system=None).print(self.table())
        return written.getvalue().rstrip()


def explain(loss: Any, *tensors: Any, **options: Any) -> Explanation:
    """Where the loss and the gradient of this call come from.

    Which elements hold how much of them, in which classes and columns, how that would be under the
    card's relatives, and what a robust loss would discount. `loss` is a name, a loss, or a
    function, class or module of onepass or torch.nn; `tensors` and `options` are those of its
    function in onepass.functional, of any size: of more than 1e7 numbers a sample is looked at.

    Raises ParameterError for an unknown loss or option, too many tensors, or too few; DtypeError
    for tensors that are complex or on the meta device; and what the loss raises: ShapeError,
    DtypeError, DomainError, DeviceError, ParameterError.
    """
    known = loss_named(loss)
    given = arguments_of(loss, tensors, options)
    sizes = parts.Sizes(Batch(known, given))
    relatives, refused = parts.relatives(sizes)
    return Explanation(
        known.name,
        sizes.whole_shape,
        str(given["reduction"]),
        sizes.elements,
        len(sizes.losses) + sizes.lost,
        sizes.lost,
        sizes.batch.thinned[1],
        parts.spread(sizes),
        tuple(relatives),
        refused,
        tuple(parts.largest(sizes)),
        parts.groups(sizes),
        parts.robust(sizes),
    )


def _refuse_width(of: str, given: str) -> None:
    if given not in SIZES:
        raise ParameterError(
            f"{of}: `width` must be one of {', '.join(SIZES)}; got {quoted(given)}."
        )


def _plain(thing: Any) -> Any:
    """The same of dicts, lists, strings and finite numbers."""
    if isinstance(thing, Mapping):
        return {str(key): _plain(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [_plain(value) for value in thing]
    if isinstance(thing, float) and not math.isfinite(thing):
        return None
    return thing
