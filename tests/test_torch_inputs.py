"""PyTorch's own test inputs: what its test suite gives a loss, ours takes, with the same results.

They are made by torch.testing._internal, for operations ("OpInfo") and for modules.
"""

import pytest
import torch
from torch import Tensor

import onepass
from onepass import functional as F

LOSSES = [*onepass.catalogue()]
CLASSES = [loss.module.__name__ for loss in onepass.catalogue().values()]
TOLERANCES = {torch.float64: 1e-12, torch.float32: 2e-6}  # of what torch itself rounds
each_dtype = pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
pytestmark = pytest.mark.filterwarnings("ignore")  # torch's, of deprecated spellings


def operations(name):
    from torch.testing._internal.common_methods_invocations import op_db

    found = [op for op in op_db if op.name == f"nn.functional.{name}"]
    assert found
    return found


def modules(name):
    from torch.testing._internal.common_modules import module_db

    found = [info for info in module_db if info.module_cls.__name__ == name]
    return found or pytest.skip("torch's suite has no inputs of it")


def own(thing):
    """A leaf with the same numbers."""
    if not isinstance(thing, Tensor):
        return thing
    return thing.detach().clone().requires_grad_(thing.requires_grad)


def differentiated(function, arguments, keywords):
    """Value, and the gradients (0 where unused) by all that require them."""
    arguments = [own(thing) for thing in arguments]
    keywords = {name: own(thing) for name, thing in keywords.items()}
    value = function(*arguments, **keywords)
    given = (*arguments, *keywords.values())
    leaves = [thing for thing in given if isinstance(thing, Tensor) and thing.requires_grad]
    upstream = torch.randn(value.shape, generator=torch.Generator().manual_seed(2)).to(value.dtype)
    slopes = torch.autograd.grad(value, leaves, upstream, allow_unused=True, materialize_grads=True)
    return value.detach(), *slopes


def with_nans(outcome, arguments):
    """torch's outcome, its gradients nan where an argument of that element is: ours are. torch's
    kl_div does not look at its input there, and its suite draws some that are nan.
    """
    value, *slopes = outcome
    tensors = [t.detach() for t in arguments if isinstance(t, Tensor) and t.is_floating_point()]
    missing = [t.isnan() for t in tensors if slopes and t.shape == slopes[0].shape]
    for mask in missing:
        slopes = [torch.where(mask, torch.nan, s) if s.shape == mask.shape else s for s in slopes]
    return value, *slopes


def assert_same(ours, torchs, dtype):
    tolerance = TOLERANCES[dtype]
    for a, b in zip(ours, torchs, strict=True):
        size = max(1.0, b.nan_to_num(0.0, 0.0, 0.0).abs().max().item()) if b.numel() else 1.0
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * size, equal_nan=True)


@pytest.mark.slow
@each_dtype
@pytest.mark.parametrize("engine", ["auto", "eager"])
@pytest.mark.parametrize("name", LOSSES)
def test_samples_of_the_operation(name, engine, dtype):
    ours, torchs = getattr(F, name), getattr(torch.nn.functional, name)
    for operation in operations(name):
        for sample in operation.sample_inputs("cpu", dtype, requires_grad=True):
            given = (sample.input, *sample.args), sample.kwargs
            with onepass.engine(engine):
                mine = differentiated(ours, *given)
            assert_same(mine, differentiated(torchs, *given), dtype)


@pytest.mark.parametrize("name", LOSSES)
def test_what_torch_refuses_is_refused(name):
    makers = [operation.error_inputs_func for operation in operations(name)]
    if not any(makers):
        pytest.skip("torch's suite has no such inputs of it")
    for operation in operations(name):
        for case in operation.error_inputs("cpu"):
            sample, wanted = case.sample_input, case.error_type
            if name == "multi_margin_loss" and sample.args[0].is_floating_point():
                wanted = (wanted, TypeError)  # a second mistake, which torch comes to later
            with pytest.raises(wanted, match=name):
                getattr(F, name)(sample.input, *sample.args, **sample.kwargs)


@pytest.mark.slow
@each_dtype
@pytest.mark.parametrize("name", CLASSES)
def test_samples_of_the_module(name, dtype):
    for info in modules(name):
        made = info.module_inputs_func(
            info, device="cpu", dtype=dtype, requires_grad=True, training=True
        )
        for sample in made:
            results = []
            for kind in (getattr(onepass.nn, name), info.module_cls):
                torch.manual_seed(4)  # of a layer
                built = sample.constructor_input
                module = kind(*built.args, **built.kwargs).to(dtype)
                forward = sample.forward_input
                results.append(differentiated(module, forward.args, forward.kwargs))
            ours, torchs = results
            assert_same(ours, with_nans(torchs, forward.args), dtype)
