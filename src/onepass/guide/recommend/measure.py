"""Measures the signs of the data."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from onepass.errors import DomainError
from onepass.guide.recommend.given import Array, Given
from onepass.guide.recommend.noise import LEAST, SIGMA_OF_MAD, UNLIKE, Noise, noise_of, normal_nats
from onepass.guide.recommend.signs import (
    Counting,
    Inputs,
    Labels,
    Pairs,
    Rates,
    Rows,
    Signs,
    Triplets,
    Values,
    Variance,
)

MANY = 1 << 18  # more distinct values than this are no labels
SUMS = 5e-3  # by how much probabilities may miss a sum of 1: half a bfloat16 step is 2^-8
ENOUGH_ROWS = 10  # for columns to have medians of their own
ENOUGH = 32  # numbers in [0, 1] that are no coincidence
IGNORED = (-100.0, -1.0, 255.0)  # labels that say "no label" in torch and in data sets


def measure(data: Given) -> Signs:
    """All signs of what was given.

    Raises DomainError if nothing in the target is finite, or a class index has no score.
    """
    target = _values(data)
    inputs = _inputs(data)
    whole = target.whole and target.distinct <= MANY
    return Signs(
        target=target,
        inputs=inputs,
        noise=_noise(data) if target.distinct > 2 else None,
        counting=_counting(data, target) if whole and target.smallest >= 0 else None,
        labels=_labels(data, target, inputs) if whole and target.labels else None,
        rows=_rows(data),
        rates=_rates(data),
        variance=_variance(data) if data.form == "variance" else None,
        pairs=_pairs(data) if data.form in ("score pairs", "embedding pairs") else None,
        triplets=_triplets(data) if data.form == "triplets" else None,
        notes=data.notes,
    )


# --- the target --------------------------------------------------------------------------------


def _values(data: Given) -> Values:
    values, finite = data.target.values, data.target.finite
    if not finite.size:
        raise DomainError("recommend: no value of `target` is finite; give at least one that is.")
    distinct, sizes = np.unique(finite, return_counts=True)
    listed = distinct.size <= MANY
    columns = values.shape[-1] if values.ndim > 1 else 1
    return Values(
        shape=values.shape,
        missing=int(np.isnan(values).sum()),
        infinite=int(np.isinf(values).sum()),
        count=finite.size,
        whole=data.target.whole,
        boolean=data.target.boolean,
        names=data.target.names,
        smallest=float(distinct[0]),
        largest=float(distinct[-1]),
        mean=float(finite.mean()),
        distinct=distinct.size,
        labels=tuple(distinct.tolist()) if listed else (),
        sizes=tuple(sizes.tolist()) if listed else (),
        columns=columns,
    )


def _finite_columns(values: Array) -> list[Array]:
    """The columns of the last axis, each without what is not finite."""
    columns = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1).T
    kept = (column[np.isfinite(column)] for column in columns)
    return [column for column in kept if column.size]


def _counting(data: Given, target: Values) -> Counting:
    columns = [column for column in _finite_columns(data.target.values) if column.any()]
    dispersions = [float(column.var() / column.mean()) for column in columns] or [0.0]
    labels, sizes = np.array(target.labels), np.array(target.sizes)
    variance = float((sizes * (labels - target.mean) ** 2).sum() / target.count)
    return Counting(
        dispersion=float(np.median(dispersions)),
        dispersions=(min(dispersions), max(dispersions)),
        zeros=target.share(0.0),
        rare=_count_nats(labels, sizes / target.count, target.mean, variance),
        uniform=math.log(1 + target.largest - target.smallest),
        step=int(np.gcd.reduce(labels.astype(np.int64))),
    )


def _count_nats(labels: Array, shares: Array, mean: float, variance: float) -> float:
    """Nats per element of the negative binomial law with this mean and variance."""
    if mean == 0:
        return 0.0
    counts = torch.from_numpy(labels)
    size = mean * mean / max(variance - mean, 1e-3 * mean)  # as good as infinite: Poisson
    log_probability = (
        torch.lgamma(counts + size)
        - torch.lgamma(counts + 1)
        - math.lgamma(size)
        + size * math.log(size / (size + mean))
        + counts * math.log(mean / (size + mean))
    )
    return -float((torch.from_numpy(shares) * log_probability).sum())


def _labels(data: Given, target: Values, inputs: Inputs) -> Labels:
    found = dict(zip(target.labels, target.sizes, strict=True))
    ignored = next((label for label in IGNORED if _is_ignored(label, found, inputs)), None)
    dropped = 0 if ignored is None else found.pop(ignored)
    first, last = min(found), max(found)
    indices = first in (0, 1) and last - first + 1 <= 1.5 * len(found)
    scored = inputs.form == "scores"
    if scored:
        _refuse_beyond(first, last, inputs.classes)
        first, indices = (1.0 if last == inputs.classes else 0.0), True
    classes = inputs.classes if scored else int(last - first) + 1 if indices else len(found)
    if indices:
        sizes = [found.get(first + place, 0) for place in range(classes)]
    else:
        sizes = list(found.values())
    return Labels(
        classes=classes,
        first=first,
        indices=indices,
        ignored=ignored,
        ignored_share=dropped / target.count,
        sizes=tuple(sizes),
        noise=_label_noise(data, first) if scored else None,
    )


def _is_ignored(label: float, found: dict[float, int], inputs: Inputs) -> bool:
    """One label apart from indices that start at 0, of which there are three at least."""
    rest = [other for other in found if other != label]
    if label not in found or len(rest) < (2 if inputs.form == "scores" else 3):
        return False
    close = max(rest) + 1 <= (inputs.classes or 1.5 * len(rest))
    return min(rest) == 0 and close and not 0 <= label <= max(rest) + 1


def _refuse_beyond(first: float, last: float, classes: int) -> None:
    """Class indices that have no score."""
    if first < 0 or last > classes or (last == classes and first == 0):
        raise DomainError(
            f"recommend: `target` holds class indices from {first:g} to {last:g}, but `input` has "
            f"scores of {classes} classes, 0 to {classes - 1}. Give a score for each class, or "
            f"counts and predictions of one shape."
        )


def _label_noise(data: Given, first: float) -> float | None:
    """Share of rows of which the scores say with probability 0.99 that the label is wrong.

    After confident learning: Northcutt, Jiang and Chuang (2021), doi:10.1613/jair.1.12125.
    """
    scores = data.inputs[0].reshape(-1, data.inputs[0].shape[-1])
    target = data.target.values.ravel() - first
    kept = np.isfinite(scores).all(axis=1) & (target >= 0) & (target < scores.shape[1])
    if not kept.any():
        return None
    probability = torch.softmax(torch.from_numpy(scores[kept]), dim=1)
    largest, guess = probability.max(dim=1)
    wrong = guess != torch.from_numpy(target[kept]).long()
    if wrong.double().mean() > 0.5:  # scores that are mostly wrong say nothing about labels
        return None
    return float((wrong & (largest > 0.99)).double().mean())


def _rows(data: Given) -> Rows | None:
    """Rows of the last axis; of axis 1 if only those sum to 1, as torch has classes."""
    values = data.target.values
    if values.ndim == 1:
        alone = _measured_rows(values[None], axis=-1) if values.size > 1 else None
        if alone is None or alone.one_hot:  # a single 1 among zeros is a rare label
            return None
        return alone if alone.probabilities or alone.log_probabilities else None
    axes = (-1, 1) if values.ndim > 2 else (-1,)
    found = [_measured_rows(np.moveaxis(values, axis, -1), axis) for axis in axes]
    known = [rows for rows in found if rows]
    return max(known, key=lambda rows: rows.probabilities or rows.log_probabilities, default=None)


def _measured_rows(values: Array, axis: int) -> Rows | None:
    rows = values.reshape(-1, values.shape[-1])
    rows = rows[~np.isnan(rows).any(axis=1)]
    if rows.size == 0 or rows.shape[1] < 2:
        return None
    zeros_and_ones = bool(((rows == 0) | (rows == 1)).all())
    probabilities = _are_probabilities(rows)
    return Rows(
        axis=axis,
        rows=rows.shape[0],
        columns=rows.shape[1],
        probabilities=probabilities,
        log_probabilities=_are_log_probabilities(rows),
        one_hot=probabilities and zeros_and_ones,
        smoothed=_smoothing(rows) if probabilities and not zeros_and_ones else None,
        peak=float(rows.max(axis=1).mean()),
        entropy=_entropy(rows) if probabilities else math.nan,
        positives=tuple(rows.mean(axis=0).tolist()) if zeros_and_ones else (),
        active=float(rows.sum(axis=1).mean()) if zeros_and_ones else math.nan,
    )


def _entropy(rows: Array) -> float:
    return float(-(rows * np.log(np.maximum(rows, 1e-300))).sum(axis=1).mean())


def _are_probabilities(rows: Array) -> bool:
    return bool((rows >= 0).all() and (np.abs(rows.sum(axis=1) - 1) < SUMS).all())


def _are_log_probabilities(rows: Array) -> bool:
    if not (rows <= SUMS).all():
        return False
    return bool((np.abs(np.exp(rows).sum(axis=1) - 1) < SUMS).all())


def _smoothing(rows: Array) -> float | None:
    """The label smoothing e of rows that hold 1 - e + e / classes once and e / classes else."""
    ordered = np.sort(rows, axis=1)
    rest, top = ordered[:, :-1], ordered[:, -1]
    low = float(rest[0, 0])
    alike = np.abs(rest - low).max() < 1e-3 and np.abs(top - top[0]).max() < 1e-3
    return low * rows.shape[1] if alike and top[0] - low > 0.1 else None


# --- the input ---------------------------------------------------------------------------------


def _inputs(data: Given) -> Inputs:
    if data.form in ("none", "triplets", "score pairs", "embedding pairs"):
        return Inputs(data.form, 1, 0, math.nan, math.nan, False, False, False, 0)  # noqa: FBT003
    values = data.inputs[0]
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise DomainError("recommend: no value of `input` is finite; give at least one that is.")
    several = values.ndim > 1 and values.shape[-1] > 1
    rows = values.reshape(-1, values.shape[-1])
    rows = rows[~np.isnan(rows).any(axis=1)]
    probabilities = several and rows.size > 0 and _are_probabilities(rows)
    within = bool(finite.min() >= 0 and finite.max() <= 1)
    return Inputs(
        form=data.form,
        dim=data.dim,
        missing=values.size - finite.size,
        smallest=float(finite.min()),
        largest=float(finite.max()),
        fractions=within and (finite.size >= ENOUGH or probabilities),
        probabilities=probabilities,
        log_probabilities=several and rows.size > 0 and _are_log_probabilities(rows),
        classes=values.shape[-1] if data.form == "scores" else 0,
    )


def _noise(data: Given) -> Noise | None:
    """Residuals of predictions, or of the median; of each column's, if the target has columns."""
    if data.form not in ("none", "alike", "variance"):
        return None
    target = np.where(np.isfinite(data.target.values), data.target.values, np.nan)
    has_columns = target.ndim == 2 and target.shape[1] > 1 and target.shape[0] >= ENOUGH_ROWS
    target = target if has_columns else target.reshape(-1, 1)
    predicted = data.form != "none"
    if predicted:
        centre = data.inputs[0].reshape(target.shape)
        centre = np.where(np.isfinite(centre), centre, np.nan)
    else:
        centre = np.array([_median(column) for column in target.T])
    deviations = np.array([_deviation(column) for column in (target - centre).T])
    positive = deviations[deviations > 0]
    scales = float(positive.max() / positive.min()) if positive.size else 1.0
    units = np.where(deviations > 0, deviations, 1.0) if scales > UNLIKE else 1.0
    target, centre = (np.broadcast_to(values, target.shape) / units for values in (target, centre))
    kept = np.isfinite(target) & np.isfinite(centre)
    return noise_of(target[kept], centre[kept], predicted=predicted, scales=scales)


def _median(values: Array) -> float:
    """Of those that are numbers; 0 if there are none."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else 0.0


def _deviation(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.std()) if known.size else 0.0


def _rates(data: Given) -> Rates | None:
    """Nats of Poisson's law under both readings of predictions, without log(target!)."""
    if data.form != "alike":
        return None
    target, input = data.target.values.ravel(), data.inputs[0].ravel()
    kept = np.isfinite(target) & np.isfinite(input)
    target, input = target[kept], input[kept]
    if not kept.any() or target.min() < 0:
        return None
    with np.errstate(over="ignore"):
        logarithmic = float((np.exp(input) - target * input).mean())
    if input.min() < 0:
        return Rates(logarithmic, math.inf)
    return Rates(logarithmic, float((input - target * np.log(input + 1e-8)).mean()))


def _variance(data: Given) -> Variance | None:
    mean, given = (values.ravel() for values in data.inputs)
    target = data.target.values.ravel()
    kept = np.isfinite(target) & np.isfinite(mean) & np.isfinite(given)
    error, given = target[kept] - mean[kept], given[kept]
    if np.abs(error).max(initial=0) <= LEAST:
        return None
    logarithmic = bool(given.min() < 0)
    variance = np.exp(np.clip(given, -200, 200)) if logarithmic else given
    nats, factor = _explained(error, variance)
    squared = None if logarithmic else _explained(error, variance**2)[0]
    return Variance(
        nats=nats,
        constant=normal_nats(float((error**2).mean())),
        factor=factor,
        logarithmic=logarithmic,
        deviation=0.0 if squared is None else nats - squared,
    )


def _explained(error: Array, variance: Array) -> tuple[float, float]:
    """Nats per residual under this variance times the best factor, and the factor."""
    mean = float((error**2).mean())
    variance = np.clip(variance, 1e-12 * mean, 1e12 * mean)
    factor = float((error**2 / variance).mean())
    return normal_nats(factor) + 0.5 * float(np.log(variance).mean()), factor


# --- comparisons -------------------------------------------------------------------------------


def _pairs(data: Given) -> Pairs:
    first, second = data.inputs
    labels = data.target.values
    together = labels == 1
    lengths = np.array([np.linalg.norm(part, axis=1) for part in (first, second)])
    distances = np.linalg.norm(first - second, axis=1)
    products = np.maximum(lengths[0] * lengths[1], 1e-300)
    cosines = (first * second).sum(axis=1) / products
    differences = (first - second)[:, 0]
    apart = ~together if (~together).any() else np.ones_like(together)
    return Pairs(
        positive=float(together.mean()),
        zeros=bool((labels == 0).any()),
        ordered=float((np.sign(differences) == np.where(together, 1, -1)).mean()),
        by_angle=_separation(cosines, together),
        by_distance=_separation(-distances, together),
        cosine=float(np.median(cosines[apart])),
        distance=float(np.median(distances[apart])),
        lengths=float(lengths.std() / max(float(lengths.mean()), 1e-300)),
        spread=_spread(differences),
    )


def _separation(scores: Array, positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve, ties counted half (Mann and Whitney); 0.5 for one label alone."""
    below, above = np.sort(scores[~positive]), scores[positive]
    if not below.size or not above.size:
        return 0.5
    wins = np.searchsorted(below, above, "left") + np.searchsorted(below, above, "right")
    return float(wins.mean() / (2 * below.size))


def _spread(values: Array) -> float:
    return SIGMA_OF_MAD * float(np.median(np.abs(values - np.median(values))))


def _triplets(data: Given) -> Triplets:
    anchor, positive, negative = data.inputs
    near = np.linalg.norm(anchor - positive, axis=1)
    far = np.linalg.norm(anchor - negative, axis=1)
    lengths = np.linalg.norm(np.concatenate(data.inputs), axis=1)
    return Triplets(
        count=near.size,
        positive=float(np.median(near)),
        negative=float(np.median(far)),
        violated=float((far < near).mean()),
        spread=_spread(far - near),
        unit=bool((np.abs(lengths - 1) < 1e-2).all()),
        lengths=float(lengths.std() / max(float(lengths.mean()), 1e-300)),
    )
