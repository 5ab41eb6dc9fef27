"""The benchmarks measure what their tables say."""

from dataclasses import asdict

import pytest
import torch
from torch.testing import assert_close

import onepass
from onepass.rowwise.linear_cross_entropy import cpu

pytest.importorskip("benchmarks", reason="a source distribution has none")

from benchmarks import harness, jax_rival, linear, machine, report, rivals
from benchmarks.harness import Effort, Row, plan
from benchmarks.processes import RivalError, process
from benchmarks.rivals import (
    CHUNKED,
    COMPILED,
    EAGER,
    FLOOR,
    HUGE,
    JAX,
    NAIVE,
    OURS,
    PRODUCTS,
    RIVALS,
)
from benchmarks.samples import HEADLINE, RECIPES

SMALL = "linear_cross_entropy, small"
COMPARED = [name for name, recipe in RECIPES.items() if recipe.function != linear.LOSS]
MACHINE = {
    "cpu": "a processor", "cores": 2, "threads": 2, "instructions": "AVX2", "system": "Linux",
    "huge_pages": "madvise", "python": "3.11", "versions": {"torch": "2.13"},
    "date": "2026-01-01", "bystanders": 0.01,
}  # fmt: skip
LINEAR = linear.Linear(
    layer=linear.LAYER,
    rounds=5,
    seconds={OURS: 4.4, EAGER: 6.0, PRODUCTS: 4.0},
    over_floor={OURS: 1.1, EAGER: 1.5, PRODUCTS: 1.0},
    bytes={OURS: 61_000_000, EAGER: 2_400_000_000},
    errors={CHUNKED: "RuntimeError: no"},
)


ROW = Row(
    loss="mse_loss",
    dtype="float32",
    size=HEADLINE,
    rounds=7,
    seconds={OURS: 0.005, EAGER: 0.03, JAX: 0.02},
    paired={OURS: 1.0, EAGER: 6.0, JAX: 4.0},
)


def linear_sample(rows=40):
    return RECIPES[SMALL].sample(rows * linear.SMALL_LAYER.classes, torch.float32)


def test_every_loss_has_a_recipe():
    assert onepass.catalogue().keys() <= RECIPES.keys()


@pytest.mark.parametrize("name", [*COMPARED, SMALL])
def test_samples_are_legal(name):
    sample = RECIPES[name].sample(1000, torch.float32)
    function = RECIPES[name].function or name
    ours, theirs = (
        getattr(module, function)(*sample.tensors, **sample.keywords)
        for module in (onepass.functional, torch.nn.functional)
    )
    assert ours.isfinite()
    assert_close(ours, theirs)


@pytest.mark.parametrize("name", COMPARED)
@pytest.mark.parametrize("size", [1, 1000])
def test_every_loss_has_a_floor_that_leaves_its_sample_alone(name, size):
    sample = RECIPES[name].sample(size, torch.float32)
    before = [tensor.detach().clone() for tensor in sample.tensors]
    RIVALS[FLOOR].prepare(name, sample)()
    for tensor, copy in zip(sample.tensors, before, strict=True):
        assert torch.equal(tensor, copy)


def test_the_cases_of_cross_entropy(monkeypatch):
    monkeypatch.setattr(harness, "OPTIONAL", ())
    found = {}
    for case in plan(COMPARED, quick=False, compiled=True):
        if case.size == HEADLINE or case.size in RECIPES[case.loss].sizes:
            assert set(case.rivals) == {OURS, EAGER, HUGE, COMPILED, FLOOR}
            found.setdefault(case.loss.partition(", ")[0], set()).add((case.loss, case.size))
    shapes = {
        tuple(tensor.shape for tensor in RECIPES[name].sample(size, torch.float16).tensors)
        for name, size in found.pop("cross_entropy")
    }
    assert shapes == {
        ((10, 5), (10,)),
        ((32, 10), (32,)),
        ((HEADLINE // 10, 10), (HEADLINE // 10,)),
        ((HEADLINE // 1000, 1000), (HEADLINE // 1000,)),
        ((HEADLINE // 1000, 1000), (HEADLINE // 1000, 1000)),
        ((HEADLINE // 32_000, 32_000), (HEADLINE // 32_000,)),
        ((HEADLINE // 128_256, 128_256), (HEADLINE // 128_256,)),
        ((8, 21, 256, 256), (8, 256, 256)),
    }
    assert found.keys() == onepass.catalogue().keys() - {"cross_entropy", linear.LOSS}


def test_jax_takes_part_in_float32_alone(monkeypatch):
    monkeypatch.setattr(harness, "OPTIONAL", (JAX,))
    for case in plan(COMPARED, quick=False, compiled=True):
        assert (JAX in case.rivals) == (case.dtype == "float32")


def test_jax_takes_part_where_it_is_installed():
    entrants = plan(["mse_loss"], quick=True, compiled=False)[0].rivals
    for names in (entrants, linear.ENTRANTS):
        assert (JAX in names) == jax_rival.INSTALLED
    for package in jax_rival.PACKAGES:
        assert (package in machine.machine()["versions"]) == jax_rival.INSTALLED


@pytest.mark.parametrize("value, gradient, wrong", [
    (1.0, 1.0, None), (1.00001, 0.99999, None),
    (1.001, 1.0, "value"), (1.0, 0.999, "gradient"), (1.0, float("nan"), "gradient"),
])  # fmt: skip
def test_who_computes_something_else_is_no_rival(value, gradient, wrong):
    sample = RECIPES["gaussian_nll_loss"].sample(1000, torch.float32)
    theirs = torch.nn.functional.gaussian_nll_loss(*sample.tensors)
    first, last = torch.autograd.grad(theirs, sample.leaves)
    found = theirs.detach() * value, [first, last * gradient]
    if wrong is None:
        jax_rival.compare("gaussian_nll_loss", sample, *found)
    else:
        with pytest.raises(ArithmeticError, match=f"another {wrong} than ours"):
            jax_rival.compare("gaussian_nll_loss", sample, *found)


def test_optax_losses_are_of_the_catalogue():
    assert jax_rival.OPTAX.keys() <= RECIPES.keys()


def test_all_ways_of_linear_cross_entropy_give_the_same_gradients():
    gradients = {}
    for name in (OURS, EAGER, CHUNKED, NAIVE):
        sample = linear_sample()
        RIVALS[name].prepare(SMALL, sample)()
        gradients[name] = [leaf.grad for leaf in sample.leaves]
    assert all(len(found) == 2 for found in gradients.values())
    for found in gradients.values():
        assert_close(found, gradients[EAGER], rtol=1e-4, atol=1e-7)


def test_the_floor_of_linear_cross_entropy_is_three_products(monkeypatch):
    buffers = []

    def recorded(like):
        buffers.append(torch.full_like(like, torch.nan, requires_grad=False))
        return buffers[-1]

    sample = linear_sample(rows=40)
    input, weight = (leaf.detach() for leaf in sample.leaves)
    monkeypatch.setattr(cpu, "CHUNK", 16 * weight.shape[0] * 4)
    monkeypatch.setattr(rivals, "_reused_buffer", recorded)
    step = RIVALS[PRODUCTS].prepare(SMALL, sample)
    step()
    step()  # starts from nothing, too
    by_input, by_weight, logits = buffers
    whole = input @ weight.t()
    assert logits.shape == (16, 5000)
    assert_close(by_input, whole @ weight, rtol=1e-3, atol=1e-3)
    assert_close(by_weight, whole.t() @ input, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [0, 1, 1000, HEADLINE])
def test_buffers_of_the_floor_start_at_a_cache_line(size):
    buffer = rivals._reused_buffer(torch.empty(size))
    assert buffer.shape == (size,)
    assert buffer.data_ptr() % 64 == 0


def test_the_table_of_linear_cross_entropy():
    text = report.section({linear.LOSS: asdict(LINEAR) | {"machine": MACHINE}})
    conditions, what, table = text.split("\n\n")
    assert conditions.startswith("Measured 2026-01-01 on one machine: a processor")
    assert "three matrix products" in what
    head, _, *lines = table.splitlines()
    assert "4,096 rows, 512 features, 50,000 classes" in head
    assert lines == [
        "| onepass | 4.4 s | 1.1x | 61.0 MB |",
        "| torch | 6 s | 1.5x | 2400.0 MB |",
        "| floor | 4 s | 1x |  |",
        "| torch, chunked | failed |  |  |",
    ]


@pytest.mark.parametrize("measured", [True, False])
def test_jax_has_a_column_if_it_was_measured(measured):
    row = asdict(ROW)
    if not measured:
        del row["seconds"][JAX], row["paired"][JAX]
    text = report.section({
        "machine": MACHINE, "rows": [row], "import_seconds": 0.05, "first_calls": {},
        "peaks": [{"loss": "mse_loss", "size": 10, "bytes": {OURS: 1, EAGER: 1}}],
    })  # fmt: skip
    assert ("Of optax are `mse_loss`, `huber_loss`" in text) == measured
    assert ("| faster than torch | faster than JAX |" in text) == measured
    assert ("| `mse_loss` | 5 ms | 6x | 4x |  |" in text) == measured
    assert ("| 8,388,608 | 6x | 6x (`mse_loss`) |  | 4x |" in text) == measured
    assert ("JAX" in text) == measured


@pytest.mark.parametrize("optional", [(), (JAX,)])
def test_the_terminal_has_a_column_for_jax_where_it_is_installed(optional, monkeypatch):
    monkeypatch.setattr(report, "OPTIONAL", optional)
    heads = [column.header for column in report.live_table().columns]
    assert len(report.live_cells(ROW)) == len(heads)
    assert ("JAX" in heads) == bool(optional) == ("4x" in report.live_cells(ROW))


@pytest.mark.parametrize("date, times", [("2026-01-01", 1), ("2026-01-02", 2)])
def test_conditions_are_said_once_if_they_are_the_same(date, times):
    compared = {
        "machine": MACHINE, "rows": [], "import_seconds": 0.05, "first_calls": {},
        "peaks": [{"loss": "l1_loss", "size": 10, "bytes": {OURS: 1, EAGER: 1}}],
    }  # fmt: skip
    alone = asdict(LINEAR) | {"machine": MACHINE | {"date": date}}
    assert report.section(compared | {linear.LOSS: alone}).count("Measured ") == times


def test_a_part_that_is_not_measured_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    report.save("trial", {"rows": [1], "machine": {"bystanders": 0.01}})
    report.save("trial", {linear.LOSS: {"rounds": 5, "machine": {"bystanders": 0.2}}})
    found = report.load("trial")
    assert found["rows"] == [1]
    assert found[linear.LOSS]["rounds"] == 5
    assert report.bystanders(found) == 0.2
    report.save("trial", {"rows": [2], "machine": {"bystanders": None}})
    assert report.load("trial")["rows"] == [2]
    assert report.load("trial")[linear.LOSS]["rounds"] == 5


@pytest.mark.slow
def test_processes_measure_linear_cross_entropy(monkeypatch):
    monkeypatch.setattr(linear, "ENTRANTS", (OURS, PRODUCTS))
    monkeypatch.setattr(linear, "_EFFORT", Effort(seconds=0, fewest=3, most=3, warm_up=False))
    found = linear.measure(quick=True)
    assert not found.errors
    assert found.rounds == 3
    assert found.over_floor[PRODUCTS] == 1.0
    assert found.seconds.keys() == {OURS, PRODUCTS}
    assert found.bytes.keys() == {OURS}


# in a process of its own: JAX warns of every fork after it
@pytest.mark.slow
@pytest.mark.skipif(not jax_rival.INSTALLED, reason="JAX or optax is not installed")
def test_jax_computes_what_we_compute():
    errors = {}
    with process(JAX) as worker:
        for name in [*COMPARED, SMALL]:
            for size in (1, 1000):
                try:
                    worker.ask("prepare", loss=name, dtype="float32", size=size)
                    assert worker.ask("turn", warm_up=True) > 0
                except RivalError as error:
                    errors[name, size] = str(error)
    assert not errors
