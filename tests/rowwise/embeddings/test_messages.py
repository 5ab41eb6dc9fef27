"""What losses of vectors refuse, in which words."""

import re

import pytest
import torch

import onepass
from onepass import functional as F
from onepass import nn
from tests.rowwise.embeddings.calls import NAN

X = torch.zeros(4, 3)
BY_ROW = torch.zeros(5, 3)
THREE = (X, X, X)


def every_pair(x, y):
    return torch.cdist(x, y)


def one_for_all(x, y):
    return (x - y).pow(2).sum()


def a_number(x, y):
    return 3.0


ERRORS = [
    (lambda: F.cosine_embedding_loss(X, torch.zeros(4, 5), torch.ones(4)), onepass.ShapeError,
     ("cosine_embedding_loss: `input1` and `input2` must have as many features on their last axis; "
     "got input1 (4, 3) and input2 (4, 5).")),
    (lambda: F.cosine_embedding_loss(X, X, torch.ones(4, 1)), onepass.ShapeError,
     ("cosine_embedding_loss: `target` must hold a label, 1 or -1, for each pair, (4,); "
     "got (4, 1). Did you mean target.squeeze(1)?")),
    (lambda: F.cosine_embedding_loss(X, X, torch.ones(5)), onepass.ShapeError,
     "cosine_embedding_loss: `target` must hold a label, 1 or -1, for each pair, (4,); got (5,)."),
    (lambda: F.cosine_embedding_loss(X, X, 1.0), onepass.DtypeError,
     ("cosine_embedding_loss: `target` must be a tensor, got float: 1.0. "
     "Write torch.as_tensor(target).")),
    (lambda: F.cosine_embedding_loss(X, X[0], torch.ones(4)), onepass.ShapeError,
     ("cosine_embedding_loss: the tensors must have the same number of axes; got input1 (4, 3), "
     "input2 (3,). Write unsqueeze(0) for one that serves all rows.")),
    (lambda: F.cosine_embedding_loss(X[:, None], X[None], torch.ones(4)), onepass.ShapeError,
     ("cosine_embedding_loss: the tensors must have the same rows, or rows that broadcast to those "
     "of one of them; got input1 (4, 1, 3), input2 (1, 4, 3).")),
    (lambda: F.cosine_embedding_loss(X + 0j, X, torch.ones(4)), onepass.DtypeError,
     ("cosine_embedding_loss: tensors must be real, got torch.complex64. "
     "Write torch.view_as_real(...).")),
    (lambda: F.cosine_embedding_loss(X, X, torch.ones(4), "a"), onepass.ParameterError,
     ("cosine_embedding_loss: `margin` must be any real number; got str: 'a'. "
     "It is one number for all elements.")),
    (lambda: F.triplet_margin_loss(X, X, BY_ROW), onepass.ShapeError,
     ("triplet_margin_loss: the tensors must have the same rows, or rows that broadcast to those "
     "of one of them; got anchor (4, 3), positive (4, 3), negative (5, 3).")),
    (lambda: F.triplet_margin_loss(X, X, X[:, :1]), onepass.ShapeError,
     ("triplet_margin_loss: `anchor` and `negative` must have as many features on their last axis; "
     "got anchor (4, 3) and negative (4, 1).")),
    (lambda: F.triplet_margin_loss(*(X[0, 0],) * 3), onepass.ShapeError,
     "triplet_margin_loss: `anchor` must have an axis of features, got a number."),
    (lambda: F.triplet_margin_loss(*THREE, margin=0), onepass.ParameterError,
     "triplet_margin_loss: `margin` must be a positive finite number, > 0; got 0."),
    (lambda: F.triplet_margin_loss(*THREE, p=0), onepass.ParameterError,
     "triplet_margin_loss: `p` must be a positive number or inf, > 0; got 0."),
    (lambda: F.triplet_margin_loss(*THREE, p=NAN), onepass.ParameterError,
     "triplet_margin_loss: `p` must be a positive number or inf, > 0; got nan."),
    (lambda: F.triplet_margin_loss(*THREE, eps="small"), onepass.ParameterError,
     ("triplet_margin_loss: `eps` must be any real number; got str: 'small'. "
     "It is one number for all elements.")),
    (lambda: F.triplet_margin_loss(*THREE, swap=1), onepass.ParameterError,
     "triplet_margin_loss: `swap` must be True or False, got int: 1."),
    (lambda: nn.TripletMarginLoss(p=-2.0), onepass.ParameterError,
     "triplet_margin_loss: `p` must be a positive number or inf, > 0; got -2.0."),
    (lambda: nn.TripletMarginLoss(margin=-1.0), onepass.ParameterError,
     "triplet_margin_loss: `margin` must be a positive finite number, > 0; got -1.0."),
    (lambda: nn.CosineEmbeddingLoss(margin=NAN), onepass.ParameterError,
     "cosine_embedding_loss: `margin` must be any real number; got nan."),
    (lambda: nn.TripletMarginWithDistanceLoss(distance_function=2), onepass.ParameterError,
     ("triplet_margin_with_distance_loss: `distance_function` must be a function of two tensors, "
     "or None for the Euclidean distance; got int: 2.")),
    (lambda: F.triplet_margin_with_distance_loss(*THREE, margin=0.0), onepass.ParameterError,
     "triplet_margin_with_distance_loss: `margin` must be a positive finite number, > 0; got 0.0."),
    (lambda: F.triplet_margin_with_distance_loss(*THREE, distance_function=every_pair),
     onepass.ShapeError,
     ("triplet_margin_with_distance_loss: `distance_function` must return one distance for each of "
     "the 4 triplets, but every_pair returned (4, 4) for anchor (4, 3). "
     "Write it so that it reduces the axes behind the first.")),
    (lambda: F.triplet_margin_with_distance_loss(*THREE, distance_function=one_for_all),
     onepass.ShapeError,
     ("triplet_margin_with_distance_loss: `distance_function` must return one distance for each of "
     "the 4 triplets, but one_for_all returned () for anchor (4, 3). "
     "Write it so that it reduces the axes behind the first.")),
    (lambda: F.triplet_margin_with_distance_loss(*THREE, distance_function=a_number),
     onepass.DtypeError,
     ("triplet_margin_with_distance_loss: `distance_function` must return a tensor, but a_number "
     "returned float: 3.0.")),
]  # fmt: skip


@pytest.mark.parametrize("call, error, message", ERRORS, ids=range(len(ERRORS)))
def test_errors(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()
