"""Programs of others, which choose by a loss's type, derive from it or call it in ways of their
own, do with our losses what they do with torch's. One that is not installed is skipped and counted.
"""

import copy
import io
import warnings

import numpy as np
import pytest
import torch

import onepass
from onepass import nn
from tests.every import OVER_LOSSES, OVER_REDUCTIONS

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


@pytest.mark.filterwarnings("ignore:Converting a tensor")  # of its progress bar
def test_metric_learning_trains_a_classifier():
    trainers = pytest.importorskip("pytorch_metric_learning.trainers")
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(ROWS), torch.from_numpy(CLASS))
    learned = []
    for home in (nn, torch.nn):
        torch.manual_seed(0)
        trunk, classifier = torch.nn.Linear(4, 8), torch.nn.Linear(8, 3)
        before = classifier.weight.clone()
        trainers.TrainWithClassifier(
            {"trunk": trunk, "classifier": classifier},
            {
                "trunk_optimizer": torch.optim.SGD(trunk.parameters(), lr=0.1),
                "classifier_optimizer": torch.optim.SGD(classifier.parameters(), lr=0.1),
            },
            30,
            {"metric_loss": Zero(), "classifier_loss": home.CrossEntropyLoss()},
            dataset,
            dataloader_num_workers=0,
            data_device="cpu",
            dtype=torch.float32,
        ).train(num_epochs=3)
        assert not torch.equal(before, classifier.weight)
        learned.append((*trunk.parameters(), *classifier.parameters()))
    torch.testing.assert_close(*learned, rtol=1e-4, atol=1e-5)


class Zero(torch.nn.Module):
    """The metric loss of a trainer that is to learn from its classifier alone."""

    def forward(self, embeddings, labels, indices_tuple):
        return 0 * embeddings.sum()


BACKPACK = [
    ("CrossEntropyLoss", torch.from_numpy(CLASS), "HBPCrossEntropyLoss"),
    ("MSELoss", torch.from_numpy(ROWS[:, :3]), "HBPMSELoss"),
]


def by_backpack(loss, target, extension):
    """What an extension of BackPACK leaves on each parameter of a net that ends in the loss."""
    backpack = pytest.importorskip("backpack")
    torch.manual_seed(0)
    net = backpack.extend(torch.nn.Linear(4, 3))
    with backpack.backpack(extension):
        backpack.extend(loss)(net(torch.from_numpy(ROWS)), target).backward()
    return [getattr(parameter, extension.savefield) for parameter in net.parameters()]


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("name, target, _", BACKPACK)
@pytest.mark.parametrize("extension", ["BatchGrad", "BatchL2Grad", "Variance", "SumGradSquared"])
def test_backpack_looks_at_the_gradient_of_each_sample(name, target, _, extension):
    extensions = pytest.importorskip("backpack.extensions")
    found, expected = (
        by_backpack(getattr(home, name)(), target, getattr(extensions, extension)())
        for home in (nn, torch.nn)
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("name, target, handler", BACKPACK)
def test_backpack_looks_at_curvature_once_it_is_told_of_our_class(name, target, handler):
    losses = pytest.importorskip("backpack.extensions.secondorder.hbp.losses")
    extensions = pytest.importorskip("backpack.extensions")
    extension = extensions.KFLR()
    extension.set_module_extension(getattr(nn, name), getattr(losses, handler)())
    found = by_backpack(getattr(nn, name)(), target, extension)
    expected = by_backpack(getattr(torch.nn, name)(), target, extensions.KFLR())
    torch.testing.assert_close(found, expected)


@OVER_REDUCTIONS
@OVER_LOSSES
@pytest.mark.filterwarnings("ignore")  # of an exporter and a tracer that torch has deprecated
def test_onnx_by_trace_at_another_batch_size(every, reduction):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")

    class Model(torch.nn.Module):
        def forward(self, *tensors):
            return every.ours(*tensors, reduction=reduction)

    traced, other = every.drawn(6), every.drawn(11)
    names = [f"tensor{k}" for k in range(len(traced))]
    sizes = zip(names, traced, other, strict=True)
    batched = {name: {0: "batch"} for name, a, b in sizes if a.shape != b.shape}
    file = io.BytesIO()
    torch.onnx.export(Model(), traced, file, dynamo=False, input_names=names, dynamic_axes=batched)
    session = runtime.InferenceSession(file.getvalue())
    asked_for = {each.name for each in session.get_inputs()}
    given = {n: t.numpy() for n, t in zip(names, other, strict=True) if n in asked_for}
    (found,) = session.run(None, given)
    expected = every.theirs(*other, reduction=reduction).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_accumulated_in_an_ema_of_a_model():
    """AveragedModel copies a model, its loss within."""
    model = torch.nn.ModuleDict({"net": Net(), "loss": nn.CrossEntropyLoss(label_smoothing=0.1)})
    averaged = torch.optim.swa_utils.AveragedModel(model)
    averaged.update_parameters(model)
    loss = averaged.module["loss"]
    assert type(loss) is onepass.nn.CrossEntropyLoss
    assert loss.label_smoothing == 0.1
