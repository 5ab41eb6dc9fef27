"""What is looked at of a call: what counts, what is odd, and a sample of what is large."""

import inspect
import time
import warnings
from math import nan

import pytest
import torch

import onepass
import onepass.functional as F
from onepass.errors import ParameterError
from onepass.guide.diagnose import Finding, diagnose
from onepass.guide.diagnose.batch import Batch
from onepass.guide.names import arguments_of, parameters_of
from tests.guide.diagnose.untouched import assert_untouched

T = torch.tensor


# --- what does not count --------------------------------------------------------------------------


def test_what_does_not_count_is_not_looked_at():
    input = torch.randn(6, 3)
    target = T([0, 1, 2, -100, 1, 0])
    input[3] = nan
    assert diagnose("cross_entropy", input, target) == []
    assert (
        diagnose("cross_entropy", input.nan_to_num(), T([0, 1, 7, 0, 1, 0]), ignore_index=7) == []
    )
    weight = T([1.0, 1.0, 0.0])
    input[2] = nan
    assert diagnose("cross_entropy", input, target, weight) == []
    target = T([0.5, nan, 255.0])
    mask = T([True, False, False])
    assert diagnose("binary_cross_entropy", torch.rand(3), target, mask=mask) == []
    assert diagnose("mse_loss", torch.rand(3), target, sample_weight=mask.float()) == []


# --- odd input ------------------------------------------------------------------------------------


ODD = {
    "nothing": lambda: torch.ones(0),
    "a number": lambda: T(1.0),
    "nan": lambda: T(nan),
    "all nan": lambda: torch.full((3,), nan),
    "half": lambda: torch.rand(3).half(),
    "bool": lambda: T([True, False, True]),
    "int8": lambda: T([1, 0, -1], dtype=torch.int8),
    "complex": lambda: torch.randn(3, dtype=torch.complex64),
    "meta": lambda: torch.ones(3, device="meta"),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "a list": lambda: [1.0, 2.0],
    "none": lambda: None,
    "four axes": lambda: torch.randn(2, 3, 1, 2),
    "asking": lambda: torch.randn(3, requires_grad=True),
    "a view": lambda: torch.randn(6)[::2],
    "expanded": lambda: torch.randn(1).expand(3),
}


@pytest.mark.slow
@pytest.mark.parametrize("loss", onepass.catalogue())
@pytest.mark.parametrize("first", ODD)
def test_nothing_odd_raises(loss, first):
    required = parameters_of(onepass.catalogue()[loss])
    count = sum(default is inspect.Parameter.empty for default in required.values())
    for second, make in ODD.items():
        tensors = [ODD[first](), *(make() for _ in range(count - 1))]
        findings = diagnose(loss, *tensors)
        assert all(isinstance(finding, Finding) for finding in findings)
        try:
            with warnings.catch_warnings(action="ignore"):
                value = getattr(F, loss)(*tensors)
            refused = not value.is_meta and not value.isfinite().all()
        except Exception:  # noqa: BLE001 - torch's own of what is sparse or complex, too
            refused = True
        assert not refused or any(f.severity == "error" for f in findings), (second, findings)


def test_inference_tensors_and_modes():
    with torch.inference_mode():
        tensors = torch.rand(40), torch.ones(40)
        inside = diagnose("soft_margin_loss", *tensors)
    with torch.no_grad():
        assert diagnose("soft_margin_loss", *tensors) == inside
    assert inside[0].severity == "warning"


def test_unreadable_tensors_are_said_to_be():
    problems = [f.problem for f in diagnose("mse", *[torch.ones(3, device="meta")] * 2)]
    assert problems == ["`input` is on the meta device: only its shape was looked at."]


def test_a_refused_call_is_found_and_its_advice_taken():
    finding = diagnose("mse_loss", [1.0, 2.0], torch.ones(2))[0]
    assert finding.problem == "mse_loss refuses the call with DtypeError."
    assert finding.remedy == "mse_loss(torch.as_tensor(input), target)"
    finding = diagnose("huber_loss", torch.ones(2), torch.ones(2), delta=-1.0)[0]
    assert "`delta` must be a positive finite number, > 0; got -1.0" in finding.evidence
    assert finding.remedy == "help(onepass.functional.huber_loss)"


def test_what_a_distance_raises_is_found():
    def broken(a, b):
        raise KeyError("no such layer")

    vectors = [torch.randn(3, 2)] * 3
    loss = "triplet_margin_with_distance_loss"
    found = diagnose(loss, vectors[0], vectors[1], vectors[0] + 1, distance_function=broken)
    assert [f.problem for f in found] == [f"{loss} refuses the call with KeyError."]


def test_a_distance_may_write_where_it_likes():
    def careless(a, b):
        a.sub_(b)
        return a.abs().sum(-1)

    vectors = [torch.randn(3, 2) for _ in range(3)]
    copies = [v.clone() for v in vectors]
    diagnose("triplet_margin_with_distance_loss", *vectors, distance_function=careless)
    assert_untouched(vectors, copies)


@pytest.mark.parametrize(
    "loss, tensors, options, said",
    [
        ("hubber", 2, {}, "Did you mean 'huber_loss'"),
        ("mse_loss", 1, {}, "got no `target`"),
        ("mse_loss", 2, {"beta": 1.0}, "there is no `beta`"),
    ],
)
def test_a_call_that_is_none_raises(loss, tensors, options, said):
    with pytest.raises(ParameterError, match=said):
        diagnose(loss, *[torch.ones(3)] * tensors, **options)


# --- a loss of one's own --------------------------------------------------------------------------


@onepass.pointwise(input=onepass.POSITIVE, target=onepass.SIGN)
def mine(input, target):
    return input * target


def test_a_loss_of_ones_own_is_judged_by_its_domains():
    input = torch.rand(9) + 0.1
    assert diagnose(mine, input, torch.ones(9)) == []
    assert "labels 0 and 1" in diagnose(mine, input, torch.arange(9) % 2)[0].problem
    finding = diagnose(mine, input - 1, torch.ones(9))[0]
    assert "`input` must be a positive finite number" in finding.problem
    assert "of 9 values of `input`" in finding.evidence


# --- large tensors --------------------------------------------------------------------------------


def test_large_tensors_are_sampled_and_the_evidence_says_so():
    input = torch.rand(3, 9_000_000)
    target = torch.zeros_like(input)
    target[1, 4::2] = -1.0
    target[1, 5::2] = 1.0
    begun = time.perf_counter()
    findings = diagnose("binary_cross_entropy_with_logits", input, target)
    assert time.perf_counter() - begun < 20
    assert "labels -1 and 1" in findings[0].problem or "a mark" in findings[0].problem
    assert "the first -1 at (1, 6)" in findings[0].evidence
    assert findings[0].evidence.endswith("(of every 3th entry along axis 1 of the rows)")


def test_large_layers_are_sampled():
    input, layer = torch.randn(60_000, 32), torch.randn(5_000, 32)
    target = torch.randint(5_000, (60_000,))
    batch = Batch(
        onepass.catalogue()["linear_cross_entropy"],
        arguments_of("linear_cross_entropy", (input, layer, target), {}),
    )
    assert batch.thinned == (0, 3)
    assert batch.seen["input"].shape == (20_000, 32)
    assert batch.seen["target"].shape == (20_000,)
    assert batch.seen["linear_weight"] is layer
