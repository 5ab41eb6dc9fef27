"""The tests keep a folder of compiled kernels of their own, shared by their processes."""

import gc
import os
from contextlib import suppress
from pathlib import Path

import pytest
import torch

os.environ.setdefault(
    "ONEPASS_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "kernels")
)


def pytest_configure(config):
    """Calls run as they do behind `onepass build`, where there is a compiler."""
    from onepass.errors import EngineError
    from onepass.runtime.cpu import native

    if not hasattr(config, "workerinput"):
        with suppress(EngineError):
            native.build()


def pytest_addoption(parser):
    parser.addoption("--accept", action="store_true", help="rewrite the golden files")
    parser.addoption("--toy", action="store_true", help="a toy takes the place of the CPU engine")


@pytest.fixture
def fresh(monkeypatch):
    """No kernel of a row-wise loss is loaded yet, and what is loaded is forgotten afterwards."""
    import onepass
    from onepass.define import Rowwise
    from onepass.runtime import dispatch

    for loss in onepass.catalogue().values():
        for variant in loss.variants if isinstance(loss, Rowwise) else ():
            monkeypatch.setattr(variant, "kernels", {})
    monkeypatch.setattr(dispatch, "has_defaults", lambda: False)


@pytest.fixture
def by_python(monkeypatch):
    """Python remembers the calls and runs them, as where native.cpp is not built."""
    from onepass.runtime import call_cache
    from onepass.runtime.cpu import native

    monkeypatch.setattr(native, "calls", lambda ranges: None)
    for thing in gc.get_objects():
        if type(thing) is call_cache.CallCache:
            monkeypatch.setattr(thing, "_calls", None)


@pytest.fixture(autouse=True, scope="session")
def toy(request):
    """With --toy, what kernels would run is run by tests/toy.py."""
    if not request.config.getoption("--toy"):
        yield
        return
    from onepass.runtime.engines import ENGINES
    from tests.toy import Toy

    ENGINES["cpu"] = made = Toy()
    yield
    assert made.calls


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
