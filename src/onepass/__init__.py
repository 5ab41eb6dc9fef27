"""Loss functions for PyTorch: one formula, one pass.

`import onepass.functional as F` and `from onepass import nn` take the place of
torch.nn.functional and torch.nn; `@onepass.pointwise` makes a loss of a formula.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from onepass import functional as functional
from onepass import nn as nn
from onepass.catalogue import catalogue as catalogue
from onepass.catalogue import get as get
from onepass.define import COUNT as COUNT
from onepass.define import LOG_PROBABILITY as LOG_PROBABILITY
from onepass.define import NONNEGATIVE as NONNEGATIVE
from onepass.define import POSITIVE as POSITIVE
from onepass.define import PROBABILITY as PROBABILITY
from onepass.define import REAL as REAL
from onepass.define import SIGN as SIGN
from onepass.define import VARIANCE as VARIANCE
from onepass.define import Card as Card
from onepass.define import Depending as Depending
from onepass.define import Domain as Domain
from onepass.define import Pointwise as Pointwise
from onepass.define import enforced as enforced
from onepass.define import pointwise as pointwise
from onepass.define import with_slope as with_slope
from onepass.errors import DeviceError as DeviceError
from onepass.errors import DomainError as DomainError
from onepass.errors import DtypeError as DtypeError
from onepass.errors import EngineError as EngineError
from onepass.errors import EngineWarning as EngineWarning
from onepass.errors import FileError as FileError
from onepass.errors import FormulaError as FormulaError
from onepass.errors import OnepassError as OnepassError
from onepass.errors import ParameterError as ParameterError
from onepass.errors import ShapeError as ShapeError
from onepass.runtime.cpu.memory import empty_cache as empty_cache
from onepass.runtime.dispatch import checking as checking
from onepass.runtime.dispatch import engine as engine

if _TYPE_CHECKING:
    from onepass.guide.diagnose import diagnose as diagnose
    from onepass.guide.explain import explain as explain
    from onepass.guide.recommend import recommend as recommend

__version__ = "0.1.0.dev0"


def __getattr__(name: str) -> _Any:
    """The guide's functions, imported when they are first used: losses need none of it."""
    if name in ("diagnose", "explain", "recommend"):
        from importlib import import_module

        return getattr(import_module(f"onepass.guide.{name}"), name)
    raise AttributeError(f"module 'onepass' has no attribute {name!r}")
