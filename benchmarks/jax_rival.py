"""JAX, where it is installed: optax's loss, or one written in jax.numpy where optax has none.

Every process reads this file; only JAX's own imports JAX.
"""

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from .samples import RECIPES, Sample

Loss = Callable[..., Any]  # of arrays; without its mean

PACKAGES = ("jax", "jaxlib", "optax")
INSTALLED = all(map(find_spec, PACKAGES))

ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "NPROC": str(torch.get_num_threads()),  # how many threads XLA's pool has
    "TF_CPP_MIN_LOG_LEVEL": "3",  # XLA says nothing of compilations that take seconds
}

TOLERANCE = 1e-4  # how far apart values and gradients may be

OPTAX = {
    "mse_loss": "squared_error",
    "huber_loss": "huber_loss",
    "smooth_l1_loss": "huber_loss",  # the same for beta = 1
    "kl_div": "kl_divergence",
    "binary_cross_entropy_with_logits": "sigmoid_binary_cross_entropy",
    "multilabel_soft_margin_loss": "sigmoid_binary_cross_entropy",
    "cross_entropy": "softmax_cross_entropy_with_integer_labels",
    "cross_entropy, probabilities": "softmax_cross_entropy",
    "triplet_margin_loss": "triplet_margin_loss",
}


def prepare(name: str, sample: Sample) -> Callable[[], object]:
    """Jitted, and compared with ours: a rival that computes something else is an error."""
    jax = import_module("jax")
    arrays = [jax.numpy.array(tensor.detach().numpy()) for tensor in sample.tensors]
    wanted = tuple(i for i, tensor in enumerate(sample.tensors) if tensor.requires_grad)
    options = {key: value for key, value in sample.keywords.items() if key != "reduction"}
    loss = _loss(name)
    run = jax.jit(jax.value_and_grad(lambda *a: loss(*a, **options).mean(), argnums=wanted))

    def step() -> Any:
        return jax.block_until_ready(run(*arrays))

    compare(name, sample, *step())
    return step


def compare(name: str, sample: Sample, value: Any, gradients: Sequence[Any]) -> None:
    """Raise if they are not ours, up to the rounding of float32."""
    loss = getattr(import_module("onepass.functional"), RECIPES[name].function or name)
    our_value = loss(*sample.tensors, **sample.keywords)
    _same("value", value, our_value.detach())
    ours = torch.autograd.grad(our_value, sample.leaves)
    for one, our in zip(gradients, ours, strict=True):
        _same("gradient", one, our)
    import_module("onepass").empty_cache()


def _same(what: str, theirs: Any, ours: torch.Tensor) -> None:
    """In sum: of an element or a row that lies at a kink, rounding decides the side."""
    apart = (torch.from_dlpack(theirs) - ours).abs().sum().item()
    whole = 1 + ours.abs().sum().item()  # the gradient of a mean sums up to about 1
    if not apart <= TOLERANCE * whole:  # nan is an error, too
        raise ArithmeticError(f"another {what} than ours, by {apart / whole:.2g} of it")


def _loss(name: str) -> Loss:
    """Of a variant, or of the loss that it is one of."""
    written = _pointwise() | _rowwise()
    for key in (name, RECIPES[name].function):
        if key in OPTAX:
            return getattr(import_module("optax").losses, OPTAX[key])
        if key in written:
            return written[key]
    raise NotImplementedError(f"{name} is not written in JAX")


def _pointwise() -> dict[str, Loss]:
    jax = import_module("jax")
    jnp, nn = jax.numpy, jax.nn

    def gaussian(input: Any, target: Any, var: Any) -> Any:
        return 0.5 * (jnp.log(var) + (input - target) ** 2 / var)

    def binary(input: Any, target: Any) -> Any:
        return -target * jnp.log(input) - (1 - target) * jnp.log1p(-input)

    def ranking(input1: Any, input2: Any, target: Any, margin: float) -> Any:
        return nn.relu(margin - target * (input1 - input2))

    def hinge(input: Any, target: Any) -> Any:
        return jnp.where(target == 1, input, nn.relu(1 - input))

    return {
        "l1_loss": lambda input, target: jnp.abs(input - target),
        "gaussian_nll_loss": gaussian,
        "poisson_nll_loss": lambda input, target: jnp.exp(input) - target * input,
        "binary_cross_entropy": binary,
        "soft_margin_loss": lambda input, target: nn.softplus(-target * input),
        "margin_ranking_loss": ranking,
        "hinge_embedding_loss": hinge,
    }


def _rowwise() -> dict[str, Loss]:
    jax, optax = import_module("jax"), import_module("optax")
    jnp, nn = jax.numpy, jax.nn
    classified = optax.losses.softmax_cross_entropy_with_integer_labels

    def of_target(input: Any, target: Any) -> Any:
        return jnp.take_along_axis(input, target[:, None], axis=1)

    def margins(input: Any, target: Any) -> Any:
        others = 1 - nn.one_hot(target, input.shape[1])
        return others * nn.relu(1 - of_target(input, target) + input)

    def cosine(input1: Any, input2: Any, target: Any) -> Any:
        similarity = optax.losses.cosine_similarity(input1, input2)
        return jnp.where(target == 1, 1 - similarity, nn.relu(similarity))

    def triplet(anchor: Any, positive: Any, negative: Any) -> Any:
        near, far = (jnp.linalg.norm(anchor - other, axis=1) for other in (positive, negative))
        return nn.relu(1 + near - far)

    return {
        "nll_loss": lambda input, target: -of_target(input, target),
        "multi_margin_loss": margins,
        "cosine_embedding_loss": cosine,
        "triplet_margin_with_distance_loss": triplet,
        "cross_entropy, maps of 21 classes": partial(classified, axis=1),
        "linear_cross_entropy": lambda input, weight, target: classified(input @ weight.T, target),
    }
