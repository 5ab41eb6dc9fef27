"""Tensors, arrays, lists and pandas columns -> one array of float64, nan where a value is missing.

Strings become codes 0..K-1 in sorted order. What has no number in it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from onepass.errors import DomainError, DtypeError, ShapeError, quoted

WHOLE = 1 << 53  # from here on, every float64 is an integer
LARGEST = 1e100  # in size
_MISSING = ("NAType", "NaTType", "NoneType")  # pandas.NA and NaT are types of a library not ours


@dataclass(frozen=True)
class Column:
    """An argument as numbers.

    `values` has the argument's shape (a scalar's is (1,)); `names` are the strings that the codes
    stand for, if it was text.
    """

    values: NDArray[np.float64]
    names: tuple[str, ...] = ()
    boolean: bool = False

    @property
    def finite(self) -> NDArray[np.float64]:
        """The values that are, on one axis."""
        return self.values[np.isfinite(self.values)]

    @property
    def whole(self) -> bool:
        """Whether all of them are integers."""
        finite = self.finite
        return bool((finite == np.round(finite)).all() and (np.abs(finite) < WHOLE).all())


def column(name: str, given: Any) -> Column:
    """The argument as a Column.

    Raises DtypeError (no numbers, no strings), ShapeError (nothing in it, or rows of different
    lengths), DomainError (every value is missing, or one is too large to be squared).
    """
    made = _column(name, _array(name, given))
    if made.values.size == 0:
        raise ShapeError(
            f"recommend: `{name}` is empty, its shape is {made.values.shape}; give at least one "
            f"value."
        )
    if np.isnan(made.values).all():
        raise DomainError(
            f"recommend: all {made.values.size} values of `{name}` are missing or nan; give at "
            f"least one number."
        )
    finite = made.finite
    if finite.size and np.abs(finite).max() > LARGEST:
        raise DomainError(
            f"recommend: `{name}` holds {finite[np.abs(finite).argmax()]:.3g}; nothing may be "
            f"larger than {LARGEST:g}, or squares overflow. Divide {name} by its unit first."
        )
    return made


def _array(name: str, given: Any) -> NDArray[Any]:
    if isinstance(given, torch.Tensor):
        given = _of_tensor(given)
    try:
        array = np.asarray(given)
    except ValueError:
        raise ShapeError(
            f"recommend: `{name}` has rows of different lengths; give rows of one length, or "
            f"{name} as one flat list."
        ) from None
    if array.dtype.kind == "U" and not isinstance(given, np.ndarray):
        array = np.asarray(given, dtype=object)  # or numbers among strings would become strings
    return array if array.ndim else array.reshape(1)


def _of_tensor(given: torch.Tensor) -> NDArray[Any]:
    dense = given.detach().to_dense().cpu()
    return (dense.float() if dense.dtype is torch.bfloat16 else dense.resolve_conj()).numpy()


def _column(name: str, array: NDArray[Any]) -> Column:
    kind = array.dtype.kind
    if kind in "iuf":
        return Column(array.astype(np.float64))
    if kind == "b":
        return Column(array.astype(np.float64), boolean=True)
    if kind in "OUT":
        return _of_objects(name, array.astype(object))
    raise DtypeError(
        f"recommend: `{name}` must hold real numbers, bools or strings; got {array.dtype}. "
        f"{_instead(name, kind)}"
    )


def _instead(name: str, kind: str) -> str:
    """What to write for a dtype that is refused."""
    return {
        "c": f"Write {name}.real, or give real and imaginary parts as two columns.",
        "M": f"Write the time since a date of your choice as a number, such as ({name} - start) / "
        f"one day.",
        "m": f"Write {name} / numpy.timedelta64(1, 's').",
    }.get(kind, f"Convert {name} to numbers first.")


def _of_objects(name: str, array: NDArray[Any]) -> Column:
    """Python objects: strings, or numbers, with None, nan and pandas.NA where one is missing."""
    flat = array.ravel()
    present = np.array([not _is_missing(thing) for thing in flat], dtype=bool)
    values = np.full(flat.size, np.nan)
    found = flat[present]
    if all(isinstance(thing, str) for thing in found):
        names, codes = np.unique(found.astype(str), return_inverse=True)
        values[present] = codes
        return Column(values.reshape(array.shape), names=tuple(names.tolist()))
    for place in np.flatnonzero(present):
        if not isinstance(flat[place], Real | Decimal | np.bool_):
            raise DtypeError(_mixed(name, flat, int(place), found))
    values[present] = found.astype(np.float64)
    boolean = all(isinstance(thing, bool | np.bool_) for thing in found)
    return Column(values.reshape(array.shape), boolean=boolean)


def _is_missing(thing: Any) -> bool:
    return type(thing).__name__ in _MISSING or (isinstance(thing, float) and thing != thing)


def _mixed(name: str, flat: NDArray[Any], place: int, found: NDArray[Any]) -> str:
    types = ", ".join(sorted({type(thing).__name__ for thing in found}))
    return (
        f"recommend: `{name}` must hold only numbers or only strings; got {types}, such as "
        f"{quoted(flat[place])} at position {place}. Convert all of {name} to one of the two."
    )
