from __future__ import annotations

import inspect
import json
import math
import sys
from dataclasses import replace
from importlib import metadata

import pytest
import torch
from rich.console import Console
from torch import nn

import onepass
from onepass import functional
from onepass.guide import demo
from onepass.guide.demo import data, known, race, report, steps, tasks, training
from onepass.guide.demo.task import Metric
from onepass.guide.demo.tasks import classes, comparisons, parts, regression

LOSSES = list(onepass.catalogue())
SMALL = (20, 10)


@pytest.fixture(autouse=True)
def small_race(monkeypatch):
    monkeypatch.setattr(race, "SHAPE", SMALL)
    monkeypatch.setattr(race, "PAIRS", 2)


@pytest.fixture(scope="module")
def results():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(race, "SHAPE", SMALL)
        patch.setattr(race, "PAIRS", 2)
        yield {name: demo.run([name])[0] for name in LOSSES}


def rendered(width, *shown):
    console = Console(width=width, color_system=None, force_terminal=True)
    with console.capture() as capture:
        console.print(*shown)
    return capture.get()


# Tasks


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_of_the_catalogue_has_a_task(name):
    assert name in tasks.TASKS


@pytest.mark.parametrize("name", LOSSES)
def test_every_step_is_that_of_torch(results, name):
    assert results[name].difference.agrees, results[name].difference


@pytest.mark.parametrize("name", LOSSES)
def test_training_ends_as_with_torch(results, name):
    assert results[name].learns_the_same, results[name].metric_difference
    assert results[name].ours.before == results[name].theirs.before


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_falls(results, name):
    trajectory = torch.tensor(results[name].ours.trajectory)
    assert len(trajectory) == results[name].task.steps
    assert trajectory.isfinite().all()
    assert trajectory[-20:].mean() < trajectory[:20].mean()


@pytest.mark.parametrize("name", LOSSES)
def test_the_task_is_learned_and_the_rival_is_beaten(results, name):
    result = results[name]
    better = result.task.metric.beats
    assert better(result.ours.after, result.ours.before)
    assert (result.rival is None) == (result.task.rival is None)
    if result.rival:
        assert better(result.ours.after, result.rival.after)


@pytest.mark.parametrize("name", ["l1_loss", "huber_loss", "smooth_l1_loss"])
def test_robust_losses_are_shown_against_mse(name):
    rival = tasks.prepare(name).rival
    assert rival is not None
    assert isinstance(rival[1], nn.MSELoss)


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_held_out_is_trained_on(name):
    task = tasks.prepare(name)
    seen = {tuple(row) for row in task.train[0].tolist()}
    assert seen.isdisjoint(tuple(row) for row in task.held_out[0].tolist())


def test_a_loss_without_a_task_says_where_to_add_one():
    expected = r"no_loss has no task yet: add @task\('no_loss'\) in guide/demo/tasks$"
    with pytest.raises(LookupError, match=expected):
        tasks.prepare("no_loss")


@pytest.mark.parametrize(
    "better,value,other", [("higher", 2.0, 1.0), ("lower", 1.0, 2.0), (0.68, 0.7, 0.5)]
)
def test_metrics_know_which_way_is_better(better, value, other):
    metric = Metric("a metric", lambda model, batch: 0.0, better)
    assert metric.beats(value, other)
    assert not metric.beats(other, value)


def test_overlap_of_boxes():
    box = torch.tensor([[0.0, 0.0, 0.5, 0.5]])
    assert regression.overlap(box, box) == 1
    assert regression.overlap(box, box + 0.5) == 0
    assert regression.overlap(box, torch.tensor([[0.25, 0.0, 0.75, 0.5]])) == pytest.approx(1 / 3)


def test_auc_counts_ties_by_half():
    score = torch.tensor([3.0, 1.0, 1.0, 0.0])
    assert parts.auc(score, torch.tensor([True, True, False, False])) == 0.875


def test_accuracy():
    scores = torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 3.0], [4.0, 5.0]])
    assert parts.accuracy(nn.Identity(), (scores, torch.tensor([1, 0, 1, 0]))) == 0.75


def test_the_nearest_other_point_counts_not_the_point_itself():
    points = torch.tensor([[0.0], [1.0], [5.0], [5.5]])
    assert comparisons.nearest_alike(points, torch.tensor([0, 0, 1, 1])) == 1
    assert comparisons.nearest_alike(points, torch.tensor([0, 1, 1, 1])) == 0.5


def test_triplets_share_the_label_with_the_positive_alone():
    label = torch.tensor([0, 0, 1, 1, 1, 2, 2])
    anchor, positive, negative = data.triplets(label, 500)
    assert (label[anchor] == label[positive]).all()
    assert (anchor != positive).all()
    assert (label[anchor] != label[negative]).all()
    assert len(anchor.unique()) == len(label)


def test_sums_of_two_digits():
    first, second = torch.rand(2, 3, 10, generator=data.generator()).log_softmax(-1)
    total = classes.sum_log_probability(first, second).exp()
    expected = torch.zeros(3, 19)
    for a in range(10):
        for b in range(10):
            expected[:, a + b] += first[:, a].exp() * second[:, b].exp()
    torch.testing.assert_close(total, expected)


def test_damaged_images_lose_a_third_of_their_pixels():
    images = torch.rand(5, 64, generator=data.generator()) + 1
    features, which = classes.damaged(images, 1_000, 0)
    kept = features != 0
    assert torch.equal(features[kept], images[which][kept])
    assert kept.float().mean().item() == pytest.approx(2 / 3, abs=0.01)


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'onepass\[demo\]'"):
        data.load("wine")


# Training


def test_a_run_is_reproducible_and_leaves_the_callers_torch_as_it_was():
    task = replace(tasks.prepare("mse_loss"), steps=5)
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first = training.train(task, nn.MSELoss())
    assert torch.equal(torch.rand(3), expected)
    assert training.train(task, nn.MSELoss()) == first
    assert torch.get_num_threads() == threads


def test_twins_start_from_the_same_parameters_which_the_callers_seed_does_not_change():
    task = tasks.prepare("linear_cross_entropy")
    torch.manual_seed(0)
    theirs, ours = demo.twins(task)
    torch.manual_seed(1)
    again, _ = demo.twins(task)
    assert list(theirs.state_dict()) == list(ours.state_dict()) == ["linear.weight"]
    assert torch.equal(theirs.linear.weight, ours.linear.weight)
    assert torch.equal(theirs.linear.weight, again.linear.weight)


class Scaled(nn.MSELoss):
    """Has a parameter, which it shows to whoever keeps its copy."""

    copies = ()

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def __deepcopy__(self, memo):
        copied = Scaled()
        copied.load_state_dict(self.state_dict())
        Scaled.copies += (copied,)
        return copied

    def forward(self, input, target):
        return super().forward(self.scale * input, target)


def test_parameters_of_a_loss_are_trained_in_a_copy():
    task = replace(tasks.prepare("mse_loss"), steps=5)
    loss = Scaled()
    first, second = training.train(task, loss), training.train(task, loss)
    assert first == second
    assert loss.scale == 1
    assert all(copied.scale != 1 for copied in Scaled.copies)
    assert len(Scaled.copies) == 2


def test_a_layer_of_the_loss_may_predict():
    seen = []

    def predictor(loss, model):
        seen.append((loss, model))
        return nn.Sequential(model, loss.get_submodule("linear"))

    task = replace(tasks.prepare("linear_cross_entropy"), steps=2, predictor=predictor)
    theirs, _ = demo.twins(task)
    run = training.train(task, theirs)
    ((loss, model),) = seen
    assert not torch.equal(loss.linear.weight, theirs.linear.weight)
    features, target = task.held_out
    right = loss.linear(model(features)).argmax(-1) == target
    assert run.after == right.float().mean().item()


def test_the_run_reports_its_progress():
    seen = []
    demo.run(["mse_loss"], lambda loss, stage: seen.append((loss, stage)))
    assert seen == [("mse_loss", stage) for stage in demo.STAGES]


# Comparison


class Off(nn.MSELoss):
    """One per mille off."""

    def forward(self, input, target):
        return 1.001 * super().forward(input, target)


class ValueOff(nn.MSELoss):
    """One per mille off, with the right gradient."""

    def forward(self, input, target):
        loss = super().forward(input, target)
        return loss + 0.001 * loss.detach()


class GradientOff(nn.MSELoss):
    """The gradient is one per cent off, the value right: it trains as well as the right loss."""

    def forward(self, input, target):
        loss = super().forward(input, target)
        return loss + 0.01 * (loss - loss.detach())


class OffOnce(nn.MSELoss):
    """One step of all has another gradient."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, input, target):
        loss = super().forward(input, target)
        self.calls += 1
        return loss + 0.01 * (loss - loss.detach()) if self.calls == 7 else loss


class ValueIsNan(nn.MSELoss):
    """The value of one step is nan; all gradients are right."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, input, target):
        loss = super().forward(input, target)
        self.calls += 1
        return loss + math.nan if self.calls == 7 else loss


class GradientIsNan(nn.MSELoss):
    """The value of the first step is right, its gradient is nan."""

    def forward(self, input, target):
        if input.requires_grad:
            input.register_hook(lambda gradient: gradient * torch.tensor(math.nan))
        return super().forward(input, target)


class OtherSign(nn.MSELoss):
    """The gradient leads uphill."""

    def forward(self, input, target):
        loss = super().forward(input, target)
        return 2 * loss.detach() - loss


class OtherDivisor(nn.MSELoss):
    """The mean divides by one less than there are."""

    def forward(self, input, target):
        return super().forward(input, target) * input.numel() / (input.numel() - 1)


class Signed(nn.HuberLoss):
    """It forgets that a difference may be below -delta."""

    def forward(self, input, target):
        difference = input - target
        linear = self.delta * (difference - self.delta / 2)
        return torch.where(difference < self.delta, difference.square() / 2, linear).mean()


WRONG = [Off, ValueOff, GradientOff, OffOnce, ValueIsNan, GradientIsNan, OtherSign, OtherDivisor]


def compared(monkeypatch, theirs, ours, name="mse_loss"):
    monkeypatch.setattr(demo, "twins", lambda task: (theirs, ours))
    (result,) = demo.run([name])
    return result


@pytest.mark.parametrize("wrong", WRONG)
def test_a_loss_that_is_wrong_is_noticed(monkeypatch, wrong):
    result = compared(monkeypatch, nn.MSELoss(), wrong())
    assert not result.difference.agrees
    assert not result.agrees
    shown = rendered(80, report.table([result]), report.summary([result]))
    assert "apart ✗" in shown
    assert "✗ 0 of 1 losses" in shown


def test_a_signed_difference_is_noticed(monkeypatch):
    result = compared(monkeypatch, nn.HuberLoss(delta=0.5), Signed(delta=0.5), "huber_loss")
    assert not result.difference.agrees


def test_the_same_loss_is_not_apart_at_all(monkeypatch):
    result = compared(monkeypatch, nn.MSELoss(), nn.MSELoss())
    assert result.difference == steps.Difference(0.0, 0.0)
    assert result.metric_difference == 0
    assert result.agrees
    assert "identical ✓" in rendered(80, report.table([result]))


def test_value_and_gradient_are_told_apart(monkeypatch):
    value = compared(monkeypatch, nn.MSELoss(), ValueOff()).difference
    assert value.gradient == 0
    assert 1e-4 < value.value < 1e-3  # of 1 and the loss
    gradient = compared(monkeypatch, nn.MSELoss(), GradientOff()).difference
    assert gradient.value == 0
    assert gradient.gradient == pytest.approx(0.01, rel=1e-3)


def test_a_gradient_that_is_off_trains_as_well_and_only_the_steps_tell(monkeypatch):
    assert compared(monkeypatch, nn.MSELoss(), GradientOff()).learns_the_same


class ScaleOff(Scaled):
    """The gradient of its own parameter is one per cent off."""

    def __deepcopy__(self, memo):
        copied = ScaleOff()
        copied.load_state_dict(self.state_dict())
        return copied

    def forward(self, input, target):
        off = self.scale + 0.01 * (self.scale - self.scale.detach())
        return nn.functional.mse_loss(off * input, target)


def test_the_gradient_of_the_losss_own_parameters_counts(monkeypatch):
    right = compared(monkeypatch, Scaled(), Scaled())
    assert right.difference == steps.Difference(0.0, 0.0)
    wrong = compared(monkeypatch, Scaled(), ScaleOff())
    assert wrong.difference.value < steps.TOLERANCE < wrong.difference.gradient


def test_a_parameter_without_a_gradient_has_zeros():
    parameter = nn.Parameter(torch.ones(2))
    assert torch.equal(steps.gradient(parameter), torch.zeros(2))


def test_the_scale_of_a_loss_does_not_change_how_far_gradients_are_apart():
    a = [torch.tensor([1.0, 2.0]), torch.tensor([[-4.0]])]
    b = [torch.tensor([1.0, 2.5]), torch.tensor([[-4.0]])]
    assert steps.of_gradients(a, b) == 0.125
    for scale in (2.0**-20, 2.0**20):
        assert steps.of_gradients(*([scale * part for part in parts] for parts in (a, b))) == 0.125


def test_gradients_that_vanish():
    zero, one, broken = torch.zeros(2), torch.ones(2), torch.tensor([0.0, math.nan])
    assert steps.of_gradients([zero], [zero]) == 0
    assert steps.of_gradients([zero], [one]) == math.inf
    assert math.isnan(steps.of_gradients([zero], [broken]))
    assert math.isnan(steps.of_gradients([broken], [zero]))


@pytest.mark.parametrize("numbers", [[math.nan, 1.0], [1.0, math.nan], [0.0, math.nan, 1.0]])
def test_nan_is_the_largest(numbers):
    assert math.isnan(steps.largest(numbers))


def test_nan_does_not_agree(results):
    result = results["mse_loss"]
    assert result.agrees
    for broken in (steps.Difference(math.nan, 0.0), steps.Difference(0.0, math.nan)):
        assert not broken.agrees
        assert not replace(result, difference=broken).agrees
    trajectory, before = result.ours.trajectory, result.ours.before
    for run in (training.Run(trajectory, before, math.nan), training.Run([], math.nan, math.nan)):
        assert not replace(result, ours=run).agrees
        assert not replace(result, theirs=run).agrees


def test_metrics_differ_by_a_share_of_what_training_gains():
    def run(before, after):
        return training.Run([], before, after)

    assert training.metric_difference(run(0.5, 0.9), run(0.5, 0.8)) == pytest.approx(0.25)
    assert training.metric_difference(run(80.0, 60.0), run(80.0, 61.0)) == 0.05
    assert training.metric_difference(run(0.5, 0.5), run(0.5, 0.5)) == 0
    assert training.metric_difference(run(0.5, 0.5), run(0.5, 0.6)) == math.inf


# Known numbers


@pytest.mark.parametrize("row", known.KNOWN, ids=str)
def test_known_numbers(row):
    checked = known.compute(row)
    assert checked.agrees, checked


def test_known_numbers_are_those_of_torch(monkeypatch):
    monkeypatch.setattr(known, "functional", torch.nn.functional)
    assert all(row.agrees for row in known.check())


def test_a_known_number_that_is_off_is_noticed(monkeypatch):
    def off(input, target, reduction="mean"):
        return functional.l1_loss(input, target, reduction=reduction) * (1 + 1e-4)

    monkeypatch.setattr(known, "functional", type("Functional", (), {"l1_loss": staticmethod(off)}))
    (row,) = known.check(["l1_loss"])
    assert not row.agrees
    text = rendered(100, report.known_numbers([row]))
    assert "✗ 0 of 1 known numbers agree to 2e-05" in text
    assert "l1_loss(): mean 1.13" in text


# Race


@pytest.mark.parametrize("name", LOSSES)
def test_race_inputs_are_legal_and_only_what_a_model_makes_is_trained(name):
    task = tasks.prepare(name)
    theirs, ours = demo.twins(task)
    tensors = task.inputs(SMALL, data.generator())
    assert ours(*tensors).isfinite()
    names = inspect.signature(theirs.forward).parameters
    of_a_model = "input log_input input1 input2 var anchor positive negative"
    for tensor, argument in zip(tensors, names, strict=True):
        assert tensor.requires_grad == (argument in of_a_model.split()), argument


def test_laps_alternate():
    order = []

    class Logged(nn.MSELoss):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def forward(self, input, target):
            order.append(self.name)
            return super().forward(input, target)

    outcome = race.race(Logged("A"), Logged("B"), race.regression)
    assert "".join(order) == "ABABAB"  # the first two warm up
    assert len(outcome.theirs) == len(outcome.ours) == race.PAIRS
    assert outcome.elements == 200


def test_every_lap_makes_its_gradients_anew():
    loss = Scaled()
    tensors = race.regression(SMALL, data.generator())
    race.lap(loss, tensors)
    first = tensors[0].grad, loss.scale.grad
    race.lap(loss, tensors)
    assert torch.equal(tensors[0].grad, first[0])
    assert torch.equal(loss.scale.grad, first[1])


def test_speedup_is_the_median_ratio():
    assert race.Race(1, [2.0, 4.0, 900.0], [1.0, 1.0, 1.0]).speedup == 4


# Report


@pytest.mark.parametrize("width", [80, 100])
def test_the_table_fits_and_tells_everything(results, width):
    shown = list(results.values())
    text = rendered(width, report.table(shown), report.summary(shown))
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for name, result in results.items():
        assert name in text or all(line in text for line in report.fold(name).splitlines())
        assert f"{result.ours.after:{result.task.metric.format}}" in text
    assert f"{len(shown)} of {len(shown)} losses train as with torch.nn" in text


def test_a_training_that_ends_otherwise_is_marked(results):
    result = results["mse_loss"]
    ours = replace(result.ours, after=result.theirs.before)
    result = replace(result, ours=ours)
    text = rendered(80, report.table([result]))
    assert "apart ✗" in text
    assert f"torch.nn's metric {result.theirs.after:.1%}" in text
    assert "✗ 0 of 1 losses" in rendered(80, report.summary([result]))


def test_what_was_compared_is_said(results):
    right = results["mse_loss"]
    result = replace(right, difference=steps.Difference(2e-7, 3e-7), ours=right.theirs)
    table = rendered(80, report.table([result]))
    for line in ("value and gradient", "of every step", "3e-07 apart ✓"):
        assert line in table
    summary = " ".join(rendered(80, report.summary([result])).split())
    assert "value and gradient of every step differ by at most 3e-07" in summary
    assert "the metrics differ by at most 0.0% of what training gains" in summary


def test_sparkline():
    assert report.sparkline([float(x) for x in range(8, 0, -1)], 8) == "█▇▆▅▄▃▂▁"
    assert report.sparkline([1.0] * 100, 5) == "▁" * 5
    assert len(report.sparkline([2.0, 1.0], 20)) == 2
    assert report.sparkline([2.0, math.nan, 1.0, math.inf], 4) == "█·▁·"
    assert report.sparkline([math.nan] * 9, 3) == "···"


def test_long_names_are_folded_before_underscores():
    lines = report.fold("binary_cross_entropy_with_logits").split("\n")
    assert lines == ["binary_cross_entropy", "_with_logits"]


def test_arguments_are_written_as_json_knows_them():
    assert report.plain(torch.tensor([9.0])) == [9.0]
    assert report.plain(comparisons.cosine_distance) == "cosine_distance"
    assert report.plain(0.5) == 0.5


def test_the_json_file_holds_everything(results, tmp_path):
    path = tmp_path / "demo.json"
    report.write(path, known.check(), list(results.values()))
    written = json.loads(path.read_text(encoding="utf-8"))
    assert [row["loss"] for row in written["losses"]] == LOSSES
    assert len(written["known_numbers"]) == len(known.KNOWN)
    assert written["versions"]["torch"] == metadata.version("torch")
    assert written["machine"]["threads"] == torch.get_num_threads()
    for row in written["losses"]:
        points = len(row["onepass"]["trajectory"])
        assert points == len(row["torch"]["trajectory"])
        assert report.KEPT // 2 <= points <= report.KEPT
        result = results[row["loss"]]
        assert row["agrees"] is True
        assert row["difference"] == {
            "value": result.difference.value,
            "gradient": result.difference.gradient,
            "metric": result.metric_difference,
        }
        assert row["torch"]["metric_after"] == result.theirs.after
        assert row["onepass"]["metric_after"] == result.ours.after
        assert row["race"]["speedup"] > 0
