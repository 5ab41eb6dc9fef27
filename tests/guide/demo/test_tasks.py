"""Every loss has a task, which it learns, on data that are held apart."""

import sys

import pytest
import torch
from torch import nn

import onepass
from onepass.guide.demo import data, tasks
from onepass.guide.demo.task import Metric
from onepass.guide.demo.tasks import classes, comparisons, parts, regression

LOSSES = list(onepass.catalogue())


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
