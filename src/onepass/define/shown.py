"""What every loss can show of itself."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Shown:
    """Drawn by the guide, which stands above and is imported when it is asked."""

    def plot(self, **options: Any) -> Any:
        """Value and gradient as a matplotlib Figure: see onepass.guide.plot.plot."""
        return import_module("onepass.guide.plot").plot(self, **options)
