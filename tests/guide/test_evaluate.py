from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
import torch

import onepass
import onepass.functional as F
from onepass.errors import DomainError, FileError, ParameterError, ShapeError
from onepass.guide import evaluate as evaluation
from onepass.guide.evaluate import Data, evaluate
from onepass.guide.files import Column, Stack, open_file

ROWS = 500
REDUCTIONS = ("mean", "sum", "batchmean")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(evaluation, "BLOCK", 3000)  # bytes: many blocks, the last one shorter


@pytest.fixture
def source():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def stacks(tmp_path):
    """Writes tensors to a file each, and gives where they are."""

    def stacks(**tensors):
        found = {}
        for name, tensor in tensors.items():
            np.save(tmp_path / f"{name}.npy", tensor.numpy())
            found[name] = Stack((open_file(tmp_path / f"{name}.npy").only_column(),))
        return found

    return stacks


def normal(source, *shape):
    return torch.randn(shape, generator=source)


def uniform(source, *shape):
    return torch.rand(shape, generator=source)


def classes(source, *shape):
    return torch.randint(5, shape, generator=source)


def signs(source, *shape):
    return 2.0 * torch.randint(2, shape, generator=source) - 1


def ignored(source, *shape):
    found = classes(source, *shape)
    found[::3] = -100
    return found


CASES = {
    "l1_loss": {"input": (normal, 3), "target": (normal, 3)},
    "mse_loss": {"input": (normal,), "target": (normal,)},
    "huber_loss": {"input": (normal,), "target": (normal,)},
    "smooth_l1_loss": {"input": (normal, 2, 2), "target": (normal, 2, 2)},
    "gaussian_nll_loss": {"input": (normal, 3), "target": (normal, 3), "var": (uniform, 3)},
    "poisson_nll_loss": {"input": (normal,), "target": (classes,)},
    "kl_div": {"input": (normal, 4), "target": (uniform, 4)},
    "binary_cross_entropy": {"input": (uniform,), "target": (uniform,)},
    "binary_cross_entropy_with_logits": {"input": (normal, 4), "target": (uniform, 4)},
    "cross_entropy": {"input": (normal, 5), "target": (ignored,)},
    "nll_loss": {"input": (normal, 5, 2), "target": (ignored, 2)},
    "multilabel_soft_margin_loss": {"input": (normal, 5), "target": (uniform, 5)},
    "soft_margin_loss": {"input": (normal,), "target": (signs,)},
    "multi_margin_loss": {"input": (normal, 5), "target": (classes,)},
    "margin_ranking_loss": {"input1": (normal,), "input2": (normal,), "target": (signs,)},
    "hinge_embedding_loss": {"input": (uniform,), "target": (signs,)},
    "cosine_embedding_loss": {"input1": (normal, 4), "input2": (normal, 4), "target": (signs,)},
    "triplet_margin_loss": dict.fromkeys(("anchor", "positive", "negative"), (normal, 4)),
    "triplet_margin_with_distance_loss": dict.fromkeys(
        ("anchor", "positive", "negative"), (normal, 4)
    ),
}


def drawn(loss, source):
    return {name: draw(source, ROWS, *axes) for name, (draw, *axes) in CASES[loss].items()}


def whole(loss, reduction, *, weights=None, **given):
    """The loss of the whole tensors in float64."""
    wide = {n: t.double() if torch.is_tensor(t) and t.is_floating_point() else t
            for n, t in {**given, **(weights or {})}.items()}  # fmt: skip
    return getattr(F, loss)(**wide, reduction=reduction)


def assert_same(total, expected):
    for reduction in REDUCTIONS:
        assert total.reduced(reduction) == pytest.approx(expected(reduction).item(), rel=2e-6)


def test_every_loss_has_a_case():
    assert {*CASES, "linear_cross_entropy"} == set(onepass.catalogue())


@pytest.mark.filterwarnings("ignore:.*'mean' divides")
@pytest.mark.parametrize("loss", CASES)
def test_blocks_add_up_to_the_whole(loss, source, stacks):
    tensors = drawn(loss, source)
    (total,) = evaluate(loss, Data(stacks(**tensors)))
    assert total.rows == ROWS
    assert_same(total, lambda reduction: whole(loss, reduction, **tensors))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*'mean' divides")
@pytest.mark.parametrize("loss", CASES)
def test_weights_and_mask_add_up_to_the_whole(loss, source, stacks):
    tensors = drawn(loss, source)
    files = stacks(**tensors, sample_weight=uniform(source, ROWS),
                   mask=torch.arange(ROWS) % 4 != 0)  # fmt: skip
    weight, mask = files.pop("sample_weight"), files.pop("mask")
    (total,) = evaluate(loss, Data(files, sample_weight=weight, mask=mask))
    axes = whole(loss, "none", **tensors).dim()
    shaped = {
        "sample_weight": torch.from_numpy(np.load(weight.columns[0].file.path)),
        "mask": torch.arange(ROWS) % 4 != 0,
    }
    shaped = {name: row.reshape(ROWS, *(1,) * (axes - 1)) for name, row in shaped.items()}
    assert_same(total, lambda reduction: whole(loss, reduction, weights=shaped, **tensors))


@pytest.mark.parametrize("options", [
    {"weight": torch.tensor([0.1, 2.0, 0.0, 1.0, 3.0])},
    {"ignore_index": 2},
    {"weight": torch.tensor([0.1, 2.0, 5.0, 1.0, 3.0]), "ignore_index": 1, "label_smoothing": 0.2},
], ids=["weight", "ignored", "logical_and"])  # fmt: skip
def test_class_weights_and_ignored_rows_count_as_in_the_whole(options, source, stacks):
    tensors = {"input": normal(source, ROWS, 5), "target": classes(source, ROWS)}
    (total,) = evaluate("cross_entropy", Data(stacks(**tensors)), options)
    assert_same(total, lambda reduction: whole("cross_entropy", reduction, **tensors, **options))


def test_class_probabilities_count_rows(source, stacks):
    tensors = {"input": normal(source, ROWS, 5), "target": normal(source, ROWS, 5).softmax(1)}
    options = {"weight": torch.tensor([0.1, 2.0, 0.0, 1.0, 3.0])}
    (total,) = evaluate("cross_entropy", Data(stacks(**tensors)), options)
    assert_same(total, lambda reduction: whole("cross_entropy", reduction, **tensors, **options))


def test_a_weight_that_counts(source, stacks):
    tensors = drawn("l1_loss", source)
    options = {"weight": torch.tensor([0.5, 0.0, 3.0])}
    (total,) = evaluate("l1_loss", Data(stacks(**tensors)), options)
    assert_same(total, lambda reduction: whole("l1_loss", reduction, **tensors, **options))


def test_a_layer_belongs_to_all_rows(source, stacks):
    tensors = {"input": normal(source, ROWS, 3), "target": ignored(source, ROWS)}
    layer = {"linear_weight": normal(source, 5, 3), "linear_bias": normal(source, 5)}
    (total,) = evaluate("linear_cross_entropy", Data(stacks(**tensors), layer))
    for reduction in ("mean", "sum"):
        expected = whole("linear_cross_entropy", reduction, **tensors, **layer).item()
        assert total.reduced(reduction) == pytest.approx(expected, rel=2e-6)


def test_groups_are_those_of_their_rows_alone(source, stacks):
    tensors = {"input": normal(source, ROWS, 5), "target": ignored(source, ROWS)}
    group = torch.randint(-3, 4, (ROWS,), generator=source)
    files = stacks(**tensors, group=group)
    data = Data({n: files[n] for n in tensors}, group=files["group"].columns[0])
    totals = evaluate("cross_entropy", data)
    assert [total.group for total in totals] == list(range(-3, 4))
    for total in totals:
        rows = {name: tensor[group == total.group] for name, tensor in tensors.items()}
        assert total.rows == len(rows["target"])
        assert_same(total, lambda reduction, rows=rows: whole("cross_entropy", reduction, **rows))


def test_what_is_masked_may_be_anything(source, stacks):
    tensors = {"input": normal(source, ROWS, 5), "target": classes(source, ROWS)}
    mask = torch.arange(ROWS) % 7 != 0
    kept = {name: tensor[mask].clone() for name, tensor in tensors.items()}
    tensors["input"][~mask] = torch.nan
    tensors["target"][~mask] = 77
    files = stacks(**tensors, mask=mask)
    (total,) = evaluate("cross_entropy", Data(files, mask=files.pop("mask")))
    assert_same(total, lambda reduction: whole("cross_entropy", reduction, **kept))


def test_a_row_that_nothing_counts_for_has_no_mean(source, stacks):
    files = stacks(input=normal(source, ROWS), target=normal(source, ROWS), mask=torch.zeros(ROWS))
    (total,) = evaluate("mse_loss", Data(files, mask=files.pop("mask")))
    assert total.sum == 0
    assert np.isnan(total.reduced("mean"))


@pytest.mark.parametrize("axes", [(), (3,)])
def test_the_unreduced_loss_is_written(source, stacks, tmp_path, axes):
    tensors = {name: normal(source, ROWS, *axes) for name in ("input", "target")}
    path = tmp_path / "loss.npy"
    evaluate("huber_loss", Data(stacks(**tensors)), {"delta": 0.3}, path)
    expected = F.huber_loss(**tensors, delta=0.3, reduction="none")
    np.testing.assert_array_equal(np.load(path), expected.numpy())
    assert {p.name for p in tmp_path.iterdir()} == {"input.npy", "target.npy", "loss.npy"}


def test_an_output_harms_no_other_file(source, stacks, tmp_path):
    data = Data(stacks(input=normal(source, ROWS), target=normal(source, ROWS)))
    for name in ("loss.npy.part", "theirs.npy"):
        (tmp_path / name).write_text("theirs")
    (tmp_path / "loss.npy").symlink_to("theirs.npy")
    evaluate("mse_loss", data, output=tmp_path / "loss.npy")
    assert len(np.load(tmp_path / "loss.npy")) == ROWS
    assert not (tmp_path / "loss.npy").is_symlink()
    for name in ("loss.npy.part", "theirs.npy"):
        assert (tmp_path / name).read_text() == "theirs"


def test_two_that_write_one_output_leave_that_of_one(source, stacks, tmp_path):
    data = Data(stacks(input=normal(source, ROWS), target=normal(source, ROWS)))
    output, barrier = tmp_path / "loss.npy", Barrier(2)

    def late(rows):  # behind each block
        if rows and not barrier.broken:
            barrier.wait(30)

    with ThreadPoolExecutor(2) as both:
        losses = ("mse_loss", "l1_loss")
        list(both.map(lambda loss: evaluate(loss, data, {}, output, late), losses))
    tensors = [np.load(tmp_path / f"{name}.npy") for name in ("input", "target")]
    error = tensors[0] - tensors[1]
    written = np.load(output)
    assert any(np.allclose(written, loss) for loss in (error * error, abs(error)))


def test_a_failure_leaves_no_output(stacks, tmp_path):
    files = stacks(input=torch.rand(ROWS), target=torch.zeros(ROWS - 1))
    with pytest.raises(FileError, match="differ in length"):
        evaluate("mse_loss", Data(files), output=tmp_path / "loss.npy")
    assert not list(tmp_path.glob("loss*"))


def test_the_output_may_not_be_an_input(source, stacks, tmp_path):
    tensors = {name: normal(source, ROWS) for name in ("input", "target")}
    files = stacks(**tensors)
    with pytest.raises(ParameterError, match=r"input\.npy is read"):
        evaluate("mse_loss", Data(files), output=tmp_path / "input.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "input.npy"), tensors["input"])


def test_an_output_of_another_kind(source, stacks, tmp_path):
    files = stacks(input=normal(source, ROWS), target=normal(source, ROWS))
    with pytest.raises(ParameterError, match="must be an NPY file"):
        evaluate("mse_loss", Data(files), output=tmp_path / "loss.csv")


def test_progress_counts_all_rows(source, stacks):
    files = stacks(input=normal(source, ROWS), target=normal(source, ROWS))
    done = []
    evaluate("mse_loss", Data(files), progress=done.append)
    assert len(done) > 1
    assert sum(done) == ROWS


def test_an_illegal_value_is_told_with_its_place_in_the_file(source, stacks):
    target = classes(source, ROWS)
    target[321] = 5
    files = stacks(input=normal(source, ROWS, 5), target=target)
    with pytest.raises(DomainError) as refused:
        evaluate("cross_entropy", Data(files))
    told = re.search(r"got 5 at \((\d+),\).*count from row (\d+)", str(refused.value))
    assert told is not None
    assert sum(map(int, told.groups())) == 321


def test_a_row_without_a_loss_of_its_own_is_refused(source, stacks):
    files = stacks(input=normal(source, ROWS), target=uniform(source, ROWS))
    with pytest.raises(ShapeError, match="several columns"):
        evaluate("cross_entropy", Data(files))


@pytest.mark.parametrize("options,part", [
    ({"dleta": 1.0}, "Did you mean `delta`"),
    ({"delta": -1.0}, "positive"),
    ({"reduction": "sum"}, "no option"),
    ({"mask": torch.ones(3)}, "no option"),
])  # fmt: skip
def test_options_that_there_are_not(options, part, source, stacks):
    files = stacks(input=normal(source, ROWS), target=normal(source, ROWS))
    with pytest.raises(ParameterError, match=part):
        evaluate("huber_loss", Data(files), options)


def test_too_many_groups(source, stacks, monkeypatch):
    monkeypatch.setattr(evaluation, "MOST_GROUPS", 10)
    files = stacks(input=normal(source, ROWS), target=normal(source, ROWS), by=torch.arange(ROWS))
    group: Column = files.pop("by").columns[0]
    with pytest.raises(FileError, match="more than 10 groups"):
        evaluate("mse_loss", Data(files, group=group))


PEAK = """
import resource, sys
from onepass.guide.evaluate import Data, evaluate
from onepass.guide.files import Stack, open_file

def peak(folder):
    files = {n: open_file(f"{folder}/{n}{sys.argv[2]}") for n in ("input", "target")}
    data = Data({n: Stack((file.only_column(),)) for n, file in files.items()})
    evaluate("mse_loss", data)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

small = peak(sys.argv[1] + "/small")
print(peak(sys.argv[1] + "/large") - small)
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors", ".parquet"])
def test_files_larger_than_memory_take_little_of_it(tmp_path, suffix):
    """A pair of 400 MB; what the interpreter and the libraries take is in the small pair's peak."""
    for folder, rows in {"small": 1000, "large": 100_000_000}.items():
        (tmp_path / folder).mkdir()
        for name in ("input", "target"):
            write_zeros(tmp_path / folder / f"{name}{suffix}", rows)
    command = [sys.executable, "-c", PEAK, str(tmp_path), suffix]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(run.stdout) < 200, "MB"


def write_zeros(path, rows):
    zeros = np.zeros(rows, "f4")
    if path.suffix == ".npy":
        np.save(path, zeros)
    elif path.suffix == ".npz":
        np.savez(path, x=zeros)
    elif path.suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file({"x": zeros}, path)
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table({"x": zeros})
        pq.write_table(table, path, use_dictionary=False, compression="none")
