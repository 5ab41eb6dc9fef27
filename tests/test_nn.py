"""The classes are torch.nn's, and remember what they were built with."""

import copy
import functools
import inspect
import io
import math
import pickle
import warnings

import pytest
import torch
from torch import Tensor

import onepass
from onepass import functional as F
from onepass import nn
from onepass.testing import draw
from tests.twins import LOSSES, REDUCTIONS, names

EVERY = pytest.mark.parametrize("loss", LOSSES, ids=names(LOSSES))
QUIET = pytest.mark.filterwarnings("ignore:kl_div. reduction", "ignore:reduction. 'mean' divides")
LEGACY = ("size_average", "reduce")
# Options other than the defaults, by the name of the class.
OTHERS = {
    "HuberLoss": {"delta": 0.5},
    "SmoothL1Loss": {"beta": 0.25},
    "GaussianNLLLoss": {"full": True, "eps": 0.01},
    "PoissonNLLLoss": {"log_input": False, "full": True, "eps": 0.01},
    "KLDivLoss": {"log_target": True},
    "MarginRankingLoss": {"margin": 0.5},
    "HingeEmbeddingLoss": {"margin": 0.5},
    "BCELoss": {"weight": torch.tensor([0.5, 1.0, 2.0])},
    "BCEWithLogitsLoss": {
        "weight": torch.tensor([0.5, 1.0, 2.0]),
        "pos_weight": torch.tensor([3.0, 1.0, 0.25]),
    },
}


@onepass.pointwise(power=onepass.POSITIVE)
def powered(input: Tensor, target: Tensor, *, power: float = 3.0, signed: bool = False) -> Tensor:
    """A loss of one's own, where pickle finds it."""
    error = input - target
    return error * torch.abs(error) ** power if signed else torch.abs(error) ** power


def drawn(loss, shape=(4, 3)):
    generator = torch.Generator().manual_seed(2)
    tensors = [draw(loss.domains[name], shape, generator).float() for name in loss.tensors]
    if loss.name == "poisson_nll_loss":
        tensors[0] = tensors[0].abs()
    return tensors


def theirs(loss):
    return getattr(torch.nn, loss.module.__name__)


def built(loss, **options):
    """The module with options of its own, and torch's."""
    options = OTHERS.get(loss.module.__name__, {}) | options
    return loss.module(**options), theirs(loss)(**options)


def same(a, b, loss):
    """Two modules give the same bits."""
    tensors = drawn(loss)
    return torch.equal(a(*tensors), b(*tensors))


# Construction


@EVERY
def test_constructors_are_torchs(loss):
    ours = inspect.signature(loss.module).parameters
    torchs = inspect.signature(theirs(loss)).parameters
    assert list(ours) == list(torchs)
    for mine, other in zip(ours.values(), torchs.values(), strict=True):
        assert mine.kind is other.kind
        assert mine.default == other.default
        assert type(mine.default) is type(other.default)


def test_every_class_is_exported_under_torchs_name():
    classes = {loss.module.__name__: loss.module for loss in LOSSES}
    for name, module in classes.items():
        assert getattr(nn, name) is module
        assert module.__module__ == "onepass.nn"
        assert issubclass(module, torch.nn.Module)


@QUIET
@pytest.mark.parametrize("reduction", REDUCTIONS)
@EVERY
def test_values_are_torchs(loss, reduction):
    tensors = drawn(loss)
    for options in ({}, OTHERS.get(loss.module.__name__, {})):
        ours = loss.module(**options, reduction=reduction)
        expected = theirs(loss)(**options, reduction=reduction)(*tensors)
        torch.testing.assert_close(ours(*tensors), expected, rtol=1e-5, atol=1e-6)


@QUIET
@EVERY
def test_positional_construction_is_torchs(loss):
    parameters = inspect.signature(loss.module).parameters.values()
    order = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    chosen = {"reduction": "sum"} | OTHERS.get(loss.module.__name__, {})
    defaults = {p.name: p.default for p in parameters}
    arguments = [chosen.get(name, defaults[name]) for name in order]
    tensors = drawn(loss)
    found = loss.module(*arguments)(*tensors)
    torch.testing.assert_close(found, theirs(loss)(*arguments)(*tensors), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size_average, reduce", [(False, None), (True, None), (None, False)])
@EVERY
def test_deprecated_spellings_are_torchs(loss, size_average, reduce):
    if LEGACY[0] not in inspect.signature(loss.module).parameters:
        with pytest.raises(TypeError):
            loss.module(size_average=True)
        return
    with pytest.warns(UserWarning, match="please use reduction="):
        ours = loss.module(size_average=size_average, reduce=reduce)
    with pytest.warns(UserWarning, match="please use reduction="):
        expected = theirs(loss)(size_average=size_average, reduce=reduce)
    assert ours.reduction == expected.reduction


@QUIET
@EVERY
def test_a_call_takes_weights_masks_and_a_normalizer(loss):
    function, tensors = getattr(F, loss.name), drawn(loss)
    weight, mask = torch.rand(4, 3), torch.rand(4, 3) < 0.5
    for weighting in ({"sample_weight": weight}, {"mask": mask}, {"normalizer": 7}):
        assert torch.equal(loss.module()(*tensors, **weighting), function(*tensors, **weighting))
    each = loss.module(reduction="none")(*tensors, mask=mask)
    assert not each[~mask].any()
    rows = loss.module(reduction="batchmean")(*tensors)
    total = loss.module(reduction="sum")(*tensors)
    assert rows.item() == pytest.approx(total.item() / 4)


@QUIET
@EVERY
def test_a_call_by_keywords(loss):
    tensors = drawn(loss)
    _, *arguments = inspect.signature(theirs(loss).forward).parameters
    named = dict(zip(arguments, tensors, strict=True))
    assert torch.equal(loss.module()(**named), loss.module()(*tensors))


@pytest.mark.parametrize("reduction", ["avg", "Mean", None, 1, ["mean"]], ids=str)
@EVERY
def test_a_wrong_reduction_is_refused_when_built(loss, reduction):
    with pytest.raises(onepass.ParameterError, match=loss.module.__name__):
        loss.module(reduction=reduction)
    with pytest.raises(onepass.ParameterError):
        nn.PointwiseLoss(loss, reduction=reduction)


@pytest.mark.parametrize(
    "build",
    [
        nn.CrossEntropyLoss,
        nn.NLLLoss,
        nn.MultiMarginLoss,
        functools.partial(nn.LinearCrossEntropyLoss, 4, 3),
    ],
    ids=["CrossEntropyLoss", "NLLLoss", "MultiMarginLoss", "LinearCrossEntropyLoss"],
)
def test_a_class_weight_is_checked_when_built(build, request):
    name = request.node.callspec.id
    each = "of the 3 classes, (3,)" if name.startswith("Linear") else "class, (classes,)"
    wrong = {
        onepass.ShapeError: (
            torch.ones(2, 3),
            f"{name}: `weight` must have one entry for each {each}; got (2, 3).",
        ),
        onepass.DtypeError: (
            torch.ones(3, dtype=torch.int64),
            f"{name}: `weight` must be floating point, got torch.int64. Write weight.float().",
        ),
        TypeError: (
            [1.0, 2.0],
            (
                f"{name}: `weight` must be a tensor, got list: [1.0, 2.0]. "
                "Write torch.as_tensor(weight)."
            ),
        ),
    }
    for error, (weight, said) in wrong.items():
        with pytest.raises(error) as caught:
            build(weight=weight)
        assert str(caught.value) == said
    assert build(weight=torch.ones(3, device="meta")).weight.shape == (3,)


def test_options_changed_after_construction_take_effect():
    x, y = torch.randn(2, 5)
    for size in (5, 5000):
        x, y = torch.randn(2, size)
        huber = nn.HuberLoss()
        huber.delta = 0.25
        huber.reduction = "sum"
        assert torch.equal(huber(x, y), F.huber_loss(x, y, delta=0.25, reduction="sum"))
        assert repr(huber) == "HuberLoss(reduction='sum', delta=0.25)"
        huber.delta = -1.0
        with pytest.raises(onepass.ParameterError, match="delta"):
            huber(x, y)
        huber.delta, huber.reduction = 1.0, "avg"
        with pytest.raises(onepass.ParameterError, match="'avg'"):
            huber(x, y)
    logits = nn.BCEWithLogitsLoss()
    logits.pos_weight = torch.tensor(2.0)
    target = (y > 0).float()
    expected = F.binary_cross_entropy_with_logits(x, target, pos_weight=torch.tensor(2.0))
    assert torch.equal(logits(x, target), expected)
    assert "pos_weight" in logits.state_dict()
    own = nn.PointwiseLoss(powered, power=1.0)
    own.power = 2.0
    assert own(x, y).item() == pytest.approx(F.mse_loss(x, y).item())


# State


@EVERY
def test_state_is_torchs_and_loads_both_ways(loss):
    ours, torchs = built(loss)
    assert list(ours.state_dict()) == list(torchs.state_dict())
    assert ours.state_dict()._metadata.keys() == torchs.state_dict()._metadata.keys()
    for weight in ours.buffers():
        weight.mul_(0.5)
    torchs.load_state_dict(ours.state_dict(), strict=True)
    for name, weight in torchs.state_dict().items():
        assert torch.equal(weight, ours.state_dict()[name])
        weight.add_(1)
    ours.load_state_dict(torchs.state_dict(), strict=True)
    for name, weight in ours.state_dict().items():
        assert torch.equal(weight, torchs.state_dict()[name])
    assert [*ours.parameters()] == []


def test_state_that_does_not_belong_is_refused():
    with pytest.raises(RuntimeError, match="weight"):
        nn.BCELoss().load_state_dict({"weight": torch.ones(3)})
    with pytest.raises(RuntimeError, match="weight"):
        nn.BCELoss(weight=torch.ones(3)).load_state_dict({})


@pytest.mark.parametrize("name", ["BCELoss", "BCEWithLogitsLoss"])
def test_weights_move_with_the_module(name):
    options = OTHERS[name]
    module = getattr(nn, name)(**options)
    for dtype in (torch.float64, torch.bfloat16):
        assert all(b.dtype == dtype for b in module.to(dtype).buffers())
        assert len([*module.buffers()]) == len(options)
    assert all(b.device.type == "meta" for b in module.to("meta").buffers())
    outer = torch.nn.Sequential(torch.nn.Linear(1, 1), getattr(nn, name)(**options)).double()
    assert outer[1].weight.dtype == torch.float64
    assert "1.weight" in outer.state_dict()


@EVERY
def test_copies_behave_alike(loss):
    ours, _ = built(loss, reduction="sum")
    file = io.BytesIO()
    torch.save(ours, file)
    file.seek(0)
    allowed = [loss.module]
    with torch.serialization.safe_globals(allowed):
        loaded = torch.load(file, weights_only=True)
    for twin in (copy.deepcopy(ours), copy.copy(ours), pickle.loads(pickle.dumps(ours)), loaded):
        assert type(twin) is type(ours)
        assert repr(twin) == repr(ours)
        assert same(twin, ours, loss)
    deep = copy.deepcopy(ours)
    for weight in deep.buffers():
        weight.zero_()
    assert all(weight.any() for weight in ours.buffers())


@EVERY
def test_state_is_saved_and_loaded_with_weights_only(loss):
    ours, _ = built(loss)
    file = io.BytesIO()
    torch.save(ours.state_dict(), file)
    file.seek(0)
    loaded, _ = built(loss)
    for weight in loaded.buffers():
        weight.zero_()
    loaded.load_state_dict(torch.load(file, weights_only=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert same(loaded, ours, loss)


# What it says of itself


@pytest.mark.parametrize(
    "module, shown",
    [
        (nn.L1Loss(), "L1Loss()"),
        (nn.MSELoss(), "MSELoss()"),
        (nn.MSELoss(reduction="sum"), "MSELoss(reduction='sum')"),
        (nn.HuberLoss(), "HuberLoss()"),
        (nn.HuberLoss("none", 2.0), "HuberLoss(reduction='none', delta=2.0)"),
        (nn.SmoothL1Loss(beta=0.25), "SmoothL1Loss(beta=0.25)"),
        (nn.GaussianNLLLoss(), "GaussianNLLLoss()"),
        (nn.GaussianNLLLoss(full=True, eps=1e-3), "GaussianNLLLoss(full=True, eps=0.001)"),
        (
            nn.PoissonNLLLoss(log_input=False, full=True),
            "PoissonNLLLoss(log_input=False, full=True)",
        ),
        (nn.KLDivLoss(reduction="batchmean"), "KLDivLoss(reduction='batchmean')"),
        (nn.KLDivLoss(log_target=True), "KLDivLoss(log_target=True)"),
        (nn.BCELoss(), "BCELoss()"),
        (nn.BCELoss(torch.ones(3)), "BCELoss(weight=<(3,)>)"),
        (nn.BCEWithLogitsLoss(), "BCEWithLogitsLoss()"),
        (
            nn.BCEWithLogitsLoss(pos_weight=torch.ones(2, 1)),
            "BCEWithLogitsLoss(pos_weight=<(2, 1)>)",
        ),
        (nn.SoftMarginLoss(), "SoftMarginLoss()"),
        (nn.MarginRankingLoss(), "MarginRankingLoss()"),
        (nn.MarginRankingLoss(0), "MarginRankingLoss()"),
        (nn.MarginRankingLoss(0.5), "MarginRankingLoss(margin=0.5)"),
        (nn.HingeEmbeddingLoss(margin=2), "HingeEmbeddingLoss(margin=2)"),
        (nn.PointwiseLoss(powered), "PointwiseLoss(powered, reduction='mean')"),
        (
            nn.PointwiseLoss(powered, reduction="sum", power=1.0, signed=True),
            "PointwiseLoss(powered, reduction='sum', power=1.0, signed=True)",
        ),
    ],
)
def test_repr_says_what_is_not_default(module, shown):
    assert repr(module) == shown


@EVERY
def test_config_builds_the_loss_again(loss):
    for options in ({}, {"reduction": "sum"} | OTHERS.get(loss.module.__name__, {})):
        ours = loss.module(**options)
        config = ours.config()
        assert not set(config) & set(LEGACY)
        for name, given in options.items():
            assert config[name] is given
        again = type(ours)(**config)
        assert repr(again) == repr(ours)
        assert again.config() == config


def test_config_follows_the_weights():
    module = nn.BCELoss(torch.ones(3)).double()
    assert module.config()["weight"].dtype == torch.float64
    assert nn.BCELoss().config() == {"weight": None, "reduction": "mean"}


@EVERY
def test_get_knows_every_spelling(loss):
    module = loss.module.__name__
    for name in (loss.name, module, loss.name.removesuffix("_loss"), module.removesuffix("Loss")):
        for spelling in (name, name.upper(), name.lower(), name.replace("_", "-")):
            assert type(onepass.get(spelling)) is loss.module
    options = {"reduction": "sum"} | OTHERS.get(module, {})
    assert repr(onepass.get(loss.name, **options)) == repr(loss.module(**options))


def test_get_is_strict_about_options():
    with pytest.raises(onepass.ParameterError, match="`beta`"):
        onepass.get("huber", beta=1.0)
    with pytest.raises(onepass.ParameterError, match="size_average"):
        onepass.get("mse", size_average=False)
    with pytest.raises(onepass.ParameterError, match="delta"):
        onepass.get("huber", delta=0)


# One's own loss


def test_a_loss_of_ones_own_as_a_module():
    x, y = torch.randn(2, 5)
    module = nn.PointwiseLoss(powered, reduction="sum", power=2.0)
    assert module(x, y).item() == pytest.approx(F.mse_loss(x, y, reduction="sum").item())
    assert module.config() == {"loss": powered, "reduction": "sum", "power": 2.0}
    default = nn.PointwiseLoss(powered)(x, y)
    assert default.item() == pytest.approx(((x - y).abs() ** 3).mean().item())
    assert module.state_dict() == {}
    mask = x > 0
    assert torch.equal(
        module(x, y, mask=mask), powered(x, y, mask=mask, power=2.0, reduction="sum")
    )


def test_a_loss_of_ones_own_is_copied():
    x, y = torch.randn(2, 5)
    module = nn.PointwiseLoss(powered, power=2.0, signed=True)
    again = nn.PointwiseLoss(**module.config())
    for twin in (again, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert repr(twin) == repr(module)
        assert twin.config()["loss"] is powered
        assert torch.equal(twin(x, y), module(x, y))


def test_a_loss_of_ones_own_stays_out_of_the_catalogue():
    nn.PointwiseLoss(powered)
    assert "powered" not in onepass.catalogue()
    own, other = nn.PointwiseLoss(powered), nn.PointwiseLoss(F.regression.l1_loss)
    assert own.config()["loss"] is not other.config()["loss"]


def test_settings_of_ones_own_loss_are_checked_when_built():
    with pytest.raises(onepass.ParameterError, match=r"there is no `pwer`.*Did you mean `power`"):
        nn.PointwiseLoss(powered, pwer=2.0)
    with pytest.raises(onepass.ParameterError, match="a positive finite number"):
        nn.PointwiseLoss(powered, power=-1.0)
    with pytest.raises(onepass.ParameterError, match="`signed` must be True or False"):
        nn.PointwiseLoss(powered, signed=1)


# Where modules are used


@QUIET
@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # torch, of its own tracing
@EVERY
def test_a_module_compiles_into_one_graph(loss):
    torch._dynamo.reset()
    ours, _ = built(loss)
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    tensors = drawn(loss)
    mine, other = (tensors[0].clone().requires_grad_() for _ in range(2))
    compiled(mine, *tensors[1:]).backward()
    ours(other, *tensors[1:]).backward()
    torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_a_model_with_a_loss_inside_compiles_and_trains():
    torch._dynamo.reset()

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.loss = torch.nn.Linear(3, 1), nn.HuberLoss(delta=0.5)

        def forward(self, x, y):
            return self.loss(self.linear(x).squeeze(1), y)

    model, x, y = Model(), torch.randn(16, 3), torch.randn(16)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    values = []
    for _ in range(5):
        optimizer.zero_grad()
        value = compiled(x, y)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]


def test_functional_call_uses_the_weights_given():
    module = nn.BCELoss(weight=torch.ones(3))
    x, y = torch.rand(4, 3), torch.rand(4, 3)
    weight = torch.tensor([1.0, 2.0, 3.0])
    found = torch.func.functional_call(module, {"weight": weight}, (x, y))
    assert torch.equal(found, F.binary_cross_entropy(x, y, weight=weight))


def test_hooks_of_a_module_run():
    module, seen = nn.MSELoss(), []
    module.register_forward_hook(lambda *given: seen.append(given[2].item()))
    value = module(torch.zeros(3), torch.full((3,), 2.0))
    assert seen == [value.item()] == [4.0]


def test_a_loss_trains_in_eval_mode_too():
    module = nn.SmoothL1Loss().eval()
    x = torch.zeros(3, requires_grad=True)
    module(x, torch.ones(3)).backward()
    assert x.grad.tolist() == pytest.approx([-1 / 3] * 3)
    assert not math.isnan(module(x, torch.ones(3)).item())
