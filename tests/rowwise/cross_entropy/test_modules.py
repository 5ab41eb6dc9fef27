"""CrossEntropyLoss and the loss itself are copied, pickled and saved."""

import copy
import io
import pickle

import torch

import onepass
from onepass import nn
from tests.rowwise.cross_entropy.calls import labels, logits
from tests.rowwise.results import class_weight


def test_a_module_is_copied_pickled_and_saved():
    module = nn.CrossEntropyLoss(
        class_weight(5), ignore_index=1, label_smoothing=0.1, z_loss=0.01, softcap=9.0
    )
    input, target = logits(6, 5), labels(logits(6, 5), 1)
    expected = module(input, target)
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    fresh = nn.CrossEntropyLoss(
        torch.ones(5).double(), ignore_index=1, label_smoothing=0.1, z_loss=0.01, softcap=9.0
    )
    fresh.load_state_dict(torch.load(buffer, weights_only=True))
    rebuilt = type(module)(**module.config())
    again = [copy.deepcopy(module), pickle.loads(pickle.dumps(module)), fresh, rebuilt]
    for other in again:
        assert torch.equal(other(input, target), expected)
        assert repr(other) == repr(module)
    assert again[0].weight is not module.weight
    assert "softcap=9.0" in repr(module)


def test_state_dicts_are_torchs():
    ours = nn.CrossEntropyLoss(torch.rand(5), label_smoothing=0.1)
    theirs = torch.nn.CrossEntropyLoss(torch.rand(5), label_smoothing=0.1)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    input, target = torch.randn(6, 5), labels(logits(6, 5))
    torch.testing.assert_close(ours(input, target), theirs(input, target))
    assert list(nn.CrossEntropyLoss().state_dict()) == list(
        torch.nn.CrossEntropyLoss().state_dict()
    )


def test_the_loss_is_copied_and_pickled_as_functions_are():
    loss = onepass.catalogue()["cross_entropy"]
    assert copy.deepcopy(loss) is loss
    assert pickle.loads(pickle.dumps(loss)) is loss
