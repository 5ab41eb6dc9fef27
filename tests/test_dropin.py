"""Programs that derive from a loss, choose by its type, wrap its tensors or hand it numpy's numbers
see what they see with torch.nn.
"""

import copy
import inspect
import pickle

import numpy as np
import pytest
import torch
from torch import tensor
from torch.overrides import TorchFunctionMode

import onepass
from onepass import functional as F
from onepass import nn
from tests.every import CLASSES, EVERY, OVER_LOSSES, REDUCTIONS

OVER_REDUCTIONS = pytest.mark.parametrize("reduction", REDUCTIONS)
WITH_CLASS_OPTIONS = [every for every in EVERY if every.options]
pytestmark = pytest.mark.filterwarnings(
    "ignore:kl_div. reduction", "ignore:reduction. 'mean' divides"
)


def twin(every):
    return getattr(torch.nn, every.module.__name__)


def of_module(every, rows=6):
    return every.of_module(every.drawn(rows))


def assert_same(every, ours, theirs):
    """Two modules agree on inputs and, if they have a layer, on the same one."""
    ours.load_state_dict(theirs.state_dict())
    tensors = of_module(every)
    torch.testing.assert_close(ours(*tensors), theirs(*tensors), rtol=1e-5, atol=1e-6)


# Types


@OVER_LOSSES
def test_a_class_is_torchs(every):
    module = every.module(*every.layer)
    assert isinstance(module, twin(every))
    assert isinstance(module, nn.Loss)
    others = {twin(other) for other in EVERY} - {twin(every)}
    assert not isinstance(module, tuple(others))
    assert list(module.state_dict()) == list(twin(every)(*every.layer).state_dict())


@OVER_LOSSES
def test_forward_is_torchs(every):
    ours = inspect.signature(every.module.forward).parameters
    theirs = inspect.signature(twin(every).forward).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    assert list(ours)[len(theirs) :] == ["sample_weight", "mask", "normalizer"]
    assert all(ours[n].kind is p.KEYWORD_ONLY for n, p in list(ours.items())[len(theirs) :])


@OVER_LOSSES
def test_a_module_of_torch_may_become_one_of_ours(every):
    module = twin(every)(*every.layer, **every.options)
    expected = module(*of_module(every))
    module.__class__ = every.module
    torch.testing.assert_close(module(*of_module(every)), expected, rtol=1e-5, atol=1e-6)
    assert type(copy.deepcopy(module)) is every.module


# Subclasses


@OVER_REDUCTIONS
@OVER_LOSSES
def test_a_constructor_of_ones_own_keeps_every_option(every, reduction):
    def derived(base):
        class Derived(base):
            def __init__(self):
                super().__init__(*every.layer, reduction=reduction, **every.options)

        return Derived()

    assert_same(every, derived(every.module), derived(twin(every)))


@OVER_LOSSES
def test_arguments_handed_on_keep_every_option(every):
    def derived(base):
        class Derived(base):
            def __init__(self, *args, gamma=2.0, **kwargs):
                super().__init__(*args, **kwargs)
                self.gamma = gamma

            def forward(self, *tensors):
                return super().forward(*tensors) ** self.gamma

        return Derived(*every.layer, reduction="none", gamma=3.0, **every.options)

    ours = derived(every.module)
    assert_same(every, ours, derived(twin(every)))
    assert "reduction='none'" in repr(ours)
    assert ours.config()["reduction"] == "none"


class Named:
    """Names that a program may take for what is its own."""

    def __init__(self):
        super().__init__()
        self.loss = torch.nn.L1Loss()
        self.config = {"a": 1}
        self.function = lambda x: 2 * x
        self.settings = self.options = self.card = "mine"
        self.dim = self.z_loss = self.softcap = self.engine = self.kernels = "mine"
        self.register_buffer("name", torch.ones(3))


def test_names_of_ones_own_are_ones_own():
    for every in EVERY:
        if every.layer:
            continue
        ours = type("Ours", (Named, every.module), {})()
        theirs = type("Theirs", (Named, twin(every)), {})()
        assert type(ours.loss) is torch.nn.L1Loss
        assert ours.loss(tensor([3.0]), tensor([1.0])) == 2
        assert ours.function(2) == 4
        assert ours.config == {"a": 1}
        assert list(ours.state_dict()) == list(theirs.state_dict())
        assert_same(every, ours, theirs)
        assert repr(ours)


@pytest.mark.parametrize("name", ["loss", "function", "settings", "options", "card", "dim"])
def test_a_buffer_a_parameter_and_a_module_may_have_any_name(name):
    for make in (
        lambda m: m.register_buffer(name, torch.ones(2)),
        lambda m: m.register_parameter(name, torch.nn.Parameter(torch.ones(2))),
        lambda m: m.add_module(name, torch.nn.Linear(1, 1)),
    ):
        module = nn.CrossEntropyLoss()
        make(module)
        assert getattr(module, name) is not None
        assert module(torch.zeros(2, 3), tensor([0, 1])).item() == pytest.approx(np.log(3))


@pytest.mark.parametrize("name", ["loss", "function", "settings", "options", "card", "config"])
def test_a_module_set_as_an_attribute_is_found_again(name):
    for every in EVERY:
        module = every.module(*every.layer)
        own = torch.nn.Linear(1, 1)
        setattr(module, name, own)
        if (every.name, name) != ("linear_cross_entropy", "options"):  # torch's own
            assert getattr(module, name) is own
            module(*of_module(every))
            assert repr(module)


def test_options_beyond_torchs_reach_the_loss_of_a_subclass():
    class Own(nn.CrossEntropyLoss):
        def __init__(self):
            super().__init__(dim=-1, softcap=2.0, z_loss=0.1)
            self.dim = "mine"

    x, y = torch.randn(2, 4, 3), torch.randint(3, (2, 4))
    expected = F.cross_entropy(x, y, dim=-1, softcap=2.0, z_loss=0.1)
    for module in (Own(), copy.deepcopy(Own())):
        assert torch.equal(module(x, y), expected)
    built = nn.CrossEntropyLoss(dim=-1, softcap=2.0, z_loss=0.1)
    assert torch.equal(pickle.loads(pickle.dumps(built))(x, y), expected)


@OVER_LOSSES
def test_without_super_init_the_error_says_so(every):
    class Forgetful(every.module):
        def __init__(self):
            self.gamma = 2.0

    said = (
        "Forgetful: there is no `.*` yet, since Forgetful.__init__ has not called "
        r"super\(\).__init__\(\). Write that as its first line.$"
    )
    with pytest.raises(AttributeError, match=said):
        Forgetful()(*of_module(every))
    with pytest.raises(AttributeError, match=r"has no attribute 'nothing'"):
        _ = every.module(*every.layer).nothing


# Wrapped tensors


class Logged(TorchFunctionMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.seen.append((function, kwargs))
        return function(*args, **(kwargs or {}))


@OVER_LOSSES
def test_a_mode_sees_the_loss_first(every):
    tensors = every.drawn(6)
    with Logged() as mode:
        value = every.ours(*tensors, reduction="sum", **every.options)
    function, given = mode.seen[0]
    assert function is every.ours
    assert given.keys() == {"reduction", *every.options}
    assert torch.equal(value, every.ours(*every.drawn(6), reduction="sum", **every.options))


class Wrapped(torch.Tensor):
    pass


class Asked(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return function, types, args, kwargs


class Declines(torch.Tensor):
    """Knows torch's losses, and nothing else."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if getattr(torch.nn.functional, function.__name__, None) is function:
            return function, kwargs
        return NotImplemented


@OVER_LOSSES
def test_a_subclass_is_asked_first(every):
    for place in range(len(every.drawn(6))):
        tensors = list(every.drawn(6))
        tensors[place] = tensors[place].as_subclass(Asked)
        function, types, args, kwargs = every.ours(*tensors, reduction="sum")
        assert function is every.ours
        assert Asked in types
        assert all(a is b for a, b in zip(args, tensors, strict=True))
        assert kwargs["reduction"] == "sum"
    weight = torch.ones(()).as_subclass(Asked)
    for name in ("sample_weight", "mask", "normalizer"):
        _, _, _, kwargs = every.ours(*every.drawn(6), **{name: weight})
        assert kwargs == {name: weight}


@OVER_LOSSES
def test_a_subclass_that_knows_torchs_losses_alone_gets_torchs(every):
    first, *rest = every.drawn(6)
    first = first.as_subclass(Declines)
    function, kwargs = every.ours(first, *rest, **every.options)
    assert function is every.theirs
    assert kwargs.keys() == every.options.keys()
    with pytest.raises(TypeError, match="no implementation found"):
        every.ours(first, *rest, mask=torch.ones((), dtype=torch.bool))


@OVER_REDUCTIONS
@OVER_LOSSES
def test_a_subclass_that_asks_for_nothing_gets_the_loss(every, reduction):
    tensors = every.drawn(6)
    found = every.ours(*(t.as_subclass(Wrapped) for t in tensors), reduction=reduction)
    torch.testing.assert_close(
        found.as_subclass(torch.Tensor), every.ours(*tensors, reduction=reduction)
    )


def test_a_loss_of_ones_own_asks_too():
    @onepass.pointwise
    def own_loss(input, target):
        return torch.abs(input - target)

    x, y = torch.zeros(3).as_subclass(Asked), torch.ones(3)
    function, _, args, kwargs = own_loss(x, y, reduction="sum")
    assert function is own_loss
    assert args == (x, y)
    assert kwargs == {"reduction": "sum"}


@OVER_LOSSES
def test_nested_tensors_are_refused_by_name(every):
    tensors = [
        torch.nested.nested_tensor([t, t[:2]], layout=torch.jagged) if t.dim() else t
        for t in every.drawn(6)
    ]
    with pytest.raises(onepass.DtypeError) as caught:
        every.ours(*tensors)
    names = list(inspect.signature(every.ours).parameters)
    assert str(caught.value) == (
        f"{every.name}: `{names[0]}` must be one dense tensor, got a nested one. Write "
        f"{names[0]}.values(), which holds all its rows one behind the other."
    )


# torch.jit.script


@pytest.mark.filterwarnings("ignore:.torch.jit.script")
@OVER_LOSSES
def test_script_says_what_to_use(every):
    def scripted(input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return function(input, target)

    function = every.ours
    said = r"torch.jit.script cannot compile it. Write torch.export.export\(model, inputs\): it "
    with pytest.raises(onepass.EngineError, match=f"{every.module.__name__}: {said}"):
        torch.jit.script(every.module(*every.layer))
    model = torch.nn.Sequential(torch.nn.Linear(1, 1), every.module(*every.layer))
    with pytest.raises(onepass.EngineError, match=f"{every.module.__name__}: {said}"):
        torch.jit.script(model)
    assert type(model[1]) is every.module
    with pytest.raises(onepass.EngineError, match=f"{every.name}: {said}"):
        torch.jit.script(scripted)


# Numbers that torch takes for one


def as_others_have_it(option):
    """An option as numpy and torch have it."""
    if isinstance(option, bool):
        return [np.bool_(option), tensor(option)]
    if isinstance(option, int):
        return [np.int64(option), np.int32(option), tensor(option)]
    if isinstance(option, float):
        return [np.float64(option), np.float32(option), tensor(option), tensor(option).double()]
    return []


@pytest.mark.parametrize("every", WITH_CLASS_OPTIONS, ids=[e.name for e in WITH_CLASS_OPTIONS])
def test_numbers_of_numpy_and_torch_are_numbers(every):
    for name, option in every.options.items():
        others = as_others_have_it(option)
        expected = every.ours(*every.drawn(6), **every.options)
        for other in others:
            given = every.options | {name: other}
            torch.testing.assert_close(every.ours(*every.drawn(6), **given), expected)
            module = every.module(*every.layer, **given)
            assert type(module.config()[name]) in (bool, int, float)
            if not every.layer:
                torch.testing.assert_close(module(*of_module(every)), expected)


@pytest.mark.parametrize(
    "given, said",
    [
        (tensor(1.0), "a tensor of shape () on cpu: write int(ignore_index)"),
        (np.float32(1), "float32 of shape (): write int(ignore_index)"),
        (tensor(0.5), "a tensor of shape () on cpu"),
        (tensor([1]), "a tensor of shape (1,) on cpu: write ignore_index.item()"),
        (tensor(1, device="meta"), "a tensor of shape () on meta: write ignore_index.item()"),
        (np.array([1]), "ndarray of shape (1,): write ignore_index.item()"),
        (np.array([1, 2]), "ndarray of shape (2,)"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss", "linear_cross_entropy"])
def test_what_is_no_integer_says_how_to_write_one(name, given, said):
    (every,) = (every for every in EVERY if every.name == name)
    for make in (lambda: every.ours(*every.drawn(6), ignore_index=given),
                 lambda: every.module(*every.layer, ignore_index=given)):  # fmt: skip
        with pytest.raises(onepass.ParameterError) as caught:
            make()
        assert str(caught.value) == f"{name}: `ignore_index` must be an integer, got {said}."


@OVER_LOSSES
def test_the_oldest_name_of_the_mean(every):
    said = r"reduction='elementwise_mean' is deprecated, please use reduction='mean' instead."
    with pytest.warns(UserWarning, match=said):
        found = every.ours(*every.drawn(6), reduction="elementwise_mean")
    assert torch.equal(found, every.ours(*every.drawn(6)))
    with pytest.warns(UserWarning, match=said):
        assert every.module(*every.layer, reduction="elementwise_mean").reduction == "mean"


# Tensors of inference mode, and gradients of linear losses


@OVER_REDUCTIONS
@OVER_LOSSES
def test_targets_made_in_inference_mode(every, reduction):
    """Those of a teacher, or of a reward model."""
    for rows in (6, 6, 6, 3000):  # first and remembered, few and many
        with torch.inference_mode():
            made = every.drawn(rows)
        found, expected = ([made[0].clone().requires_grad_(), *rest] for rest in (
            made[1:], [t.clone() for t in made[1:]]))  # fmt: skip
        for tensors in (found, expected):
            every.ours(*tensors, reduction=reduction).sum().backward()
        torch.testing.assert_close(found[0].grad, expected[0].grad)
        assert not every.ours(*made, reduction=reduction).requires_grad


@OVER_REDUCTIONS
@OVER_LOSSES
def test_a_gradient_made_with_a_graph_has_one(every, reduction):
    leaves = [t.requires_grad_() if k in every.learned else t
              for k, t in enumerate(every.drawn(6))]  # fmt: skip
    wanted = [leaves[k] for k in every.learned]
    value = every.ours(*leaves, reduction=reduction).sum()
    gradients = torch.autograd.grad(value, wanted, create_graph=True)
    assert all(gradient.requires_grad for gradient in gradients)
    sum(gradient.square().sum() for gradient in gradients).backward()
    assert all(leaf.grad.isfinite().all() for leaf in wanted)


# Weights that are changed, or learned


@OVER_LOSSES
def test_a_weight_changed_in_place_before_backward_is_an_error(every):
    first, *rest = every.drawn(6)
    shape = every.ours(first, *rest, reduction="none").shape
    for name, weight in (("sample_weight", torch.ones(shape)), ("mask", torch.ones(shape) > 0)):
        value = every.ours(
            first.clone().requires_grad_(), *rest, reduction="none", **{name: weight}
        )
        weight.zero_()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            value.sum().backward()


@pytest.mark.parametrize("every", [e for e in EVERY if "weight" in e.options], ids=str)
def test_the_losss_own_weight_changed_in_place_is_an_error(every):
    first, *rest = every.drawn(6)
    weight = every.options["weight"].clone()
    value = every.ours(first.clone().requires_grad_(), *rest, reduction="none", weight=weight)
    weight.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize(
    "every, name",
    [
        (every, name)
        for every in EVERY
        for name in ("sample_weight", "weight")
        if name in inspect.signature(every.ours).parameters
    ],
    ids=str,
)
def test_a_half_weight_that_is_learned_is_rounded_once(every, name, reduction, dtype):
    rows = 4000
    tensors = [t.to(dtype) if t.is_floating_point() else t for t in every.drawn(rows)]
    weight = torch.ones(CLASSES if every.name == "linear_cross_entropy" else 1)
    weight = every.options.get("weight", weight) if name == "weight" else torch.ones(1)
    found = []
    for kind in (dtype, torch.float64):
        leaf = weight.to(kind).requires_grad_()
        given = [t.to(kind) if t.is_floating_point() else t for t in tensors]
        options = {k: v for k, v in every.options.items() if k != "weight"} | {name: leaf}
        every.ours(*given, reduction=reduction, **options).double().sum().backward()
        found.append(leaf.grad)
    half, exact = found
    assert half.dtype is dtype
    # That of a mean is the small difference of two float32 sums.
    torch.testing.assert_close(half.double(), exact, rtol=2 * torch.finfo(dtype).eps, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_under_autocast_half_tensors_have_a_float32_loss():
    """As the page of differences says, with the three of torch's that have not."""
    narrow = set()
    for every in EVERY:
        tensors = [t.bfloat16() if t.is_floating_point() else t for t in every.drawn(6)]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert every.ours(*tensors).dtype is torch.float32
            if every.name != "binary_cross_entropy":  # torch refuses it there
                narrow |= {every.name} if every.theirs(*tensors).dtype is torch.bfloat16 else set()
    assert narrow == {
        "gaussian_nll_loss", "multilabel_soft_margin_loss", "triplet_margin_with_distance_loss",
    }  # fmt: skip
