"""What the numbers were measured on, and how quiet it was."""

import os
import platform
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from . import jax_rival

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
PROCESSOR = Path("/proc/cpuinfo")
CLOCKS = Path("/proc/stat")
VERSIONS = ("torch", "llvmlite", "numpy", *(jax_rival.PACKAGES if jax_rival.INSTALLED else ()))


def machine() -> dict[str, object]:
    """Processor, cores, versions, date."""
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "system": platform.system(),
        "huge_pages": _read(HUGE_PAGES).partition("[")[2].partition("]")[0] or "unknown",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in VERSIONS},
        "date": datetime.now(UTC).date().isoformat(),
    }


@dataclass
class Bystanders:
    """The share of the machine that others used; None where the system does not say."""

    share: float | None = None


@contextmanager
def bystanders() -> Iterator[Bystanders]:
    """Watch the processors during a block. Our processes must have ended at its end."""
    seen = Bystanders()
    before, ours_before = _clocks(), _ours()
    yield seen
    after, ours_after = _clocks(), _ours()
    if before and after:
        busy, total = after[0] - before[0], after[1] - before[1]
        seen.share = max(0.0, busy - (ours_after - ours_before)) / max(total, 1e-9)


def _clocks() -> tuple[float, float] | None:
    """Seconds that all processors together have been busy, and have been on."""
    line = _read(CLOCKS).partition("\n")[0].split()
    if not line:
        return None
    tick = os.sysconf("SC_CLK_TCK")
    user, nice, system, idle, wait, irq, softirq, steal = (int(n) / tick for n in line[1:9])
    busy = user + nice + system + irq + softirq + steal
    return busy, busy + idle + wait


def _ours() -> float:
    """Processor seconds of this process and of its children that have ended."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _processor() -> str:
    lines = _read(PROCESSOR).splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
