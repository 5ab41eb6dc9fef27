"""Known numbers are reproduced, and one that is off is noticed."""

import pytest
import torch

from onepass import functional
from onepass.guide.demo import known, report
from tests.guide.demo.comparison import rendered


@pytest.mark.parametrize("row", known.KNOWN, ids=str)
def test_known_numbers(row):
    checked = known.compute(row)
    assert checked.agrees, checked


def test_known_numbers_are_those_of_torch(monkeypatch):
    monkeypatch.setattr(known, "functional", torch.nn.functional)
    assert all(row.agrees for row in known.check())


def test_a_known_number_that_is_off_is_noticed(monkeypatch):
    def off(input, target, reduction="mean"):
        return functional.l1_loss(input, target, reduction=reduction) * (1 + 1e-4)

    monkeypatch.setattr(known, "functional", type("Functional", (), {"l1_loss": staticmethod(off)}))
    (row,) = known.check(["l1_loss"])
    assert not row.agrees
    text = rendered(100, report.known_numbers([row]))
    assert "✗ 0 of 1 known numbers agree to 2e-05" in text
    assert "l1_loss(): mean 1.13" in text
