"""Start a rival in a process of its own and talk to it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .rivals import RIVALS

ROOT = Path(__file__).parents[1]


def _inherited() -> dict[str, str]:
    """The environment, with bytecode kept as it is for users: else imports compile it each time."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


class RivalError(Exception):
    """A rival could not do what it was asked: its own message."""


class Process:
    """A running `benchmarks.worker`."""

    def __init__(self, rival: str, environment: Mapping[str, str]) -> None:
        self._pipe = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", rival],
            cwd=ROOT,
            env={**_inherited(), **RIVALS[rival].environment, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def ask(self, order: str, **arguments: object) -> Any:
        """Send one order and wait for its answer."""
        orders, answers = self._pipe.stdin, self._pipe.stdout
        assert orders is not None, "stdin is a pipe"
        assert answers is not None, "stdout is a pipe"
        orders.write(json.dumps({"order": order, **arguments}) + "\n")
        line = answers.readline()
        if not line:
            raise RivalError(f"the process ended with code {self._pipe.wait()}")
        reply = json.loads(line)
        if "error" in reply:
            raise RivalError(reply["error"])
        return reply["answer"]

    def close(self) -> None:
        """Let it end by itself: its input is over."""
        self._pipe.communicate()


@contextmanager
def process(rival: str, **environment: str) -> Iterator[Process]:
    """A rival's process for the length of a block."""
    worker = Process(rival, environment)
    try:
        yield worker
    finally:
        worker.close()


def seconds_of(code: str) -> float:
    """Run `code` in a new interpreter; it prints a number of seconds."""
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return float(answer.stdout)
