"""What a finding says: the cost in numbers, the place, the remedy."""

from math import nan

import pytest
import torch

import onepass.functional as F
from onepass import nn
from onepass.guide.diagnose import Finding, diagnose

T = torch.tensor


@pytest.mark.parametrize("c, floor", [(2, 0.3133), (10, 1.461), (1000, 5.909)])
def test_the_floor_of_two_softmaxes_is_the_loss_of_a_sure_model(c, floor):
    input = torch.eye(c)[:40]
    target = torch.arange(len(input))
    finding = diagnose("cross_entropy", input, target)[0]
    assert f"cannot fall below {floor:.4g} for C = {c}," in finding.cost
    assert F.cross_entropy(input, target).item() == pytest.approx(floor, abs=1e-3)


def test_the_floors_of_two_sigmoids_are_the_losses_of_a_sure_model():
    finding = diagnose("binary_cross_entropy_with_logits", torch.rand(64), torch.ones(64))[0]
    for said, label, probability in (("0.6931", 0.0, 0.0), ("0.3133", 1.0, 1.0)):
        assert said in finding.cost
        value = F.binary_cross_entropy_with_logits(T([probability]), T([label]))
        assert value.item() == pytest.approx(float(said), abs=1e-4)


def test_evidence_has_numbers_and_the_first_place():
    target = torch.zeros(3, 4)
    target[1, 2], target[2, 0] = 255.0, 255.0
    finding = diagnose("binary_cross_entropy", torch.rand(3, 4), target)[0]
    assert finding.evidence == (
        "2 of 12 values of `target`, the first 255 at (1, 2); range [0, 255]"
    )
    assert finding.remedy == "binary_cross_entropy(input, target / 255)"


def test_places_are_those_of_the_tensor_given():
    input, target = torch.randn(4, 3, 2), torch.randint(3, (4, 2))
    target[0], target[3, 1] = -100, 7
    input[2, 1, 1] = nan
    evidence = [f.evidence for f in diagnose("cross_entropy", input, target)]
    assert any("1 of 6 values of `target`, the first 7 at (3, 1)" in said for said in evidence)
    assert any("1 of 18 values of `input`, the first nan at (2, 1, 1)" in said for said in evidence)


def test_a_target_that_serves_several_is_placed_in_itself():
    mask = torch.ones(4, 3, dtype=torch.bool)
    mask[:2] = False
    finding = diagnose("l1_loss", torch.randn(4, 3), T([1.0, nan, 2.0]), mask=mask)[0]
    assert "2 of 6 values of `target`, the first nan at (1,)" in finding.evidence


def test_worst_comes_first():
    input = torch.rand(64, 10)
    input[:, 0] = 1 - input[:, 1:].sum(1)
    target = torch.randint(1, 11, (64,))
    target[0] = 10
    severities = [
        f.severity for f in diagnose("cross_entropy", torch.randn(64, 10).softmax(1), target)
    ]
    assert severities == ["error", "warning"]


def test_a_finding_prints_as_four_lines():
    finding = Finding("note", "A.", "b", "c", "d()")
    assert str(finding) == "note: A.\n  seen:  b\n  costs: c\n  write: d()"


def test_options_of_the_caller_stay_in_the_remedy():
    findings = diagnose(
        nn.CrossEntropyLoss(label_smoothing=0.1), torch.randn(2, 5, 7), torch.randint(7, (2, 5)),
        reduction="sum",
    )  # fmt: skip
    assert findings[0].remedy == (
        "cross_entropy(input, target, reduction='sum', label_smoothing=0.1, dim=-1)"
    )
