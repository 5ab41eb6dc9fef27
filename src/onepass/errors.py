"""Every exception that onepass raises, how it warns, and how it quotes what it was given.

    OnepassError
    ├── FormulaError      the author of a formula: what was written cannot be a pointwise formula
    ├── ShapeError        the caller: tensors that do not fit together  (ValueError, RuntimeError)
    ├── DtypeError        the caller: a type that the loss cannot take  (TypeError, RuntimeError)
    ├── DeviceError       the caller: tensors on different devices      (ValueError, RuntimeError)
    ├── DomainError       the caller: an illegal value (ValueError, IndexError, RuntimeError)
    ├── ParameterError    the caller: an option (ValueError, TypeError, RuntimeError)
    ├── FileError         the caller: a file that cannot be read              (ValueError)
    └── EngineError       the machine: an engine that cannot run here   (RuntimeError)

The built-in bases are the types that torch raises in the same place, so an `except` clause
written for torch.nn.functional still catches. A message names the loss, the argument, what was
given, what is allowed and what to write instead.
"""

from __future__ import annotations

import difflib
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class OnepassError(Exception):
    """The base of every exception of this library."""


class FormulaError(OnepassError):
    """A formula does something that has no meaning for one element."""


class ShapeError(OnepassError, ValueError, RuntimeError):
    """Tensors whose shapes do not belong together."""


class DtypeError(OnepassError, TypeError, RuntimeError):
    """A tensor, or something that is no tensor, of a type that the loss cannot take."""


class DeviceError(OnepassError, ValueError, RuntimeError):
    """Tensors that are not on the same device."""


class DomainError(OnepassError, ValueError, IndexError, RuntimeError):
    """A tensor holds a value outside the domain of its argument."""


class ParameterError(OnepassError, ValueError, TypeError, RuntimeError):
    """A reduction, a parameter or a flag that is not allowed."""


class FileError(OnepassError, ValueError):
    """A file that cannot be read, or that does not hold what is asked of it."""


class EngineError(OnepassError, RuntimeError):
    """An engine was asked for that cannot run here."""


class EngineWarning(RuntimeWarning):
    """An engine could not serve a call; the definition did. Said once per reason."""


CLOSE = 200  # characters of names among which one is looked for that is spelled alike
MANY = 2000  # of them, at most


def shortened(text: str, length: int = 60) -> str:
    """Text of at most so many characters: what is too long keeps both of its ends."""
    if len(text) <= length:
        return text
    end = (length - 3) // 2
    return f"{text[: length - 3 - end]}...{text[-end:]}"


def quoted(thing: Any) -> str:
    """A name or a value as it stands in a message: its repr, shortened."""
    return shortened(repr(thing))


def in_path(path: object) -> str:
    """A path as it stands in a message: long ones lose their middle, not the file's name."""
    return shortened(str(path), 300)


def closest(name: str, known: Sequence[str], cutoff: float = 0.6) -> str | None:
    """The known name that is spelled most alike; none for long ones, which take long to compare."""
    if len(name) > CLOSE:
        return None
    short = [other for other in known[:MANY] if len(other) <= CLOSE]
    return next(iter(difflib.get_close_matches(name, short, 1, cutoff)), None)


_BETWEEN = ("onepass.", "torch.nn.modules.module")  # modules whose lines tell a caller nothing


Said = list[tuple[str, type[Warning]]]
_here = threading.local()


@contextmanager
def keep_warnings(said: Said) -> Iterator[None]:
    """Put this thread's warnings in a list, for the thread that called it: they are of its line."""
    outer, _here.kept = getattr(_here, "kept", None), said
    try:
        yield
    finally:
        _here.kept = outer


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn of the line that called this library, from however deep within."""
    kept: Said | None = getattr(_here, "kept", None)
    if kept is not None:
        kept.append((message, category))
        return
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(_BETWEEN):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
