"""Every loss on tensors that are sharded over two ranks, beside torch's of the same name."""

import pytest
import torch.distributed as dist

from tests.distributed import matrix
from tests.distributed.cases import CASES, RIGHT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not dist.is_gloo_available(), reason="ranks talk by gloo"),
]


@pytest.fixture(scope="module")
def outcomes():
    return matrix.run()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_sharded_loss_is_that_of_the_whole_tensors(case, outcomes):
    ours = outcomes["onepass", case.name]
    torchs = outcomes.get(("torch", case.name), matrix.ABSENT)
    assert ours == RIGHT, f"torch's: {torchs}"


def test_every_case_has_been_run(outcomes):
    lost = {outcome for outcome in outcomes.values() if outcome.startswith(matrix.LOST)}
    assert not lost, "\n".join(lost)
    torchs = [outcome for (library, _), outcome in outcomes.items() if library == "torch"]
    assert torchs.count(RIGHT) > len(torchs) / 2
