"""Every loss on sharded tensors, torch's and ours side by side: `python -m tests.distributed.matrix
[PART OF A CASE'S NAME]`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.distributed.cases import CASES, RIGHT

LIBRARIES = ("torch", "onepass")
ABSENT, LOST = "-", "not run"
_ROOT = Path(__file__).parents[2]
_LIMIT = 300  # seconds for everything

Matrix = dict[tuple[str, str], str]  # by library and name of the case


def run(libraries: Sequence[str] = LIBRARIES, part: str = "") -> Matrix:
    """What comes out of every case, on two ranks that are processes of their own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ranks = [_started(number, folder, libraries, part) for number in (0, 1)]
        failure = _waited(ranks, time.monotonic() + _LIMIT)
        outcomes = folder / "outcomes 0"
        lines = outcomes.read_text().splitlines() if outcomes.exists() else []
        if failure is not None and not lines:
            said = "\n".join((folder / f"rank {k}").read_text() for k in (0, 1))
            raise RuntimeError(f"no case was run, {failure}\n{said}")
    found = {(library, case): outcome for library, case, outcome in map(json.loads, lines)}
    return {key: found.get(key, LOST) for key in _expected(libraries, part)}


def _expected(libraries: Sequence[str], part: str) -> list[tuple[str, str]]:
    return [
        (library, case.name)
        for library in libraries
        for case in CASES
        if part in case.name and (library != "torch" or case.is_torchs)
    ]


def _started(
    number: int, folder: Path, libraries: Sequence[str], part: str
) -> subprocess.Popen[bytes]:
    order = [sys.executable, "-m", "tests.distributed.worker", str(number), str(folder)]
    # Hashes differ between ranks, as users' do: in torch a rule may be chosen by them, and ranks
    # that choose different ones wait for each other.
    surroundings = {**os.environ, "PYTHONHASHSEED": str(number + 1)}
    with (folder / f"rank {number}").open("w") as said:
        return subprocess.Popen(
            [*order, ",".join(libraries), part],
            cwd=_ROOT, env=surroundings, stdout=said, stderr=said,
        )  # fmt: skip


def _waited(ranks: list[subprocess.Popen[bytes]], deadline: float) -> str | None:
    """Why they ended too early, if they did: none outlives the other or the deadline."""
    try:
        for rank in ranks:
            rank.wait(max(deadline - time.monotonic(), 0.1))
        codes = [rank.returncode for rank in ranks]
        return f"the ranks ended with {codes}" if any(codes) else None
    except subprocess.TimeoutExpired:
        return "the ranks took too long"
    finally:
        for rank in ranks:
            rank.kill()


def table(matrix: Matrix) -> str:
    """Both libraries side by side, and how many cases each gets right."""
    lines = []
    for case in CASES:
        row = [matrix.get((library, case.name), ABSENT) for library in LIBRARIES]
        if any(outcome != ABSENT for outcome in row):
            lines.append(f"{case.name:80} | {row[0][:60]:60} | {row[1]}")
    return "\n".join([*lines, "", counted(matrix)])


def counted(matrix: Matrix) -> str:
    """How many of the cases that torch takes each gets right, and of the others we."""
    common = [case.name for case in CASES if ("torch", case.name) in matrix]
    torchs, ours = (
        sum(matrix.get((library, name)) == RIGHT for name in common) for library in LIBRARIES
    )
    known = set(common)
    beyond = [x for (library, name), x in matrix.items() if name not in known]
    return (
        f"torch {torchs} of {len(common)}, onepass {ours} of {len(common)}; "
        f"of what torch has no options for, onepass {beyond.count(RIGHT)} of {len(beyond)}"
    )


if __name__ == "__main__":
    print(table(run(part=sys.argv[1] if len(sys.argv) > 1 else "")))
