"""The loss classes of torch.nn, built on functional.py: same names, constructors and state_dict.

Called with `sample_weight`, `mask` and `normalizer` beyond torch, as the functions are. Options
are checked when a loss is built, its repr says what it is, and `type(loss)(**loss.config())`
builds it again. A loss of one's own becomes a module by `PointwiseLoss(my_loss, ...)`.
"""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from onepass import functional as F
from onepass import rowwise
from onepass.define import Pointwise, Rowwise, catalogue, register
from onepass.errors import ParameterError
from onepass.pointwise import binary, divergence, likelihood, ranking, regression
from onepass.rowwise import labels
from onepass.runtime import checks
from onepass.runtime.reduce import REDUCTIONS

_LEGACY = ("size_average", "reduce")
_Flag = bool | None


class Loss(torch.nn.Module):
    """What all losses share. A subclass names its loss, its function and its options."""

    loss: ClassVar[Pointwise | Rowwise]
    function: ClassVar[Callable[..., Tensor]]
    _settings: ClassVar[tuple[str, ...]] = ()
    reduction: str

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        arguments = inspect.signature(cls).parameters
        cls._settings = tuple(name for name in arguments if name not in _LEGACY)
        if "loss" in vars(cls):
            register(cls.loss, cls)

    def __init__(self, reduction: str, **settings: Any) -> None:
        super().__init__()
        checks.reduction(type(self).__name__, reduction, REDUCTIONS)
        self.reduction = reduction
        self.loss.settings(settings)
        for name, setting in settings.items():
            setattr(self, name, setting)

    def forward(self, *tensors: Tensor, **named: Any) -> Tensor:
        """The loss of these tensors; shapes as in the function of the same loss."""
        return type(self).function(*tensors, **self.config(), **named)

    def config(self) -> dict[str, Any]:
        """The arguments that build this loss again."""
        return {name: getattr(self, name) for name in self._settings}

    def extra_repr(self) -> str:
        """Whatever is not the default."""
        arguments = inspect.signature(type(self)).parameters
        return ", ".join(
            f"{name}={_shown(setting)}"
            for name, setting in self.config().items()
            if isinstance(setting, Tensor) or setting != arguments[name].default
        )


def _shown(setting: Any) -> str:
    return f"<{tuple(setting.shape)}>" if isinstance(setting, Tensor) else repr(setting)


def _register_class_weight(loss: Loss, weight: Tensor | None, classes: int | None = None) -> None:
    labels.check_class_weight(type(loss).__name__, weight, classes)
    loss.register_buffer("weight", weight)


class L1Loss(Loss):
    """Absolute error. See functional.l1_loss."""

    loss = regression.l1_loss
    function = staticmethod(F.l1_loss)

    def __init__(
        self,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(F.legacy_reduction(size_average, reduce, reduction))


class MSELoss(Loss):
    """Squared error. See functional.mse_loss."""

    loss = regression.mse_loss
    function = staticmethod(F.mse_loss)

    def __init__(
        self,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(F.legacy_reduction(size_average, reduce, reduction))


class HuberLoss(Loss):
    """Squared error up to delta, linear beyond. See functional.huber_loss."""

    loss = regression.huber_loss
    function = staticmethod(F.huber_loss)

    def __init__(
        self,
        reduction: str = "mean",
        delta: float = 1.0,
    ) -> None:
        super().__init__(reduction, delta=delta)


class SmoothL1Loss(Loss):
    """Absolute error, rounded off within beta. See functional.smooth_l1_loss."""

    loss = regression.smooth_l1_loss
    function = staticmethod(F.smooth_l1_loss)

    def __init__(
        self,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(F.legacy_reduction(size_average, reduce, reduction), beta=beta)


class GaussianNLLLoss(Loss):
    """Normal likelihood of a predicted mean and variance. See functional.gaussian_nll_loss."""

    loss = likelihood.gaussian_nll_loss
    function = staticmethod(F.gaussian_nll_loss)

    def __init__(
        self,
        *,
        full: bool = False,
        eps: float = 1e-6,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction, full=full, eps=eps)


class PoissonNLLLoss(Loss):
    """Poisson likelihood of a predicted rate. See functional.poisson_nll_loss."""

    loss = likelihood.poisson_nll_loss
    function = staticmethod(F.poisson_nll_loss)

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: _Flag = None,
        eps: float = 1e-8,
        reduce: _Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(
            F.legacy_reduction(size_average, reduce, reduction),
            log_input=log_input,
            full=full,
            eps=eps,
        )


class KLDivLoss(Loss):
    """Divergence of distributions in log space. See functional.kl_div."""

    loss = divergence.kl_div
    function = staticmethod(F.kl_div)

    def __init__(
        self,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(F.legacy_reduction(size_average, reduce, reduction), log_target=log_target)


class BCELoss(Loss):
    """Binary cross entropy of probabilities. See functional.binary_cross_entropy."""

    loss = binary.binary_cross_entropy
    function = staticmethod(F.binary_cross_entropy)

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(F.legacy_reduction(size_average, reduce, reduction))
        self.register_buffer("weight", weight)


class BCEWithLogitsLoss(Loss):
    """Binary cross entropy of logits. See functional.binary_cross_entropy_with_logits."""

    loss = binary.binary_cross_entropy_with_logits
    function = staticmethod(F.binary_cross_entropy_with_logits)

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(F.legacy_reduction(size_average, reduce, reduction))
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)


class CrossEntropyLoss(Loss):
    """Softmax and log-likelihood in one step. See functional.cross_entropy."""

    loss = rowwise.cross_entropy.of_labels
    function = staticmethod(F.cross_entropy)

    def __init__(
        self,
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
    ) -> None:
        super().__init__(
            F.legacy_reduction(size_average, reduce, reduction),
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
            dim=dim,
            z_loss=z_loss,
            softcap=softcap,
        )
        _register_class_weight(self, weight)


class LinearCrossEntropyLoss(Loss):
    """A linear layer and the cross entropy of its logits. See functional.linear_cross_entropy.

    The layer is `linear`, whose parameters are the class's own, as in torch.
    """

    loss = rowwise.linear_cross_entropy.of_labels
    function = staticmethod(F.linear_cross_entropy)

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        reduction: str = "mean",
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: object = None,
        z_loss: float = 0.0,
        softcap: float | None = None,
    ) -> None:
        settings = {"label_smoothing": label_smoothing, "z_loss": z_loss, "softcap": softcap}
        if ignore_index is not None:
            settings["ignore_index"] = ignore_index
        super().__init__(reduction, **settings)
        self.ignore_index = ignore_index
        self.in_features, self.num_classes, self.bias = in_features, num_classes, bias
        self.out_features, self.options = tuple(out_features), options
        _register_class_weight(self, weight, num_classes)
        width = math.prod(self.out_features, start=num_classes)
        self.linear = torch.nn.Linear(in_features, width, bias, device, dtype)

    def forward(self, *tensors: Tensor, **named: Any) -> Tensor:
        """The loss of hidden states and a target; shapes as in the function."""
        shape = self.num_classes, *self.out_features
        named |= dict(zip(("input", "target"), tensors, strict=False))
        named["linear_weight"] = self.linear.weight.reshape(*shape, self.in_features)
        if self.bias:
            named["linear_bias"] = self.linear.bias.reshape(shape)
        of_layer = ("in_features", "num_classes", "out_features", "bias", "device", "dtype")
        chosen = {name: given for name, given in self.config().items() if name not in of_layer}
        return F.linear_cross_entropy(**chosen, **named)

    @property
    def device(self) -> torch.device:
        """Where the layer is."""
        return self.linear.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What the layer computes in."""
        return self.linear.weight.dtype

    def extra_repr(self) -> str:
        """Whatever is not the default; the layer shows the rest itself."""
        shown = super().extra_repr().split(", ")
        return ", ".join(part for part in shown if not part.startswith(("device=", "dtype=")))


class NLLLoss(Loss):
    """Likelihood of the true class, from log-probabilities. See functional.nll_loss."""

    loss = rowwise.nll.of_labels
    function = staticmethod(F.nll_loss)

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: _Flag = None,
        ignore_index: int = -100,
        reduce: _Flag = None,
        reduction: str = "mean",
        *,
        dim: int = 1,
    ) -> None:
        super().__init__(
            F.legacy_reduction(size_average, reduce, reduction), ignore_index=ignore_index, dim=dim
        )
        _register_class_weight(self, weight)


class MultiLabelSoftMarginLoss(Loss):
    """A yes or no for each of several labels. See functional.multilabel_soft_margin_loss."""

    loss = rowwise.multilabel_soft_margin.of_rows
    function = staticmethod(F.multilabel_soft_margin_loss)

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(F.legacy_reduction(size_average, reduce, reduction))
        self.register_buffer("weight", weight)


class SoftMarginLoss(Loss):
    """Logistic loss of labels -1 and 1. See functional.soft_margin_loss."""

    loss = binary.soft_margin_loss
    function = staticmethod(F.soft_margin_loss)

    def __init__(
        self,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(F.legacy_reduction(size_average, reduce, reduction))


class MultiMarginLoss(Loss):
    """The true class ahead of every other by a margin. See functional.multi_margin_loss."""

    loss = rowwise.multi_margin.of_labels
    function = staticmethod(F.multi_margin_loss)

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(F.legacy_reduction(size_average, reduce, reduction), p=p, margin=margin)
        _register_class_weight(self, weight)


class MarginRankingLoss(Loss):
    """Which of two scores is higher, by a margin. See functional.margin_ranking_loss."""

    loss = ranking.margin_ranking_loss
    function = staticmethod(F.margin_ranking_loss)

    def __init__(
        self,
        margin: float = 0.0,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(F.legacy_reduction(size_average, reduce, reduction), margin=margin)


class HingeEmbeddingLoss(Loss):
    """Distances of similar and dissimilar pairs. See functional.hinge_embedding_loss."""

    loss = ranking.hinge_embedding_loss
    function = staticmethod(F.hinge_embedding_loss)

    def __init__(
        self,
        margin: float = 1.0,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(F.legacy_reduction(size_average, reduce, reduction), margin=margin)


class CosineEmbeddingLoss(Loss):
    """Pairs that should, or should not, point one way. See functional.cosine_embedding_loss."""

    loss = rowwise.cosine_embedding.loss
    function = staticmethod(F.cosine_embedding_loss)

    def __init__(
        self,
        margin: float = 0.0,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(F.legacy_reduction(size_average, reduce, reduction), margin=margin)


class TripletMarginLoss(Loss):
    """Anchors closer to their positives than to negatives. See functional.triplet_margin_loss."""

    loss = rowwise.triplet_margin.loss
    function = staticmethod(F.triplet_margin_loss)

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(
            F.legacy_reduction(size_average, reduce, reduction),
            margin=margin,
            p=p,
            eps=eps,
            swap=swap,
        )


class TripletMarginWithDistanceLoss(Loss):
    """Triplets under any distance. See functional.triplet_margin_with_distance_loss."""

    loss = rowwise.triplet_margin_with_distance.loss
    function = staticmethod(F.triplet_margin_with_distance_loss)

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction, distance_function=distance_function, margin=margin, swap=swap)


class PointwiseLoss(Loss):
    """A loss of one's own as a module: `PointwiseLoss(my_loss, reduction="sum", eps=0.01)`.

    Settings are the loss's parameters and flags; ParameterError for one that it does not have.
    """

    def __init__(self, loss: Pointwise, reduction: str = "mean", **settings: Any) -> None:
        if not hasattr(loss, "formula"):
            raise ParameterError(
                f"PointwiseLoss: `loss` must be made by @onepass.pointwise, got {loss!r:.60}."
            )
        self.__dict__["loss"] = loss  # an instance's own, where the classes above share theirs
        checks.unknown_options(loss.name, settings, (*loss.parameters, *loss.flags))
        super().__init__(reduction, **settings)
        self._chosen = tuple(settings)

    def forward(self, *tensors: Tensor, **named: Any) -> Tensor:
        """The loss of these tensors."""
        settings = {name: getattr(self, name) for name in self._chosen}
        loss: Any = self.loss
        return loss(*tensors, reduction=self.reduction, **settings, **named)

    def config(self) -> dict[str, Any]:
        """The arguments that build this loss again."""
        chosen = {name: getattr(self, name) for name in self._chosen}
        return {"loss": self.loss, "reduction": self.reduction, **chosen}

    def extra_repr(self) -> str:
        """The loss's name and the settings chosen."""
        chosen = [f"{name}={getattr(self, name)!r}" for name in self._chosen]
        return ", ".join([self.loss.name, f"reduction={self.reduction!r}", *chosen])


def get(name: str, **options: Any) -> Loss:
    """Build a loss by its name: `get("huber", delta=2.0)`, "huber_loss" or "HuberLoss".

    Raises ParameterError for an unknown name or option, with the closest there is.
    """
    known = {_plain(alias): loss for loss in catalogue().values() for alias in _aliases(loss)}
    if _plain(name) not in known:
        names = [loss.name for loss in catalogue().values()]
        close = difflib.get_close_matches(_plain(name), known, 1)
        hint = f" Did you mean {known[close[0]].name!r}?" if close else ""
        raise ParameterError(f"there is no loss {name!r}; there are {', '.join(names)}.{hint}")
    module = known[_plain(name)].module
    assert module is not None  # registered with one
    arguments = [n for n in inspect.signature(module).parameters if n not in _LEGACY]
    checks.unknown_options(known[_plain(name)].name, options, arguments)
    return module(**options)  # type: ignore[return-value]


def _aliases(loss: Pointwise | Rowwise) -> tuple[str, ...]:
    module = loss.module.__name__ if loss.module else loss.name
    return loss.name, loss.name.removesuffix("_loss"), module, module.removesuffix("Loss")


def _plain(name: str) -> str:
    return str(name).lower().replace("_", "").replace("-", "")
