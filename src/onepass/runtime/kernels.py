"""Kernel text -> object code -> a function on addresses.

numba compiles a text once per machine; the object code is kept on disk and loaded by LLVM alone,
so that a process in which every kernel is known never imports numba. A loaded kernel is a C
function of one frame: ctypes calls it and releases the GIL while it runs.
"""

from __future__ import annotations

import linecache
import os
import threading
from array import array
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from struct import Struct
from typing import Any

from onepass.formula.expression import Expression
from onepass.printers.cpu import BLOCK, Kernel, text
from onepass.runtime import cache as disk
from onepass.runtime import threads

_loading = threading.Lock()  # LLVM's bindings are not thread-safe


class Loaded:
    """A kernel in memory."""

    def __init__(self, address: int, kernel: Kernel) -> None:
        self._entry = threads.ENTRY(address)
        # What the kernel's text takes, in its order: addresses, numbers, count, turns.
        self._frame = Struct(f"{len(kernel.pointers)}q{len(kernel.numbers)}d2q").pack

    def __call__(self, addresses: Iterable[int], numbers: Iterable[float], count: int) -> float:
        """Run over `count` elements; the sum of the values, if the kernel computes it."""
        blocks = (count + BLOCK - 1) // BLOCK
        partials = array("d", (0.0,)) * blocks
        frame = array("q", self._frame(*addresses, partials.buffer_info()[0], *numbers, count, 0))
        threads.together(self._entry, frame.buffer_info()[0], blocks)
        return sum(partials)


def _unlock() -> None:
    """A child forked while another thread was loading would wait for it forever."""
    global _loading
    _loading = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


def load(
    kernel: Kernel, results: Mapping[str, Expression], names: Mapping[Expression, str]
) -> Loaded:
    """The kernel, from the disk cache or freshly compiled."""
    source = text(kernel, results, names)
    with _loading:
        name = disk.key(source, repr(kernel.pointers), _toolchain())
        code = disk.load(f"{name}.o")
        if code is None:
            path = disk.save_text(f"{name}.py", source)
            code = compiled(source, kernel, _symbol(name), path)
            disk.save(f"{name}.o", code)
        return Loaded(_linked(code, _symbol(name)), kernel)


def _symbol(name: str) -> str:
    """The kernel's own: all kernels are linked into one process."""
    return f"onepass_{name}"


def compiled(source: str, kernel: Kernel, symbol: str, path: Path | None = None) -> bytes:
    """Object code with the C function `symbol` of a frame; numba is imported here."""
    import numba

    from onepass.runtime import intrinsics

    function = _executed(source, intrinsics.jitted(), path)
    function.__name__ = function.__qualname__ = symbol
    pointers = [numba.types.CPointer(_numba_type(dtype)) for _, dtype in kernel.pointers]
    numbers = [numba.float64] * len(kernel.numbers)
    turn_at = numba.types.CPointer(numba.int64)
    signature = numba.void(*pointers, *numbers, numba.int64, turn_at)
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    dispatcher = numba.njit(signature, error_model="numpy", nogil=True, **options)(function)
    return intrinsics.entry(dispatcher.overloads[signature.args], symbol)


def plain(source: str) -> Callable[..., None]:
    """The same text as a Python function over numpy arrays, for tests and for reading along."""
    from onepass.runtime import vectormath

    return _executed(source, vectormath.plain(), None)


def _executed(source: str, functions: dict[str, Any], path: Path | None) -> Any:
    file = str(path) if path else f"<onepass {disk.key(source)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    namespace = dict(functions)
    exec(compile(source, file, "exec"), namespace)
    return namespace["kernel"]


def _numba_type(dtype: str) -> Any:
    import numba

    return numba.uint16 if dtype in ("float16", "bfloat16") else getattr(numba, dtype)


@cache
def _linker() -> Any:
    from llvmlite import binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


def _linked(code: bytes, symbol: str) -> int:
    from llvmlite import binding as llvm

    linker = _linker()
    linker.add_object_file(llvm.ObjectFileRef.from_data(code))
    linker.finalize_object()
    return linker.get_function_address(symbol)


@cache
def _toolchain() -> str:
    """What object code depends on beside its text: the processor, LLVM, and our own functions."""
    from importlib.metadata import version

    from llvmlite import binding as llvm

    here = Path(__file__).parent
    sources = [(here / name).read_text() for name in ("vectormath.py", "intrinsics.py")]
    features = llvm.get_host_cpu_features().flatten()
    return disk.key(
        version("numba"), version("llvmlite"), llvm.get_host_cpu_name(), features, *sources
    )
