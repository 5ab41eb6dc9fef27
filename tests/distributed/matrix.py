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

from tests.distributed.cases import CASES, RIGHT, Case

LIBRARIES = ("torch", "onepass")
ABSENT, LOST = "-", "not run"
_ROOT = Path(__file__).parents[2]
_LIMIT = 300  # seconds for a library

Matrix = dict[tuple[str, str], str]  # by library and name of the case


def run(libraries: Sequence[str] = LIBRARIES, part: str = "") -> Matrix:
    """What comes out of every case. Each library has ranks of its own: what is left of process
    groups that failed in one cannot meet the other.
    """
    outcomes: Matrix = {}
    for library in libraries:
        outcomes |= _run(library, [case for case in CASES if _is_taken(library, case, part)])
    return outcomes


def _is_taken(library: str, case: Case, part: str) -> bool:
    return part in case.name and (library != "torch" or case.is_torchs)


def _run(library: str, cases: Sequence[Case]) -> Matrix:
    """The cases on two ranks, which are processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "cases").write_text(json.dumps([case.name for case in cases]))
        ranks = [_started(number, folder, library) for number in (0, 1)]
        failure = _waited(ranks, time.monotonic() + _LIMIT)
        outcomes = folder / "outcomes 0"
        lines = outcomes.read_text().splitlines() if outcomes.exists() else []
        if failure is not None:
            said = [(folder / f"rank {k}").read_text().strip()[-2000:] for k in (0, 1)]
            failure = "\n".join([f"{LOST}: {failure}", *said])
    found = dict(map(json.loads, lines))
    return {(library, case.name): found.get(case.name, failure or LOST) for case in cases}


def _started(number: int, folder: Path, library: str) -> subprocess.Popen[bytes]:
    order = [sys.executable, "-X", "faulthandler", "-m", "tests.distributed.worker"]
    # Hashes differ between ranks, as users' do: in torch a rule may be chosen by them, and ranks
    # that choose different ones wait for each other.
    surroundings = {**os.environ, "PYTHONHASHSEED": str(number + 1)}
    with (folder / f"rank {number}").open("w") as said:
        return subprocess.Popen(
            [*order, str(number), str(folder), library],
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
            lines.append(f"{case.name:80} | {row[0][:60]:60} | {row[1][:100]}")
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
