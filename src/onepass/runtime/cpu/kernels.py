"""Kernel text -> object code -> a function on addresses.

A text is compiled once per machine; the object code is kept on disk and loaded by LLVM, once for
all losses of a process that need it. A loaded kernel is a C function of one frame: ctypes calls it
and releases the GIL while it runs.
"""

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from onepass.errors import EngineError
from onepass.own_thread import in_own_thread
from onepass.runtime.cpu import disk, threads
from onepass.runtime.cpu.objects import is_whole

_WORD = 8  # bytes of an address, a number or an integer in a frame
_loading = threading.Lock()  # LLVM's bindings are not thread-safe
_in_memory: WeakValueDictionary[str, Loaded] = WeakValueDictionary()  # by the name of their text


class Signature(NamedTuple):
    """The arguments of a kernel's text, in order; `next_block_at` comes last."""

    pointers: tuple[tuple[str, str], ...]  # name and dtype; the last one is for partial sums
    numbers: tuple[str, ...]  # float64
    integers: tuple[str, ...]  # int64


class Loaded:
    """A kernel in memory, which is freed with the last reference to it."""

    def __init__(self, code: bytes, symbol: str, signature: Signature) -> None:
        pointers, numbers, integers = map(len, signature)
        self._engine = _linked(code)
        self.address = self._engine.get_function_address(symbol)
        self.entry = threads.ENTRY(self.address)
        self.place_addresses = Struct(f"{pointers - 1}q").pack_into
        self.place_numbers = Struct(f"{numbers}d").pack_into
        self.partials = pointers - 1  # where their address stands in a frame
        self.first_number, self.numbers = pointers, numbers  # the last of them is the scale
        self._frame = Struct(f"{pointers}q{numbers}d{integers + 1}q").pack

    def __call__(
        self,
        addresses: Iterable[int],
        numbers: Iterable[float],
        integers: Iterable[int],
        blocks: int,
    ) -> float:
        """Run all blocks, once; the sum of the partial sums, if the kernel has any."""
        partials = array("d", (0.0,)) * blocks
        frame = self.frame((*addresses, partials.buffer_info()[0]), numbers, integers)
        threads.together(self.entry, frame.buffer_info()[0], blocks)
        return sum(partials)

    def frame(
        self, addresses: Iterable[int], numbers: Iterable[float], integers: Iterable[int]
    ) -> array[int]:
        """The arguments of a kernel in one array: addresses, numbers, integers, next block."""
        return array("q", self._frame(*addresses, *numbers, *integers, 0))


class Launch:
    """A kernel with the integers that all calls of a kind share; addresses and numbers differ.

    It stays in frames that are used again, one by each thread that is in the kernel.
    """

    def __init__(self, kernel: Loaded, integers: Iterable[int], blocks: int) -> None:
        self.kernel, self.blocks, self._integers = kernel, blocks, tuple(integers)
        self._idle: list[tuple[array[int], int, array[float]]] = []

    def __call__(self, addresses: Iterable[int], numbers: Iterable[float]) -> float:
        """Run all blocks; the sum of the partial sums, if the kernel has any."""
        try:
            frame, at, partials = self._idle.pop()
        except IndexError:
            partials = array("d", (0.0,)) * self.blocks
            frame = self.frame(partials.buffer_info()[0])
            at = frame.buffer_info()[0]
        self.kernel.place_addresses(frame, 0, *addresses)
        self.kernel.place_numbers(frame, self.kernel.first_number * _WORD, *numbers)
        frame[-1] = 0  # from the first block on
        threads.together(self.kernel.entry, at, self.blocks)
        total = sum(partials)
        self._idle.append((frame, at, partials))
        return total

    def frame(self, partials: int = 0) -> array[int]:
        """A frame whose addresses of tensors, and whose numbers, are 0."""
        addresses, numbers = (0,) * self.kernel.partials, (0.0,) * self.kernel.numbers
        return self.kernel.frame((*addresses, partials), numbers, self._integers)


def _unlock() -> None:
    """A child forked while another thread was loading would wait for it forever."""
    global _loading
    _loading = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


def made(loss: str, make: Callable[[], Loaded]) -> Loaded | EngineError:
    """The kernel, or why there is none: a compiler that fails is not asked again.

    It is made in a thread of its own: what a signal handler raises meanwhile is the caller's, who
    asks again.

    Raises: EngineError if the system failed, MemoryError; both may go better the next time.
    """

    def attempt() -> Loaded | EngineError:
        try:
            return make()
        except MemoryError:
            raise
        except OSError as error:
            raise _impossible(loss, error) from error
        except Exception as error:  # noqa: BLE001  # whatever a compiler may say
            return _impossible(loss, error)

    return in_own_thread(attempt)


def _impossible(loss: str, error: Exception) -> EngineError:
    return EngineError(f"{loss}: its kernel cannot be made ({error})")


def load(source: str, signature: Signature) -> Loaded:
    """The kernel of this text: in memory already, or from the disk cache, or freshly compiled."""
    with _loading:
        name = disk.key(source, repr(signature.pointers), _toolchain())
        loaded = _in_memory.get(name)
        if loaded is None:
            symbol = f"onepass_{name}"
            code = disk.load(f"{name}.o")
            if code is None or not is_whole(code, symbol):
                code = _compiled(source, signature, name, symbol)
            loaded = _in_memory[name] = Loaded(code, symbol, signature)
        return loaded


def _compiled(source: str, signature: Signature, name: str, symbol: str) -> bytes:
    from onepass.runtime.cpu import compiler

    path = disk.save_text(f"{name}.py", source)
    code = compiler.compiled(source, signature, symbol, path)
    disk.save(f"{name}.o", code)
    return code


def _linked(code: bytes) -> Any:
    """An engine of LLVM's that holds the code in memory, until nobody refers to it."""
    from llvmlite import binding as llvm

    from onepass.runtime.cpu import processor

    here = processor.target().create_target_machine(jit=True)
    # llvmlite's memory manager keeps code and its constants together; LLVM's may not.
    nothing = llvm.parse_assembly("")
    engine = llvm.create_mcjit_compiler(nothing, here, use_lmm=True)
    engine.remove_module(nothing)  # it would be compiled, which takes longer than all the rest
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


@cache
def _toolchain() -> str:
    """What object code depends on beside its text: processor, LLVM, sources of the compiler."""
    from importlib.metadata import version

    from onepass.runtime.cpu import processor

    here = Path(__file__).parent
    ours = ("registers", "intrinsics", "language", "compiler", "processor", "kernels")
    files = [*sorted((here / "vectormath").glob("*.py")), *(here / f"{name}.py" for name in ours)]
    sources = [file.read_text() for file in files]
    return disk.key(version("llvmlite"), *processor.chosen(), *sources)
