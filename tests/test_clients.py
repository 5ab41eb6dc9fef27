"""Programs of others, which choose by a loss's type, derive from it or call it in ways of their
own, do with our losses what they do with torch's. One that is not installed is skipped and counted.
"""

import copy
import warnings

import numpy as np
import pytest
import torch

import onepass
from onepass import nn

SOURCE = np.random.default_rng(0)
ROWS = SOURCE.normal(size=(120, 4)).astype(np.float32)
CLASS = (ROWS @ SOURCE.normal(size=(4, 3))).argmax(1).astype(np.int64)


class Net(torch.nn.Module):
    """Four numbers to three, or to one, and what comes behind."""

    def __init__(self, outputs=3, last=None):
        super().__init__()
        self.layer, self.last = torch.nn.Linear(4, outputs), last or torch.nn.Identity()

    def forward(self, x):
        return self.last(self.layer(x).squeeze(-1))


def trained(kind, criterion, target, **net):
    """What a skorch net of this kind predicts after some epochs."""
    skorch = pytest.importorskip("skorch")
    torch.manual_seed(0)
    options = {f"module__{name}": value for name, value in net.items()}
    estimator = getattr(skorch, kind)(
        Net, criterion=criterion, max_epochs=5, lr=0.1, verbose=0, train_split=None, **options
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of skorch's own
        estimator.fit(ROWS, target)
        probabilities = estimator.predict_proba(ROWS) if "Class" in kind else None
        return estimator.predict(ROWS), probabilities, estimator.history[:, "train_loss"]


@pytest.mark.parametrize(
    "kind, name, target, net",
    [
        ("NeuralNetClassifier", "CrossEntropyLoss", CLASS, {}),
        ("NeuralNetClassifier", "NLLLoss", CLASS, {"last": torch.nn.Softmax(dim=-1)}),
        ("NeuralNetBinaryClassifier", "BCEWithLogitsLoss", (CLASS == 1).astype(np.float32),
         {"outputs": 1}),
        ("NeuralNetBinaryClassifier", "BCELoss", (CLASS == 1).astype(np.float32),
         {"outputs": 1, "last": torch.nn.Sigmoid()}),
        ("NeuralNetRegressor", "MSELoss", ROWS[:, :1], {"outputs": 1, "last": torch.nn.Unflatten(
            0, (-1, 1))}),
        ("NeuralNetRegressor", "HuberLoss", ROWS[:, :1], {"outputs": 1, "last":
            torch.nn.Unflatten(0, (-1, 1))}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_skorch_trains_and_predicts_as_with_torch(kind, name, target, net):
    ours, theirs = getattr(nn, name), getattr(torch.nn, name)
    mine = trained(kind, ours, target, **copy.deepcopy(net))
    other = trained(kind, theirs, target, **copy.deepcopy(net))
    np.testing.assert_allclose(mine[2], other[2], rtol=1e-4)
    if mine[1] is not None:
        np.testing.assert_allclose(mine[1], other[1], atol=1e-4)
        np.testing.assert_allclose(mine[1].sum(1), 1, atol=1e-5)  # probabilities, not logits
    np.testing.assert_allclose(mine[0], other[0], atol=1e-3)


def test_metric_learning_takes_our_losses_for_torchs():
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    wrapped = []
    embeddings = torch.randn(12, 4)
    labels = torch.arange(12) % 3
    for home in (nn, torch.nn):
        torch.manual_seed(0)
        loss = losses.CrossBatchMemory(losses.ContrastiveLoss(), 4, memory_size=12)
        leaf = embeddings.clone().requires_grad_()
        value = loss(leaf, labels) + home.CrossEntropyLoss()(leaf[:, :3], labels)
        value.backward()
        wrapped.append((value.detach(), leaf.grad))
    torch.testing.assert_close(wrapped[0], wrapped[1])


def test_accumulated_in_an_ema_of_a_model():
    """AveragedModel copies a model, its loss within."""
    model = torch.nn.ModuleDict({"net": Net(), "loss": nn.CrossEntropyLoss(label_smoothing=0.1)})
    averaged = torch.optim.swa_utils.AveragedModel(model)
    averaged.update_parameters(model)
    loss = averaged.module["loss"]
    assert type(loss) is onepass.nn.CrossEntropyLoss
    assert loss.label_smoothing == 0.1
