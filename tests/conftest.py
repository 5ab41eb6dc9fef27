"""The tests keep a folder of compiled kernels of their own, shared by their processes."""

import os
from pathlib import Path

import pytest
import torch

os.environ.setdefault(
    "ONEPASS_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "kernels")
)


def pytest_addoption(parser):
    parser.addoption("--accept", action="store_true", help="rewrite the golden files")


@pytest.fixture
def fresh(monkeypatch):
    """No kernel of a row-wise loss is loaded yet, and what is loaded is forgotten afterwards."""
    from onepass import define
    from onepass.runtime import remember

    for loss in define._rowwise.values():
        monkeypatch.setattr(loss, "kernels", {})
    monkeypatch.setattr(remember, "_kind", lambda *_: None)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
