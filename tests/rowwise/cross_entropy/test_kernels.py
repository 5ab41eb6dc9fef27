"""The kernels of cross_entropy: golden text and machine code."""

import inspect
import platform
import re
from pathlib import Path

import pytest
import torch

import onepass
from onepass.rowwise.cross_entropy import cpu
from onepass.runtime.cpu import compiler, kernels
from tests.kernels import assert_complete, assert_golden, compiled
from tests.rowwise.cross_entropy.calls import ADJACENT, FEW, LAST, labels, logits, on
from tests.rowwise.results import class_weight, results

GOLDEN = Path(__file__).parents[2] / "golden" / "rows" / "cpu"
F32, BF16 = torch.float32, torch.bfloat16
WEIGHTED = {"weight": class_weight(300, F32), "label_smoothing": 0.1}

# What golden files show: the shape that chooses the kernel, the type, the options, and whether
# the kernel is that of the gradient.
CASES = {
    "along": (LAST, F32, {}, True),
    "along_smoothed_weighted": (LAST, F32, WEIGHTED, True),
    "across": (FEW, F32, {}, True),
    "across_adjacent": (ADJACENT, F32, {}, True),
    "along_values": (LAST, F32, {"reduction": "none"}, False),
    "along_bfloat16": (LAST, BF16, {}, True),
    "across_bfloat16": (FEW, BF16, {}, True),
}
EVERY_CASE = pytest.mark.parametrize("name", CASES)


def called(shape, dtype, options, gradient):
    """The loss of that kind of call, by the CPU engine."""
    input = logits(*shape, dtype=dtype)
    if gradient:
        return results(on("cpu"), input, labels(input), **options)
    return on("cpu")(input, labels(input), **options)


@pytest.fixture
def printed(fresh, monkeypatch):
    """The kernel of a case: its text and its signature, those of the pass over labels apart."""

    def noted(name):
        loaded, load = [], kernels.load
        monkeypatch.setattr(
            kernels, "load", lambda text, signature: loaded.append((text, signature)) or
            load(text, signature),
        )  # fmt: skip
        called(*CASES[name])
        found = [kernel for kernel in loaded if "kernel = tallied" not in kernel[0]]
        assert len(found) == 1
        return found[0]

    return noted


# Golden files


@EVERY_CASE
def test_text_is_the_golden_one(name, printed, request):
    assert_golden(GOLDEN / f"cross_entropy_{name}.py.txt", printed(name)[0], request)


def test_every_golden_file_belongs_to_a_case():
    found = {path.name for path in GOLDEN.glob("cross_entropy_*")}
    assert found == {f"cross_entropy_{name}.py.txt" for name in CASES}


def test_cases_are_different_kernels(printed):
    texts = {printed(name)[0] for name in ("along", "across")}
    assert len(texts) == 2


def test_source_shows_the_plans_the_kernels_and_all_that_they_call():
    shown = onepass.catalogue()["cross_entropy"].source()
    assert shown.startswith(inspect.getsource(cpu))
    called = ("along", "across", "along_probabilities", "values", "exponentials", "logit")
    for name in ("plan_of_labels", *called):
        assert shown.count(f"\ndef {name}(") == 1


# Machine code


# Of the arithmetic of every class: sums, the largest, and the polynomial of exp.
PACKED = {
    "sums": re.compile(r"vaddps\s[^\n]*%[yz]mm"),
    "the largest": re.compile(r"v(?:max|cmp\w*)ps\s[^\n]*%[yz]mm"),
    "exponentials": re.compile(r"vfn?madd\d*ps\s[^\n]*%[yz]mm"),
}


@EVERY_CASE
def test_machine_code_is_vectorised_and_calls_nothing_unknown(name, printed, tmp_path):
    assembly, code = compiled(*printed(name))
    if platform.machine() in ("x86_64", "AMD64"):
        missing = [what for what, pattern in PACKED.items() if not pattern.search(assembly)]
        assert not missing
    assert_complete(code, {"memset", "memcpy"}, tmp_path)


def test_a_loop_that_is_not_vectorised_would_be_noticed(printed, monkeypatch):
    kernel = printed("along_values")
    tuning = compiler._tuning()
    tuning.loop_vectorization = False
    monkeypatch.setattr(compiler, "_tuning", lambda: tuning)
    assembly, _ = compiled(*kernel)
    assert "onepass_tested" in assembly
    assert not PACKED["sums"].search(assembly)
