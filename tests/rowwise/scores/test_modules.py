"""Modules of the losses of scores, and their places in the catalogue."""

import copy
import io
import pickle

import torch

import onepass
from onepass import functional as F
from onepass.rowwise import multi_margin, multilabel_soft_margin, nll
from tests.rowwise.results import class_weight
from tests.rowwise.scores.calls import CLASSES, EVERY, F32, F64, NAMES, scores, targets

SETTINGS = {
    "nll_loss": {"weight": class_weight(6), "ignore_index": 3, "reduction": "sum", "dim": -1},
    "multi_margin_loss": {"weight": class_weight(6), "p": 2, "margin": 0.5, "reduction": "sum"},
    "multilabel_soft_margin_loss": {"weight": class_weight(6), "reduction": "sum"},
}
SHOWN = {
    "nll_loss": "NLLLoss(weight=<(6,)>, ignore_index=3, reduction='sum', dim=-1)",
    "multi_margin_loss": "MultiMarginLoss(p=2, margin=0.5, weight=<(6,)>, reduction='sum')",
    "multilabel_soft_margin_loss": "MultiLabelSoftMarginLoss(weight=<(6,)>, reduction='sum')",
}


@EVERY
def test_modules_copy_pickle_and_build_again(name):
    module = CLASSES[name](**SETTINGS[name])
    input = scores(30, 6)
    target = targets(name, input)
    expected = getattr(F, name)(input, target, **SETTINGS[name])
    again = CLASSES[name](**module.config())
    loaded = CLASSES[name](**SETTINGS[name] | {"weight": torch.zeros(6, dtype=F64)})
    loaded.load_state_dict(module.state_dict())
    saved = io.BytesIO()
    torch.save(module.state_dict(), saved)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), again, loaded, module):
        assert twin(input, target) == expected
    assert list(module.state_dict()) == ["weight"]
    assert repr(module) == SHOWN[name]
    assert repr(CLASSES[name]()) == f"{CLASSES[name].__name__}()"
    assert module.float().weight.dtype is F32


@EVERY
def test_the_catalogue_has_the_loss(name):
    loss = onepass.catalogue()[name]
    assert loss.name == name
    assert loss.module is CLASSES[name]
    assert type(onepass.get(name)) is CLASSES[name]
    assert loss.card.best_for
    assert loss.card.sources
    assert copy.deepcopy(loss) is loss


@EVERY
def test_a_module_takes_weights_of_rows(name):
    input = scores(30, 6)
    target, mask = targets(name, input), torch.arange(30) % 3 > 0
    given = {"sample_weight": torch.rand(30), "mask": mask}
    assert CLASSES[name]()(input, target, **given) == getattr(F, name)(input, target, **given)


def test_every_loss_has_its_own_folder():
    for loss, module in ((NAMES[0], nll), (NAMES[1], multi_margin), (NAMES[2],
                         multilabel_soft_margin)):  # fmt: skip
        assert onepass.catalogue()[loss] in vars(module).values()
