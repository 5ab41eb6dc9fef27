"""Every loss at work once, in small races."""

import pytest

import onepass
from onepass.guide import demo
from onepass.guide.demo import race
from tests.guide.demo.comparison import SMALL

LOSSES = list(onepass.catalogue())


@pytest.fixture(autouse=True)
def small_race(monkeypatch):
    monkeypatch.setattr(race, "SHAPE", SMALL)
    monkeypatch.setattr(race, "PAIRS", 2)


@pytest.fixture(scope="session")
def results():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(race, "SHAPE", SMALL)
        patch.setattr(race, "PAIRS", 2)
        yield {name: demo.run([name])[0] for name in LOSSES}
