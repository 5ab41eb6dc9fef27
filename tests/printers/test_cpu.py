"""Kernel text: golden, the same as plain Python and compiled, vectorised, complete."""

import platform
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import onepass
from onepass.printers import cpu
from onepass.printers.kernel import Operand
from onepass.runtime.cpu import compiler, kernels
from tests.kernels import assert_complete, assert_golden, compiled
from tests.printers.cases import ALL_CASES, Memory, cases, memory
from tests.twins import ALL_LOSSES, names

GOLDEN = Path(__file__).parents[1] / "golden" / "cpu"
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}
every_case = pytest.mark.parametrize("case", ALL_CASES, ids=str)


# Golden files


def golden(loss):
    return "\n\n".join(f"# {case.title}\n{case.source}" for case in cases(loss))


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=names(ALL_LOSSES))
def test_text_is_the_golden_one(loss, request):
    assert_golden(GOLDEN / f"{loss.name}.py.txt", golden(loss), request)


def test_every_golden_file_belongs_to_a_loss():
    assert {path.name for path in GOLDEN.iterdir()} == {f"{n}.py.txt" for n in names(ALL_LOSSES)}


def test_source_shows_the_kernel_that_runs():
    loss = onepass.catalogue()["huber_loss"]
    together, value, none, slopes, *_ = cases(loss)
    assert loss.source() == together.source
    assert loss.source(gradient=False) == value.source
    assert loss.source(reduction="none", gradient=False) == none.source
    assert loss.source(reduction="none") == slopes.source
    assert "def huber_loss" in loss.source("eager")


def test_a_kernel_depends_on_nothing_but_its_description():
    for case in ALL_CASES:
        assert case.source == replace(case, kernel=replace(case.kernel)).source


# What a kernel reads and writes


def test_pointers_and_numbers_are_those_of_the_text():
    for case in ALL_CASES:
        head, purpose = case.source.splitlines()[:2]
        pointers = [f"{name}_at" for name, _ in case.kernel.pointers]
        arguments = [*pointers, *case.kernel.numbers, "count", "next_block_at"]
        assert head == f"def kernel({', '.join(arguments)}):"
        assert purpose.startswith(f"    # {case.loss.name}: ")


def test_traffic_is_what_the_text_says():
    for case in ALL_CASES:
        loop = case.source.partition("for i in range")[2]
        reads, writes = re.search(r"reads (\d+) per element, writes (\d+)", case.source).groups()
        assert len(re.findall(r"\bread(?:_\w+)?\(", loop)) == int(reads)
        assert len(re.findall(r"\bwrite(?:_\w+)?\(\w+, i, ", loop)) == int(writes)


def test_sums_of_runs_are_kept_in_float64():
    for case in ALL_CASES:
        assert case.source.count("part = accumulate(part, loss)\n") == case.kernel.sums
        assert case.source.count("total = total + float64(part)\n") == case.kernel.sums
        assert case.source.count("total = float64(0.0)\n") == case.kernel.sums


def test_halves_are_widened_when_read_and_rounded_when_written():
    (case,) = (c for c in cases(onepass.catalogue()["mse_loss"]) if c.title == "bfloat16")
    assert "input = read_bfloat16(input_at, i)\n" in case.source
    assert "write_bfloat16(gradient_input_at, i, gradient_input)\n" in case.source


def test_integers_are_converted():
    (case, *_) = cases(onepass.catalogue()["mse_loss"])
    mixed = replace(case.kernel, operands=(Operand("input", "float32"), Operand("target", "int64")))
    assert "target = float32(read(target_at, i))\n" in replace(case, kernel=mixed).source


# Plain Python and compiled


def signature(kernel):
    return kernels.Signature(kernel.pointers, kernel.numbers, ("count",))


class Turns:
    """Gives out these blocks, then none, and counts as a kernel's memory."""

    def __init__(self, blocks):
        self.blocks = iter(blocks)

    def __getitem__(self, index):
        return self.now

    def __setitem__(self, index, value):
        self.now = next(self.blocks, 1 << 40) + 1

    now = 0


def ran_plainly(case, given: Memory, blocks=None):
    partials = np.zeros(-(-given.count // cpu.BLOCK))
    run = compiler.plain(case.source)
    with np.errstate(all="ignore"):
        next_block_at = [0] if blocks is None else Turns(blocks)
        run(*given.arrays, partials, *given.numbers, given.count, next_block_at)
    return partials


def ran_compiled(case, given: Memory):
    loaded = kernels.load(case.source, signature(case.kernel))
    addresses = [array.ctypes.data for array in given.arrays]
    blocks = -(-given.count // cpu.BLOCK)
    return kernels.Launch(loaded, (given.count,), blocks)(addresses, given.numbers)


def assert_close(got, wanted, tolerance):
    largest = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)
    np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance * min(largest, 1.0))


@every_case
def test_plain_python_computes_what_is_compiled(case):
    by_python, by_machine = memory(case, step=7), memory(case, step=7)
    (total,) = ran_plainly(case, by_python)
    tolerance = 8e-3 if case.kernel.output == "bfloat16" else TOLERANCE[case.kernel.precision]
    assert_close(np.array([ran_compiled(case, by_machine)]), np.array([total]), tolerance)
    kernel = case.kernel
    assert by_python.written(kernel) or not kernel.gradients
    pairs = zip(by_machine.written(kernel), by_python.written(kernel), strict=True)
    for machine, python in pairs:
        assert_close(machine, python, tolerance)


def test_samples_are_not_all_alike():
    for case in ALL_CASES:
        given = memory(case, step=7)
        if any(operand.single for operand in case.kernel.operands):
            continue  # one target may decide the slope
        ran_plainly(case, given)
        assert all(len(set(array.tolist())) > 1 for array in given.written(case.kernel)[:1])


def test_blocks_cover_every_element_once(monkeypatch):
    monkeypatch.setattr(cpu, "BLOCK", 16)
    monkeypatch.setattr(cpu, "_RUN", 8)
    (case, *_) = cases(onepass.catalogue()["huber_loss"])
    whole, parts = memory(case), memory(case)
    blocks = -(-whole.count // 16)
    assert whole.count % 16
    whole_sums = ran_plainly(case, whole)
    part_sums = sum(ran_plainly(case, parts, [k]) for k in range(blocks))
    assert np.array_equal(whole_sums, part_sums)
    for a, b in zip(whole.written(case.kernel), parts.written(case.kernel), strict=True):
        assert np.array_equal(a, b)
    monkeypatch.undo()
    assert ran_plainly(case, memory(case)) == pytest.approx(whole_sums.sum())


def test_a_block_touches_its_own_elements_only(monkeypatch):
    monkeypatch.setattr(cpu, "BLOCK", 16)
    monkeypatch.setattr(cpu, "_RUN", 8)
    (case, *_) = cases(onepass.catalogue()["mse_loss"])
    given = memory(case)
    *_, gradient = given.arrays
    gradient[:] = np.nan
    sums = ran_plainly(case, given, [2, 1])
    touched = np.flatnonzero(~np.isnan(gradient))
    assert touched.tolist() == list(range(16, 48))
    assert np.flatnonzero(sums).tolist() == [1, 2]


# Machine code


PACKED = {
    precision: re.compile(rf"v(?:f?n?m?(?:add|sub|mul)\d*|div|max|min|blendv){kind}\s[^\n]*%[yz]mm")
    for precision, kind in (("float32", "ps"), ("float64", "pd"))
}


@every_case
def test_machine_code_is_vectorised_and_complete(case, tmp_path):
    assembly, code = compiled(case.source, signature(case.kernel))
    if platform.machine() in ("x86_64", "AMD64"):
        assert PACKED[case.kernel.precision].search(assembly)
        # The entry calls the kernel, and LLVM fills a gradient that is 0 for all with memset, of
        # which it knows the meaning.
        fills = len(re.findall(r"\bmemset\b", assembly))
        assert len(re.findall(r"\bcall", assembly)) <= 1 + fills
    assert_complete(code, {"memset"}, tmp_path)


def test_a_loop_that_is_not_vectorised_would_be_noticed():
    (case, *_) = cases(onepass.catalogue()["mse_loss"])
    chained = case.source.replace("accumulate(part, loss)", "part * float32(0.5) + loss")
    assert chained != case.source
    assembly, _ = compiled(chained, signature(case.kernel))
    assert not PACKED["float32"].search(assembly)
