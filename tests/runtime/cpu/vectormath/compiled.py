"""The functions of kernel text, one at a time: in a compiled loop, and as plain Python."""

import itertools
import math
from array import array
from functools import cache

import numpy as np

from onepass.runtime.cpu import compiler, kernels, processor
from onepass.runtime.cpu.vectormath import functions, plain_python

INF, NAN = math.inf, math.nan
REAL = {32: np.float32, 64: np.float64}
SMOOTH = [
    *("decay", "exp", "expm1", "log", "log1p", "log2", "log10"),
    *("sigmoid", "softplus", "log_sigmoid", "tanh", "erf"),
]
STRAIGHT = [name for name, _ in functions.by_name().items()]
TWO_OPERANDS = ("power", "logaddexp", "xlogy")

_numbered = itertools.count()


class Compiled:
    """Kernel text as machine code; called with arrays for pointers, then with integers."""

    def __init__(self, text, *dtypes, integers=("size",)):
        pointers = tuple((f"pointer{k}", dtype) for k, dtype in enumerate(dtypes))
        signature, symbol = kernels.Signature(pointers, (), integers), f"tested_{next(_numbered)}"
        module = compiler.module(text, signature, symbol)
        machine = processor.machine()
        self.llvm, self.assembly = str(module), machine.emit_assembly(module)
        loaded = kernels.Loaded(machine.emit_object(module), symbol, signature)
        self.function = loaded.entry
        self._loaded = loaded

    def __call__(self, *arguments):
        arguments = [x.ctypes.data if isinstance(x, np.ndarray) else x for x in arguments]
        frame = array("q", [*arguments, 0])
        self.function(frame.buffer_info()[0])


@cache
def loop(name, width):
    operands = "read(x, i), read(y, i)" if name in TWO_OPERANDS else "read(x, i)"
    text = f"""
def kernel(x, y, output, size, next_block_at=None):
    for i in range(size):
        write(output, i, {name}{width}({operands}))
"""
    return Compiled(text, *[f"float{width}"] * 3)


def evaluated(name, x, y=None):
    output = np.empty_like(x)
    loop(name, 8 * x.itemsize)(x, x if y is None else y, output, x.size)
    return output


def plainly(name, *operands):
    function = plain_python.plain()[f"{name}{8 * operands[0].itemsize}"]
    with np.errstate(all="ignore"):
        return np.array([function(*each) for each in zip(*operands, strict=True)])


def ulps(got, want):
    """Distance in units of the last place of `got`'s format; infinite where the kind differs."""
    with np.errstate(all="ignore"):
        rounded = want.astype(got.dtype)
        distance = np.abs(got.astype(want.dtype) - want) / np.spacing(np.abs(rounded))
    settled = ~np.isfinite(got) | ~np.isfinite(rounded)
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    return np.where(settled, np.where(same, 0.0, INF), distance)
