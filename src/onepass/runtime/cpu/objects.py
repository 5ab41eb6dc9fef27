"""Object files and shared libraries, looked at before LLVM or the system's loader reads them.

Both believe what is listed in such a file, and read past its end where that is wrong.
"""

from __future__ import annotations

import sys
from struct import Struct

_HEADER = Struct("<40xQ10xHHxx")  # of ELF: where its sections are listed, their size, how many
_SECTION = Struct("<4xI16xQQ24x")  # of a section: its kind, its place and its length
_NO_BITS = 8  # a kind that takes no room in the file


def is_whole(code: bytes, symbol: str) -> bool:
    """Whether all sections of an object file are there, and the symbol is named in it."""
    if not code.startswith(b"\x7fELF"):
        return sys.platform in ("darwin", "win32") and symbol.encode() in code
    return _has_its_sections(code) and symbol.encode() in code


def _has_its_sections(code: bytes) -> bool:
    if len(code) < _HEADER.size:
        return False
    start, size, count = _HEADER.unpack_from(code)
    if size != _SECTION.size or start + size * count > len(code):
        return False
    sections = [_SECTION.unpack_from(code, start + size * k) for k in range(count)]
    return all(kind == _NO_BITS or at + length <= len(code) for kind, at, length in sections)
