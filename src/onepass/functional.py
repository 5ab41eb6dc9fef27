"""The losses of torch.nn.functional: same names, same positional order, same defaults.

Beyond torch, every loss takes by keyword

- `sample_weight`: a tensor that broadcasts to the unreduced loss; mean = sum(w l) / sum(w).
- `mask`: a bool tensor, True where an element counts. What does not count contributes exactly 0
  to value and gradient, whatever it holds.
- `normalizer`: a number, or a tensor of one; mean = sum / normalizer.

`reduction` is "none", "mean", "sum" or "batchmean"; `size_average` and `reduce` are torch's
deprecated spellings of it. Tensors are float16, bfloat16, float32 or float64; bool and integers
are promoted. The result has the promoted dtype of the tensors, and with "none" the shape to which
they broadcast, which must be the shape of one of them.

What is raised derives from what torch raises in the same place: a ShapeError is a ValueError and
a RuntimeError, a DtypeError a TypeError and a RuntimeError, a DomainError a ValueError and a
RuntimeError, a ParameterError a ValueError and a TypeError.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from onepass import rowwise
from onepass.errors import DomainError, warn
from onepass.pointwise import binary, divergence, likelihood, ranking, regression
from onepass.runtime.overrides import has_override, overridden, refuses_script

_Flag = bool | None  # of the deprecated size_average and reduce


@refuses_script
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: _Flag = None,
    reduce: _Flag = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """Absolute error: abs(input - target).

    `weight` multiplies and counts, as sample_weight does. Laplace (1774).

    Shapes: input and target alike (*), or one broadcasts to the other; the result is () or,
    with "none", (*).

    Raises: ShapeError, DtypeError, ParameterError (reduction, normalizer).
    """
    if has_override(input, target, weight, sample_weight, mask, normalizer):
        return overridden(l1_loss, locals())
    return regression.l1_loss.run(
        input,
        target,
        weight,
        legacy_reduction(size_average, reduce, reduction),
        sample_weight,
        mask,
        normalizer,
    )


@refuses_script
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: _Flag = None,
    reduce: _Flag = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """Squared error: (input - target)^2.

    `weight` multiplies and counts, as sample_weight does. Gauss (1809).

    Shapes: input and target alike (*), or one broadcasts to the other; the result is () or,
    with "none", (*).

    Raises: ShapeError, DtypeError, ParameterError (reduction, normalizer).
    """
    if has_override(input, target, weight, sample_weight, mask, normalizer):
        return overridden(mse_loss, locals())
    return regression.mse_loss.run(
        input,
        target,
        weight,
        legacy_reduction(size_average, reduce, reduction),
        sample_weight,
        mask,
        normalizer,
    )


@refuses_script
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """Squared error up to `delta` > 0, linear beyond.

    `weight` multiplies; the mean still divides by the number of elements, as torch's. Huber
    (1964), doi:10.1214/aoms/1177703732.

    Shapes: input and target alike (*), or one broadcasts to the other; the result is () or,
    with "none", (*). delta is in the unit of input - target.

    Raises: ShapeError, DtypeError, ParameterError (reduction, delta).
    """
    if has_override(input, target, weight, sample_weight, mask, normalizer):
        return overridden(huber_loss, locals())
    return regression.huber_loss.run(
        input, target, delta, weight, reduction, sample_weight, mask, normalizer
    )


@refuses_script
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: _Flag = None,
    reduce: _Flag = None,
    reduction: str = "mean",
    beta: float = 1.0,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """Absolute error, rounded off within `beta` >= 0 of the target.

    Girshick (2015), doi:10.1109/ICCV.2015.169.

    Shapes: input and target alike (*), or one broadcasts to the other; the result is () or,
    with "none", (*). beta is in the unit of input - target.

    Raises: ShapeError, DtypeError, ParameterError (reduction, beta).
    """
    if has_override(input, target, sample_weight, mask, normalizer):
        return overridden(smooth_l1_loss, locals())
    return regression.smooth_l1_loss.run(
        input,
        target,
        beta,
        None,
        legacy_reduction(size_average, reduce, reduction),
        sample_weight,
        mask,
        normalizer,
    )


@refuses_script
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """Negative log-likelihood of `target` under a normal distribution with mean `input`.

    `var` is its variance: a number or a tensor that broadcasts, also without input's last axis;
    at least `eps` in the value. A negative one raises DomainError on the CPU and makes the loss
    nan elsewhere. Nix and Weigend (1994), doi:10.1109/ICNN.1994.374138.

    Shapes: input, target and var alike (*), or broadcasting to (*), the shape of input or
    target; the result is () or, with "none", (*). var is in the square of the unit of input,
    the value in nats.

    Raises: ShapeError, DtypeError, DomainError (var), ParameterError (reduction, full, eps).
    """
    if has_override(input, target, var, sample_weight, mask, normalizer):
        return overridden(gaussian_nll_loss, locals())
    variance = _as_variance(var, input)
    return likelihood.gaussian_nll_loss.run(
        input, target, variance, eps, full, None, reduction, sample_weight, mask, normalizer
    )


@refuses_script
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: _Flag = None,
    eps: float = 1e-8,
    reduce: _Flag = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """Negative log-likelihood of the count `target` under a Poisson distribution.

    `input` is the logarithm of its rate, or with log_input=False the rate itself (`eps` keeps its
    logarithm finite at 0). `full` adds Stirling's approximation of log(target!). Nelder and
    Wedderburn (1972), doi:10.2307/2344614.

    Shapes: input and target alike (*), or one broadcasts to the other; the result is () or,
    with "none", (*). The value is in nats.

    Raises: ShapeError, DtypeError, ParameterError (reduction, log_input, full, eps).
    """
    if has_override(input, target, sample_weight, mask, normalizer):
        return overridden(poisson_nll_loss, locals())
    return likelihood.poisson_nll_loss.run(
        input,
        target,
        eps,
        log_input,
        full,
        None,
        legacy_reduction(size_average, reduce, reduction),
        sample_weight,
        mask,
        normalizer,
    )


@refuses_script
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: _Flag = None,
    reduce: _Flag = None,
    reduction: str = "mean",
    log_target: bool = False,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """Kullback-Leibler divergence of `target` from the log-probabilities `input`.

    With log_target=True `target` holds log-probabilities too. The divergence of a batch of
    distributions is reduction="batchmean"; "mean" divides by all elements and says so in a warning.
    Kullback and Leibler (1951), doi:10.1214/aoms/1177729694.

    Shapes: input and target alike (*), or one broadcasts to the other; the result is () or,
    with "none", (*). The value is in nats.

    Raises: ShapeError, DtypeError, ParameterError (reduction, log_target).
    """
    if has_override(input, target, sample_weight, mask, normalizer):
        return overridden(kl_div, locals())
    _warn_of_mean(size_average, reduce, reduction)
    return divergence.kl_div.run(
        input,
        target,
        log_target,
        None,
        legacy_reduction(size_average, reduce, reduction),
        sample_weight,
        mask,
        normalizer,
    )


@refuses_script
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: _Flag = None,
    reduce: _Flag = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """Cross entropy of the probability `input` with the truth `target`, both in [0, 1].

    `weight` broadcasts and multiplies; the mean still divides by the number of elements. An input
    outside [0, 1] raises DomainError on the CPU and makes the loss nan elsewhere. Good (1952),
    doi:10.1111/j.2517-6161.1952.tb00104.x.

    Shapes: input and target alike (*), or one broadcasts to the other; the result is () or,
    with "none", (*). The value is in nats.

    Raises: ShapeError, DtypeError, DomainError (input), ParameterError (reduction).
    """
    if has_override(input, target, weight, sample_weight, mask, normalizer):
        return overridden(binary_cross_entropy, locals())
    return binary.binary_cross_entropy.run(
        input,
        target,
        weight,
        legacy_reduction(size_average, reduce, reduction),
        sample_weight,
        mask,
        normalizer,
    )


@refuses_script
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: _Flag = None,
    reduce: _Flag = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """Cross entropy of the probability sigmoid(input) with the truth `target` in [0, 1].

    `pos_weight` broadcasts to input and multiplies the cost of positives; `weight` multiplies all,
    and the mean still divides by the number of elements. Cox (1958),
    doi:10.1111/j.2517-6161.1958.tb00292.x.

    Shapes: input and target alike (*), or one broadcasts to the other; the result is () or,
    with "none", (*). The value is in nats.

    Raises: ShapeError, DtypeError, ParameterError (reduction).
    """
    if has_override(input, target, weight, pos_weight, sample_weight, mask, normalizer):
        return overridden(binary_cross_entropy_with_logits, locals())
    return binary.binary_cross_entropy_with_logits.run(
        input,
        target,
        pos_weight,
        weight,
        legacy_reduction(size_average, reduce, reduction),
        sample_weight,
        mask,
        normalizer,
    )


@refuses_script
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: _Flag = None,
    ignore_index: int = -100,
    reduce: _Flag = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    dim: int = 1,
    z_loss: float = 0.0,
    softcap: float | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """Surprise at the true class, given its logits: -weight[y] log(softmax(input)[y]).

    `target` holds class indices of any integer dtype, or class probabilities in the shape of the
    input. Rows whose index is `ignore_index` do not count. With indices the mean divides by the
    sum of the weights of their classes, with probabilities by the number of rows.
    `label_smoothing` in [0, 1] moves that share of the mass to all classes alike. `dim` is the
    axis of the classes. `z_loss` adds z_loss * logsumexp(input)^2 to each row (Chowdhery et al.
    (2022), arXiv:2204.02311), `softcap` replaces the logits by softcap * tanh(input / softcap)
    (Gemma Team (2024), arXiv:2408.00118). Good (1952), doi:10.1111/j.2517-6161.1952.tb00104.x.

    Shapes: input (C) or (N, C) or (N, C, d1, ...), the classes on axis `dim`; target the same
    without that axis, or with it for probabilities; weight (C); the result is () or, with "none",
    the shape without the axis.

    Raises: ShapeError, DtypeError, ParameterError (any option), DomainError (an index that is no
    class).
    """
    if has_override(input, target, weight, sample_weight, mask, normalizer):
        return overridden(cross_entropy, locals())
    return rowwise.cross_entropy.cross_entropy.run(
        input,
        target,
        weight,
        ignore_index,
        label_smoothing,
        dim,
        z_loss,
        softcap,
        legacy_reduction(size_average, reduce, reduction),
        sample_weight,
        mask,
        normalizer,
    )


@refuses_script
def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: object = None,
    z_loss: float = 0.0,
    softcap: float | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """cross_entropy of the logits input @ linear_weight.T + linear_bias, which never exist whole.

    Chunks of rows become logits, their gradient, and parts of the gradients of input, weight and
    bias; rows that are ignored take part in no product. All options are cross_entropy's; an
    `ignore_index` of None is -100. `options` are those of torch's chunks: accepted, not needed.
    Wijmans et al. (2024), arXiv:2411.09009.

    Shapes: input (features) or (..., features), linear_weight (classes, features), linear_bias
    (classes); target (...) or, for probabilities, (..., classes); the result is () or, with
    "none", (...). With linear_weight (classes, d1, ..., features) and input (N, features) there
    is a target (N, d1, ...), and the logits do exist.

    Raises: ShapeError, DtypeError, ParameterError (any option), DomainError (an index that is no
    class).
    """
    if has_override(
        input, linear_weight, target, linear_bias, weight, sample_weight, mask, normalizer
    ):
        return overridden(linear_cross_entropy, locals())
    return rowwise.linear_cross_entropy.linear_cross_entropy.run(
        input,
        linear_weight,
        target,
        linear_bias,
        weight,
        ignore_index,
        label_smoothing,
        z_loss,
        softcap,
        reduction,
        sample_weight,
        mask,
        normalizer,
    )


@refuses_script
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: _Flag = None,
    ignore_index: int = -100,
    reduce: _Flag = None,
    reduction: str = "mean",
    *,
    dim: int = 1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """Surprise at the true class, given log-probabilities: -weight[y] input[y].

    `target` holds class indices of any integer dtype. Rows whose index is `ignore_index` do not
    count; the mean divides by the sum of the weights of the classes that do. `dim` is the axis of
    the classes. Good (1952), doi:10.1111/j.2517-6161.1952.tb00104.x.

    Shapes: input (C) or (N, C) or (N, C, d1, ...), the classes on axis `dim`; target the same
    without that axis; weight (C); the result is () or, with "none", the shape of target. The value
    is in nats.

    Raises: ShapeError, DtypeError, ParameterError (reduction, ignore_index, dim), DomainError (an
    index that is no class).
    """
    if has_override(input, target, weight, sample_weight, mask, normalizer):
        return overridden(nll_loss, locals())
    return rowwise.nll.nll_loss.run(
        input,
        target,
        weight,
        ignore_index,
        dim,
        legacy_reduction(size_average, reduce, reduction),
        sample_weight,
        mask,
        normalizer,
    )


@refuses_script
def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: _Flag = None,
    reduce: _Flag = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """Cross entropy of several labels that may hold at once, averaged over the labels of a row.

    `target` says for each label whether it holds, in [0, 1]; input holds their logits. `weight`
    multiplies the cost of each label, and the mean over labels still divides by their number. Cox
    (1958), doi:10.1111/j.2517-6161.1958.tb00292.x.

    Shapes: input and target (C) or (N, C) or (N, d1, ..., C), the labels last; weight (C), or
    broadcasting to input; the result is () or, with "none", the shape without the last axis, to
    which sample_weight and mask broadcast. The value is in nats.

    Raises: ShapeError, DtypeError, ParameterError (reduction, normalizer).
    """
    if has_override(input, target, weight, sample_weight, mask, normalizer):
        return overridden(multilabel_soft_margin_loss, locals())
    return rowwise.multilabel_soft_margin.multilabel_soft_margin_loss.run(
        input,
        target,
        weight,
        legacy_reduction(size_average, reduce, reduction),
        sample_weight,
        mask,
        normalizer,
    )


@refuses_script
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: _Flag = None,
    reduce: _Flag = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """Logistic loss log(1 + exp(-target input)) of labels -1 and 1.

    Friedman, Hastie and Tibshirani (2000), doi:10.1214/aos/1016218223.

    Shapes: input and target alike (*), or one broadcasts to the other; the result is () or,
    with "none", (*).

    Raises: ShapeError, DtypeError, ParameterError (reduction).
    """
    if has_override(input, target, sample_weight, mask, normalizer):
        return overridden(soft_margin_loss, locals())
    return binary.soft_margin_loss.run(
        input,
        target,
        None,
        legacy_reduction(size_average, reduce, reduction),
        sample_weight,
        mask,
        normalizer,
    )


@refuses_script
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: _Flag = None,
    reduce: _Flag = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """How far others come within a margin of the true class y, or ahead of it.

    The mean over classes of weight[y] max(0, margin - input[y] + input[i])^p, where i = y counts as
    0 and `p` is 1 or 2. `target` holds class indices of any integer dtype. The mean divides by the
    number of rows, whatever their weights. Weston and Watkins (1999), Proceedings of ESANN,
    219-224.

    Shapes: input (C) or (N, C) or (N, C, d1, ...); target the same without the axis of classes;
    weight (C); the result is () or, with "none", the shape of target. margin is in the unit of the
    scores.

    Raises: ShapeError, DtypeError, ParameterError (reduction, p, margin), DomainError (an index
    that is no class).
    """
    if has_override(input, target, weight, sample_weight, mask, normalizer):
        return overridden(multi_margin_loss, locals())
    return rowwise.multi_margin.multi_margin_loss.run(
        input,
        target,
        weight,
        p,
        margin,
        legacy_reduction(size_average, reduce, reduction),
        sample_weight,
        mask,
        normalizer,
    )


@refuses_script
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: _Flag = None,
    reduce: _Flag = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """max(0, -target (input1 - input2) + margin): target 1 wants input1 higher, -1 input2.

    Herbrich, Graepel and Obermayer (1999), doi:10.1049/cp:19991091.

    Shapes: input1, input2 and target alike (*), or broadcasting to (*), the shape of input1 or
    input2; the result is () or, with "none", (*). margin is in the unit of the scores.

    Raises: ShapeError, DtypeError, ParameterError (reduction, margin).
    """
    if has_override(input1, input2, target, sample_weight, mask, normalizer):
        return overridden(margin_ranking_loss, locals())
    return ranking.margin_ranking_loss.run(
        input1,
        input2,
        target,
        margin,
        None,
        legacy_reduction(size_average, reduce, reduction),
        sample_weight,
        mask,
        normalizer,
    )


@refuses_script
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: _Flag = None,
    reduce: _Flag = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """The distance `input` where target is 1, max(0, margin - input) where it is -1.

    Hadsell, Chopra and LeCun (2006), doi:10.1109/CVPR.2006.100, without their squares.

    Shapes: input and target alike (*), or one broadcasts to the other; the result is () or,
    with "none", (*). margin is in the unit of the distance.

    Raises: ShapeError, DtypeError, ParameterError (reduction, margin).
    """
    if has_override(input, target, sample_weight, mask, normalizer):
        return overridden(hinge_embedding_loss, locals())
    return ranking.hinge_embedding_loss.run(
        input,
        target,
        margin,
        None,
        legacy_reduction(size_average, reduce, reduction),
        sample_weight,
        mask,
        normalizer,
    )


@refuses_script
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: _Flag = None,
    reduce: _Flag = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """1 - cos(input1, input2) where target is 1, max(0, cos(input1, input2) - margin) where -1.

    Pairs with another label count nothing in the sum. The cosine of a vector without length is 0,
    and so is its gradient. Bromley et al. (1993),
    doi:10.1142/S0218001493000339.

    Shapes: input1 and input2 alike (D) or (*, D), or the rows of one broadcast to those of the
    other; target () or (*); the result is () or, with "none", (*). margin is a cosine.

    Raises: ShapeError, DtypeError, ParameterError (reduction, margin).
    """
    if has_override(input1, input2, target, sample_weight, mask, normalizer):
        return overridden(cosine_embedding_loss, locals())
    return rowwise.cosine_embedding.cosine_embedding_loss.run(
        input1,
        input2,
        target,
        margin,
        legacy_reduction(size_average, reduce, reduction),
        sample_weight,
        mask,
        normalizer,
    )


@refuses_script
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: _Flag = None,
    reduce: _Flag = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d(x, y) = |x - y + eps|_p.

    The p-norm has p > 0 or p = inf. With `swap` the negative is measured from the positive where
    that is closer to it. Balntas, Riba, Ponsa and Mikolajczyk (2016), doi:10.5244/C.30.119.

    Shapes: anchor, positive and negative alike (D) or (*, D), or rows that broadcast to those of
    one of them; the result is () or, with "none", (*). margin > 0 and eps are in the unit of the
    vectors.

    Raises: ShapeError, DtypeError, ParameterError (reduction, margin, p, eps, swap).
    """
    if has_override(anchor, positive, negative, sample_weight, mask, normalizer):
        return overridden(triplet_margin_loss, locals())
    return rowwise.triplet_margin.triplet_margin_loss.run(
        anchor,
        positive,
        negative,
        margin,
        p,
        eps,
        swap,
        legacy_reduction(size_average, reduce, reduction),
        sample_weight,
        mask,
        normalizer,
    )


@refuses_script
def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) for a distance of one's own.

    `distance_function` takes two tensors and returns a distance for each row; None is
    pairwise_distance with p = 2. p-norms, squared Euclidean and cosine distances, however they are
    written, are recognised by calling the function once with stand-ins for the tensors, and
    computed in the same pass; any other is called as it is. With `swap` the negative is measured
    from the positive where that is closer to it. Balntas, Riba,
    Ponsa and Mikolajczyk (2016), doi:10.5244/C.30.119.

    Shapes: anchor, positive and negative (N, *), or whatever the distance takes, with as many
    axes; the result is () or, with "none", that of the distances. margin > 0 is in their unit.

    Raises: ShapeError, DtypeError, ParameterError (reduction, margin, swap, distance_function).
    """
    if has_override(anchor, positive, negative, sample_weight, mask, normalizer):
        return overridden(triplet_margin_with_distance_loss, locals())
    return rowwise.triplet_margin_with_distance.triplet_margin_with_distance_loss.run(
        anchor,
        positive,
        negative,
        distance_function,
        margin,
        swap,
        reduction,
        sample_weight,
        mask,
        normalizer,
    )


def legacy_reduction(size_average: _Flag, reduce: _Flag, reduction: str) -> str:
    """The reduction that the deprecated size_average and reduce ask for, if they are given."""
    if size_average is None and reduce is None:
        return reduction
    summed = "sum" if size_average is False else "mean"
    reduction = "none" if reduce is False else summed
    if torch.compiler.is_compiling():
        return reduction
    warn(
        "size_average and reduce args will be deprecated, please use "
        f"reduction='{reduction}' instead."
    )
    return reduction


def _as_variance(var: Any, input: Any) -> Any:
    """torch's rules: a number is everybody's, and a missing last axis is a variance per row."""
    if not isinstance(input, Tensor) or isinstance(var, bool):
        return var  # refused where all tensors are
    if isinstance(var, Tensor):
        return var.unsqueeze(-1) if input.shape != var.shape == input.shape[:-1] else var
    if not isinstance(var, Real):
        return var
    if var < 0:
        raise DomainError(f"gaussian_nll_loss: `var` must be a variance, >= 0; got {var}.")
    return torch.full((), float(var), dtype=input.dtype, device=input.device)


def _warn_of_mean(size_average: _Flag, reduce: _Flag, reduction: str) -> None:
    legacy = size_average is not None or reduce is not None
    if reduction == "mean" and not legacy and not torch.compiler.is_compiling():
        warn(
            "kl_div: reduction 'mean' divides by the number of elements, so it is not the "
            "divergence; 'batchmean' divides by the batch size and is."
        )
