"""Of large tensors a sample is explained."""

import torch
import torch.nn.functional as T

from onepass import explain
from onepass.guide.diagnose import batch as batches
from tests.guide.explain.calls import classes, normal
from tests.guide.explain.expected import Expected, assert_spread


def test_of_large_tensors_a_sample_is_looked_at(monkeypatch):
    input, target = normal(1000, 3), normal(1000, 3)
    input[640, 2] = 1000.0
    monkeypatch.setattr(batches, "SAMPLE", 400)
    shown = explain("mse_loss", input, target)
    assert shown.step == 8
    assert shown.shape == (1000, 3)
    assert shown.elements == shown.counting == 125 * 3
    sampled = {"input": input[::8], "target": target[::8]}
    assert_spread(shown.spread, Expected(T.mse_loss, sampled))
    assert shown.largest[0].place == (640, 2)
    assert shown.robust.places[0] == (640, 2)
    assert "of every 8 along one axis a single one was looked at" in " ".join(str(shown).split())


def test_sampled_rows_keep_their_classes_and_masks(monkeypatch):
    logits, target, mask = normal(900, 5), classes(900), torch.rand(900) < 0.5
    monkeypatch.setattr(batches, "SAMPLE", 1000)
    shown = explain("cross_entropy", logits, target, mask=mask)
    step = shown.step
    assert step > 1
    seen = explain("cross_entropy", logits[::step], target[::step], mask=mask[::step])
    assert (shown.spread, shown.groups) == (seen.spread, seen.groups)
    assert [e.place for e in shown.largest] == [(step * e.place[0],) for e in seen.largest]
