"""Modules of the losses of vectors."""

import copy
import io
import pickle

import pytest
import torch

import onepass
from onepass import nn
from tests.rowwise.embeddings.calls import EXACT, INF, pairs, triplets
from tests.twins import assert_same

MODULES = [
    (nn.CosineEmbeddingLoss(margin=0.2), "CosineEmbeddingLoss(margin=0.2)"),
    (nn.TripletMarginLoss(p=INF, swap=True), "TripletMarginLoss(p=inf, swap=True)"),
    (
        nn.TripletMarginWithDistanceLoss(margin=2.0),
        (
            "TripletMarginWithDistanceLoss(\n"
            "  margin=2.0\n"
            "  (distance_function): PairwiseDistance()\n"
            ")"
        ),
    ),
]


@pytest.mark.parametrize("module, text", MODULES, ids=[text for _, text in MODULES])
def test_modules(module, text):
    cosine = isinstance(module, nn.CosineEmbeddingLoss)
    given = pairs((6, 4)) if cosine else triplets((6, 4))
    value = module(*given)
    assert repr(module) == text
    assert module.state_dict() == {}
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(other(*given), value)
        assert repr(other) == text
    assert torch.equal(type(module)(**module.config())(*given), value)
    torchs = getattr(torch.nn, type(module).__name__)(**module.config())
    assert_same(value, torchs(*given), EXACT)
    masked = module(*given, mask=torch.arange(6) < 3)
    assert_same(masked, torchs(*(t[:3] for t in given)), EXACT)


def test_a_distance_with_parameters_is_part_of_the_module():
    class Learned(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(4, dtype=torch.float64))

        def forward(self, x, y):
            return (self.scale * (x - y)).abs().sum(-1)

    loss = nn.TripletMarginWithDistanceLoss(distance_function=Learned(), margin=30.0)
    torchs = torch.nn.TripletMarginWithDistanceLoss(distance_function=Learned(), margin=30.0)
    assert list(loss.state_dict()) == list(torchs.state_dict()) == ["distance_function.scale"]
    for module in (loss, torchs):
        module(*triplets((6, 4))).backward()
    assert_same(loss.distance_function.scale.grad, torchs.distance_function.scale.grad, EXACT)
    buffer = io.BytesIO()
    torch.save(loss.state_dict(), buffer)
    buffer.seek(0)
    loss.load_state_dict(torch.load(buffer))


def test_built_by_name():
    assert repr(onepass.get("triplet_margin", p=1.0)) == "TripletMarginLoss(p=1.0)"
    assert isinstance(onepass.get("CosineEmbeddingLoss"), nn.CosineEmbeddingLoss)
