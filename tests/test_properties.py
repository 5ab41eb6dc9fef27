"""Every property of onepass.testing on every loss: a new loss gets them by existing."""

import pytest

from onepass.testing import PROPERTIES, samples
from tests.twins import ALL_LOSSES, names


@pytest.mark.slow
@pytest.mark.parametrize("prove", PROPERTIES, ids=lambda prove: prove.__name__)
@pytest.mark.parametrize("loss", ALL_LOSSES, ids=names(ALL_LOSSES))
def test_property(loss, prove):
    drawn = list(samples(loss))
    assert drawn
    for sample in drawn:
        prove(sample)
