"""What a Parquet file says of its columns before any is read.

Of what its footer says, only what pyarrow has checked when it opens the file is asked for: a column
of a group of rows is not, and one that is damaged would end the program.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from onepass.errors import quoted
from onepass.guide.files.file import check_growth

LARGE = 1 << 27  # bytes above which what is unpacked
GROWTH = 1000  # may not be this many times its packed size


def check_size(metadata: Any, size: int) -> None:
    """Raise ValueError for a file of this size that would take far more memory."""
    groups = range(metadata.num_row_groups)
    unpacked = sum(metadata.row_group(k).total_byte_size for k in groups)
    check_growth("it", size, unpacked, LARGE, GROWTH)


def texts(metadata: Any, names: Sequence[str]) -> list[str]:
    """The paths of the columns of text among these. Raises ValueError for rows of text."""
    leaves = [metadata.schema.column(leaf) for leaf in range(metadata.num_columns)]
    found = [leaf for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    wanted = set(names)
    found = [leaf for leaf in found if not wanted.isdisjoint(_within(leaf.path))]
    for leaf in found:
        if leaf.max_repetition_level:
            raise ValueError(f"{quoted(leaf.path)} holds rows of text: write a column for each")
    return [leaf.path for leaf in found]


def _within(path: str) -> Iterator[str]:
    """A path of names with points between, and all that it begins with: of a list, its name."""
    parts = path.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts) + 1))
