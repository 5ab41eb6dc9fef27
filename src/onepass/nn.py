"""The loss classes of torch.nn, built on functional.py: same names, constructors and state_dict.

Called with `sample_weight`, `mask` and `normalizer` beyond torch, as the functions are. Options
are checked when a loss is built, its repr says what it is, and `type(loss)(**loss.config())`
builds it again. A loss of one's own becomes a module by `PointwiseLoss(my_loss, ...)`.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from onepass import functional as F
from onepass import rowwise
from onepass.catalogue import register
from onepass.define import Pointwise, Rowwise
from onepass.errors import ParameterError
from onepass.pointwise import binary, divergence, likelihood, ranking, regression
from onepass.rowwise import labels
from onepass.runtime import keywords
from onepass.runtime.overrides import not_scriptable

_LEGACY = ("size_average", "reduce")
_Flag = bool | None


class Loss(torch.nn.Module):
    """What all losses share. A class names its loss: `class MyLoss(Loss, loss=my_loss)`.

    Whoever derives from one of them may use any name: beside torch's own attributes, which
    `forward` reads as torch's does, what a loss needs is called `_onepass_...`.
    """

    _onepass_loss: ClassVar[Pointwise | Rowwise]
    _onepass_options: ClassVar[Mapping[str, Any]]  # of the constructor, with their defaults
    _onepass_beyond: Mapping[str, Any] = {}  # options that torch does not have

    def __init_subclass__(cls, loss: Pointwise | Rowwise | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if loss is not None:
            arguments = inspect.signature(cls).parameters.values()
            cls._onepass_options = {a.name: a.default for a in arguments if a.name not in _LEGACY}
            cls._onepass_loss = loss
            register(loss, cls)

    def __init__(
        self, *, reduction: str, beyond: Mapping[str, Any] | None = None, **settings: Any
    ) -> None:
        """Check the options, and give torch's constructor those that it has."""
        reduction = keywords.reduction(type(self).__name__, reduction)
        loss, beyond = self._onepass_loss, beyond or {}
        known = {n: v for n, v in {**settings, **beyond}.items() if n in loss.options}
        checked = loss.checked(known)
        settings = {n: v if v is None else checked.get(n, v) for n, v in settings.items()}
        super().__init__(reduction=reduction, **settings)
        self._onepass_beyond = {name: checked[name] for name in beyond}

    if TYPE_CHECKING:

        def config(self) -> dict[str, Any]:
            """The arguments that build this loss again."""
            ...

    def _onepass_config(self) -> dict[str, Any]:
        """The arguments that build this loss again: `loss.config()`, unless that name is taken."""
        beyond = self._onepass_beyond
        return {n: beyond[n] if n in beyond else getattr(self, n) for n in self._onepass_options}

    def extra_repr(self) -> str:
        """Whatever is not the default."""
        return ", ".join(
            f"{name}={_shown(setting)}"
            for name, setting in self._onepass_config().items()
            if not _is_default(setting, self._onepass_options[name])
        )

    def __getattr__(self, name: str) -> Any:
        if "_parameters" not in self.__dict__:
            kind = type(self).__name__
            raise AttributeError(
                f"{kind}: there is no `{name}` yet, since {kind}.__init__ has not called "
                "super().__init__(). Write that as its first line."
            )
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "config":  # no attribute of the class: it would hide a module called so
                return self._onepass_config
            raise

    def __prepare_scriptable__(self) -> Any:
        raise not_scriptable(type(self).__name__)


def _is_default(setting: Any, default: Any) -> bool:
    """Whether it need not be shown; a module is shown as the module that it is."""
    if isinstance(setting, Tensor | torch.nn.Module):
        return isinstance(setting, torch.nn.Module)
    return setting == default


def _shown(setting: Any) -> str:
    return f"<{tuple(setting.shape)}>" if isinstance(setting, Tensor) else repr(setting)


class L1Loss(Loss, torch.nn.L1Loss, loss=regression.l1_loss):
    """Absolute error. See functional.l1_loss."""

    def __init__(
        self,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=F.legacy_reduction(size_average, reduce, reduction))

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of these tensors; shapes as in functional.l1_loss."""
        return F.l1_loss(
            input,
            target,
            reduction=self.reduction,
            sample_weight=sample_weight,
            mask=mask,
            normalizer=normalizer,
        )


class MSELoss(Loss, torch.nn.MSELoss, loss=regression.mse_loss):
    """Squared error. See functional.mse_loss."""

    def __init__(
        self,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=F.legacy_reduction(size_average, reduce, reduction))

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of these tensors; shapes as in functional.mse_loss."""
        return F.mse_loss(
            input,
            target,
            reduction=self.reduction,
            sample_weight=sample_weight,
            mask=mask,
            normalizer=normalizer,
        )


class HuberLoss(Loss, torch.nn.HuberLoss, loss=regression.huber_loss):
    """Squared error up to delta, linear beyond. See functional.huber_loss."""

    def __init__(
        self,
        reduction: str = "mean",
        delta: float = 1.0,
    ) -> None:
        super().__init__(reduction=reduction, delta=delta)

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of these tensors; shapes as in functional.huber_loss."""
        return F.huber_loss(
            input,
            target,
            delta=self.delta,
            reduction=self.reduction,
            sample_weight=sample_weight,
            mask=mask,
            normalizer=normalizer,
        )


class SmoothL1Loss(Loss, torch.nn.SmoothL1Loss, loss=regression.smooth_l1_loss):
    """Absolute error, rounded off within beta. See functional.smooth_l1_loss."""

    def __init__(
        self,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(reduction=F.legacy_reduction(size_average, reduce, reduction), beta=beta)

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of these tensors; shapes as in functional.smooth_l1_loss."""
        return F.smooth_l1_loss(
            input,
            target,
            beta=self.beta,
            reduction=self.reduction,
            sample_weight=sample_weight,
            mask=mask,
            normalizer=normalizer,
        )


class GaussianNLLLoss(Loss, torch.nn.GaussianNLLLoss, loss=likelihood.gaussian_nll_loss):
    """Normal likelihood of a predicted mean and variance. See functional.gaussian_nll_loss."""

    def __init__(
        self,
        *,
        full: bool = False,
        eps: float = 1e-6,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction, full=full, eps=eps)

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        var: Tensor | float,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of these tensors; shapes as in functional.gaussian_nll_loss."""
        return F.gaussian_nll_loss(
            input,
            target,
            var,
            full=self.full,
            eps=self.eps,
            reduction=self.reduction,
            sample_weight=sample_weight,
            mask=mask,
            normalizer=normalizer,
        )


class PoissonNLLLoss(Loss, torch.nn.PoissonNLLLoss, loss=likelihood.poisson_nll_loss):
    """Poisson likelihood of a predicted rate. See functional.poisson_nll_loss."""

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
            reduction=F.legacy_reduction(size_average, reduce, reduction),
            log_input=log_input,
            full=full,
            eps=eps,
        )

    def forward(
        self,
        log_input: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of these tensors; shapes as in functional.poisson_nll_loss."""
        return F.poisson_nll_loss(
            log_input,
            target,
            log_input=self.log_input,
            full=self.full,
            eps=self.eps,
            reduction=self.reduction,
            sample_weight=sample_weight,
            mask=mask,
            normalizer=normalizer,
        )


class KLDivLoss(Loss, torch.nn.KLDivLoss, loss=divergence.kl_div):
    """Divergence of distributions in log space. See functional.kl_div."""

    def __init__(
        self,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(
            reduction=F.legacy_reduction(size_average, reduce, reduction), log_target=log_target
        )

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of these tensors; shapes as in functional.kl_div."""
        return F.kl_div(
            input,
            target,
            log_target=self.log_target,
            reduction=self.reduction,
            sample_weight=sample_weight,
            mask=mask,
            normalizer=normalizer,
        )


class BCELoss(Loss, torch.nn.BCELoss, loss=binary.binary_cross_entropy):
    """Binary cross entropy of probabilities. See functional.binary_cross_entropy."""

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(
            reduction=F.legacy_reduction(size_average, reduce, reduction), weight=weight
        )

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of these tensors; shapes as in functional.binary_cross_entropy."""
        return F.binary_cross_entropy(
            input,
            target,
            weight=self.weight,
            reduction=self.reduction,
            sample_weight=sample_weight,
            mask=mask,
            normalizer=normalizer,
        )


class BCEWithLogitsLoss(
    Loss, torch.nn.BCEWithLogitsLoss, loss=binary.binary_cross_entropy_with_logits
):
    """Binary cross entropy of logits. See functional.binary_cross_entropy_with_logits."""

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(
            reduction=F.legacy_reduction(size_average, reduce, reduction),
            weight=weight,
            pos_weight=pos_weight,
        )

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of these tensors; shapes as in functional.binary_cross_entropy_with_logits."""
        return F.binary_cross_entropy_with_logits(
            input,
            target,
            weight=self.weight,
            pos_weight=self.pos_weight,
            reduction=self.reduction,
            sample_weight=sample_weight,
            mask=mask,
            normalizer=normalizer,
        )


class CrossEntropyLoss(Loss, torch.nn.CrossEntropyLoss, loss=rowwise.cross_entropy.cross_entropy):
    """Softmax and log-likelihood in one step. See functional.cross_entropy."""

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
        labels.check_class_weight(type(self).__name__, weight)
        super().__init__(
            reduction=F.legacy_reduction(size_average, reduce, reduction),
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
            beyond={"dim": dim, "z_loss": z_loss, "softcap": softcap},
            weight=weight,
        )

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of these tensors; shapes as in functional.cross_entropy."""
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction=self.reduction,
            **self._onepass_beyond,
            sample_weight=sample_weight,
            mask=mask,
            normalizer=normalizer,
        )


class LinearCrossEntropyLoss(
    Loss, torch.nn.LinearCrossEntropyLoss, loss=rowwise.linear_cross_entropy.linear_cross_entropy
):
    """A linear layer and the cross entropy of its logits. See functional.linear_cross_entropy.

    The layer is `linear`, whose parameters are the class's own, as in torch.
    """

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
        options: Any = None,
        z_loss: float = 0.0,
        softcap: float | None = None,
    ) -> None:
        labels.check_class_weight(type(self).__name__, weight, num_classes)
        super().__init__(
            in_features=in_features,
            num_classes=num_classes,
            out_features=tuple(out_features),
            bias=bias,
            device=device,
            dtype=dtype,
            reduction=reduction,
            weight=weight,
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
            options=options,
            beyond={"z_loss": z_loss, "softcap": softcap},
        )

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of hidden states and a target; shapes as in functional.linear_cross_entropy."""
        shape = self.num_classes, *self.out_features
        layer: Any = self.linear  # whose bias may be None
        return F.linear_cross_entropy(
            input,
            layer.weight.reshape(*shape, layer.in_features),
            target,
            linear_bias=None if layer.bias is None else layer.bias.reshape(shape),
            weight=self.weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            options=self.options,
            reduction=self.reduction,
            **self._onepass_beyond,
            sample_weight=sample_weight,
            mask=mask,
            normalizer=normalizer,
        )

    def _onepass_config(self) -> dict[str, Any]:
        layer: Any = self.linear
        of_layer = {
            "in_features": layer.in_features,
            "bias": layer.bias is not None,
            "device": layer.weight.device,
            "dtype": layer.weight.dtype,
        }
        of_loss = {n: getattr(self, n) for n in self._onepass_options if hasattr(self, n)}
        chosen = of_layer | of_loss | dict(self._onepass_beyond)
        return {name: chosen[name] for name in self._onepass_options}

    def extra_repr(self) -> str:
        """Whatever is not the default; the layer shows the rest itself."""
        shown = super().extra_repr().split(", ")
        return ", ".join(part for part in shown if not part.startswith(("device=", "dtype=")))


class NLLLoss(Loss, torch.nn.NLLLoss, loss=rowwise.nll.nll_loss):
    """Likelihood of the true class, from log-probabilities. See functional.nll_loss."""

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
        labels.check_class_weight(type(self).__name__, weight)
        super().__init__(
            reduction=F.legacy_reduction(size_average, reduce, reduction),
            ignore_index=ignore_index,
            beyond={"dim": dim},
            weight=weight,
        )

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of these tensors; shapes as in functional.nll_loss."""
        return F.nll_loss(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            **self._onepass_beyond,
            sample_weight=sample_weight,
            mask=mask,
            normalizer=normalizer,
        )


class MultiLabelSoftMarginLoss(
    Loss,
    torch.nn.MultiLabelSoftMarginLoss,
    loss=rowwise.multilabel_soft_margin.multilabel_soft_margin_loss,
):
    """A yes or no for each of several labels. See functional.multilabel_soft_margin_loss."""

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(
            reduction=F.legacy_reduction(size_average, reduce, reduction), weight=weight
        )

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of these tensors; shapes as in functional.multilabel_soft_margin_loss."""
        return F.multilabel_soft_margin_loss(
            input,
            target,
            weight=self.weight,
            reduction=self.reduction,
            sample_weight=sample_weight,
            mask=mask,
            normalizer=normalizer,
        )


class SoftMarginLoss(Loss, torch.nn.SoftMarginLoss, loss=binary.soft_margin_loss):
    """Logistic loss of labels -1 and 1. See functional.soft_margin_loss."""

    def __init__(
        self,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=F.legacy_reduction(size_average, reduce, reduction))

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of these tensors; shapes as in functional.soft_margin_loss."""
        return F.soft_margin_loss(
            input,
            target,
            reduction=self.reduction,
            sample_weight=sample_weight,
            mask=mask,
            normalizer=normalizer,
        )


class MultiMarginLoss(Loss, torch.nn.MultiMarginLoss, loss=rowwise.multi_margin.multi_margin_loss):
    """The true class ahead of every other by a margin. See functional.multi_margin_loss."""

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
    ) -> None:
        labels.check_class_weight(type(self).__name__, weight)
        super().__init__(
            reduction=F.legacy_reduction(size_average, reduce, reduction),
            p=p,
            margin=margin,
            weight=weight,
        )

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of these tensors; shapes as in functional.multi_margin_loss."""
        return F.multi_margin_loss(
            input,
            target,
            p=self.p,
            margin=self.margin,
            weight=self.weight,
            reduction=self.reduction,
            sample_weight=sample_weight,
            mask=mask,
            normalizer=normalizer,
        )


class MarginRankingLoss(Loss, torch.nn.MarginRankingLoss, loss=ranking.margin_ranking_loss):
    """Which of two scores is higher, by a margin. See functional.margin_ranking_loss."""

    def __init__(
        self,
        margin: float = 0.0,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(
            reduction=F.legacy_reduction(size_average, reduce, reduction), margin=margin
        )

    def forward(
        self,
        input1: Tensor,
        input2: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of these tensors; shapes as in functional.margin_ranking_loss."""
        return F.margin_ranking_loss(
            input1,
            input2,
            target,
            margin=self.margin,
            reduction=self.reduction,
            sample_weight=sample_weight,
            mask=mask,
            normalizer=normalizer,
        )


class HingeEmbeddingLoss(Loss, torch.nn.HingeEmbeddingLoss, loss=ranking.hinge_embedding_loss):
    """Distances of similar and dissimilar pairs. See functional.hinge_embedding_loss."""

    def __init__(
        self,
        margin: float = 1.0,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(
            reduction=F.legacy_reduction(size_average, reduce, reduction), margin=margin
        )

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of these tensors; shapes as in functional.hinge_embedding_loss."""
        return F.hinge_embedding_loss(
            input,
            target,
            margin=self.margin,
            reduction=self.reduction,
            sample_weight=sample_weight,
            mask=mask,
            normalizer=normalizer,
        )


class CosineEmbeddingLoss(
    Loss, torch.nn.CosineEmbeddingLoss, loss=rowwise.cosine_embedding.cosine_embedding_loss
):
    """Pairs that should, or should not, point one way. See functional.cosine_embedding_loss."""

    def __init__(
        self,
        margin: float = 0.0,
        size_average: _Flag = None,
        reduce: _Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(
            reduction=F.legacy_reduction(size_average, reduce, reduction), margin=margin
        )

    def forward(
        self,
        input1: Tensor,
        input2: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of these tensors; shapes as in functional.cosine_embedding_loss."""
        return F.cosine_embedding_loss(
            input1,
            input2,
            target,
            margin=self.margin,
            reduction=self.reduction,
            sample_weight=sample_weight,
            mask=mask,
            normalizer=normalizer,
        )


class TripletMarginLoss(
    Loss, torch.nn.TripletMarginLoss, loss=rowwise.triplet_margin.triplet_margin_loss
):
    """Anchors closer to their positives than to negatives. See functional.triplet_margin_loss."""

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
            reduction=F.legacy_reduction(size_average, reduce, reduction),
            margin=margin,
            p=p,
            eps=eps,
            swap=swap,
        )

    def forward(
        self,
        anchor: Tensor,
        positive: Tensor,
        negative: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of these tensors; shapes as in functional.triplet_margin_loss."""
        return F.triplet_margin_loss(
            anchor,
            positive,
            negative,
            margin=self.margin,
            p=self.p,
            eps=self.eps,
            swap=self.swap,
            reduction=self.reduction,
            sample_weight=sample_weight,
            mask=mask,
            normalizer=normalizer,
        )


class TripletMarginWithDistanceLoss(
    Loss,
    torch.nn.TripletMarginWithDistanceLoss,
    loss=rowwise.triplet_margin_with_distance.triplet_margin_with_distance_loss,
):
    """Triplets under any distance. See functional.triplet_margin_with_distance_loss."""

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(
            reduction=reduction, distance_function=distance_function, margin=margin, swap=swap
        )

    def forward(
        self,
        anchor: Tensor,
        positive: Tensor,
        negative: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of these tensors; shapes as in functional.triplet_margin_with_distance_loss."""
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
            sample_weight=sample_weight,
            mask=mask,
            normalizer=normalizer,
        )


class PointwiseLoss(Loss):
    """A loss of one's own as a module: `PointwiseLoss(my_loss, reduction="sum", eps=0.01)`.

    Settings are the loss's parameters and flags; ParameterError for one that it does not have.
    """

    def __init__(self, loss: Pointwise, reduction: str = "mean", **settings: Any) -> None:
        if not hasattr(loss, "formula"):
            raise ParameterError(
                f"PointwiseLoss: `loss` must be made by @onepass.pointwise, got {loss!r:.60}."
            )
        self.__dict__["_onepass_loss"] = loss  # an instance's own, where the classes share theirs
        keywords.unknown(loss.name, settings, [*loss.options])
        reduction, checked = keywords.reduction(loss.name, reduction), loss.checked(settings)
        torch.nn.Module.__init__(self)
        self.reduction = reduction
        self.__dict__["_onepass_options"] = dict.fromkeys(checked)
        for name, setting in checked.items():
            setattr(self, name, setting)

    def forward(self, *tensors: Tensor, **named: Any) -> Tensor:
        """The loss of these tensors."""
        settings = {name: getattr(self, name) for name in self._onepass_options}
        loss: Any = self._onepass_loss
        return loss(*tensors, reduction=self.reduction, **settings, **named)

    def _onepass_config(self) -> dict[str, Any]:
        chosen = {name: getattr(self, name) for name in self._onepass_options}
        return {"loss": self._onepass_loss, "reduction": self.reduction, **chosen}

    def extra_repr(self) -> str:
        """The loss's name and the settings chosen."""
        chosen = [f"{name}={getattr(self, name)!r}" for name in self._onepass_options]
        return ", ".join([self._onepass_loss.name, f"reduction={self.reduction!r}", *chosen])
