"""What counts in an explanation: masks, weights, ignored rows."""

from math import inf

import pytest
import torch
import torch.nn.functional as T

from onepass import explain
from onepass.guide.explain.parts import TOPS
from tests.guide.explain.calls import LOSSES, tensors_of
from tests.guide.explain.expected import Expected, assert_near, assert_spread, held


@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_masked_out_is_as_if_it_were_not_there(loss):
    tensors = tensors_of(loss)
    rows = len(tensors.get("target", next(iter(tensors.values()))))
    keep = torch.arange(rows) % 4 != 0
    kept = {n: t if n == "linear_weight" else t[keep] for n, t in tensors.items()}
    full = Expected(getattr(T, loss), tensors).losses
    mask = keep.reshape(-1, *[1] * (full.dim() - 1)).expand(full.shape)
    shown = explain(loss, **tensors, mask=mask).as_dict()
    alone = explain(loss, **kept).as_dict()
    assert shown["counting"] == alone["counting"] < shown["elements"]
    places = keep.nonzero().flatten().tolist()
    for element in alone["largest"]:
        element["place"][0] = places[element["place"][0]]
    for part in ("spread", "groups", "largest"):
        assert_near(shown[part], alone[part])


def test_ignored_rows_do_not_count_whatever_they_hold():
    tensors = tensors_of("cross_entropy")
    kept = {name: tensor[7:] for name, tensor in tensors.items()}
    tensors["target"][:7] = 255
    tensors["input"][:7] = inf
    shown = explain("cross_entropy", **tensors, ignore_index=255)
    assert (shown.counting, shown.lost) == (23, 0)
    assert_spread(shown.spread, Expected(T.cross_entropy, kept))
    assert 255 not in [group.key for group in shown.groups["class"]]


def test_weights_weigh():
    tensors, weight = tensors_of("cross_entropy"), torch.tensor([1.0, 0.0, 3.0, 0.5, 2.0]).double()
    counted = tensors["target"] != 1
    kept = {name: tensor[counted] for name, tensor in tensors.items()}
    shown = explain("cross_entropy", **tensors, weight=weight)
    assert shown.counting == int(counted.sum())
    assert_spread(shown.spread, Expected(T.cross_entropy, kept, weight=weight))
    tensors, weight = tensors_of("l1_loss"), torch.rand(20, 1).double()
    shown = explain("l1_loss", **tensors, sample_weight=weight)
    pulls = (weight / weight.sum() / 3).expand(20, 3)
    assert shown.spread.gradient == pytest.approx([held(pulls, top) for top in TOPS])
