"""`python -m onepass`."""

from __future__ import annotations

from onepass.cli import app

if __name__ == "__main__":
    app(prog_name="onepass")
