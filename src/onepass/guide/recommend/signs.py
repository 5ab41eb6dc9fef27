"""The signs of the data: small measured facts, computed once, that every rule reads."""

from __future__ import annotations

from dataclasses import dataclass

from onepass.guide.recommend.given import Form
from onepass.guide.recommend.noise import Noise


@dataclass(frozen=True)
class Values:
    """The elements of the target."""

    shape: tuple[int, ...]
    missing: int
    infinite: int
    count: int  # of finite elements
    whole: bool  # all of them are integers
    boolean: bool
    names: tuple[str, ...]  # the strings that they were
    smallest: float
    largest: float
    mean: float
    distinct: int
    labels: tuple[float, ...]  # distinct values in order, if there are at most MANY
    sizes: tuple[int, ...]  # how often each label occurs
    columns: int  # size of the last axis if there are several axes, else 1

    def share(self, label: float) -> float:
        """How much of the target this label is."""
        found = dict(zip(self.labels, self.sizes, strict=True))
        return found.get(label, 0) / self.count


@dataclass(frozen=True)
class Counting:
    """Whole numbers >= 0 as counts, and as classes."""

    dispersion: float  # variance over mean, the median of the columns
    dispersions: tuple[float, float]  # the least and the largest of a column
    zeros: float  # share of zeros
    rare: float  # nats per element under a negative binomial law (Poisson if not overdispersed)
    uniform: float  # nats per element if all from the smallest to the largest are alike
    step: int  # their greatest common divisor


@dataclass(frozen=True)
class Labels:
    """Class labels, without those that say "ignore"."""

    classes: int  # how many classes a loss must know
    first: float  # the smallest label: 0 or 1, if they are indices
    indices: bool  # labels are indices from `first`, few of them absent
    ignored: float | None  # a label that looks like "ignore this"
    ignored_share: float
    sizes: tuple[int, ...]  # of each class; of each distinct label if they are no indices
    noise: float | None  # share of rows that the scores are sure belong to another class

    @property
    def imbalance(self) -> float:
        """The largest class over the smallest that occurs."""
        occurring = [size for size in self.sizes if size]
        return max(occurring) / min(occurring)


@dataclass(frozen=True)
class Rows:
    """The last axis, or axis 1, of the target as rows."""

    axis: int
    rows: int
    columns: int
    probabilities: bool  # each row is >= 0 and sums to 1
    log_probabilities: bool  # the exponentials of each row sum to 1
    one_hot: bool
    smoothed: float | None  # rows are one-hot rows with this much label smoothing
    peak: float  # mean of the rows' largest probability
    entropy: float  # mean of the rows, in nats, for probabilities
    positives: tuple[float, ...]  # share of ones in each column, for zeros and ones
    active: float  # ones per row


@dataclass(frozen=True)
class Inputs:
    """What the input, if there is one, looks like."""

    form: Form
    dim: int  # the axis of the classes
    missing: int  # of its elements are not finite
    smallest: float
    largest: float
    fractions: bool  # all in [0, 1], and enough of them
    probabilities: bool  # >= 0, and each row sums to 1
    log_probabilities: bool
    classes: int  # scores in a row


@dataclass(frozen=True)
class Rates:
    """Predictions of counts: nats per element as log-rates and as rates (inf if impossible)."""

    log_input: float
    input: float


@dataclass(frozen=True)
class Variance:
    """A predicted variance and the residuals it should explain, in nats per residual."""

    nats: float  # normal noise of this variance times one factor
    constant: float  # normal noise of one variance
    factor: float  # mean of residual squared over variance: 1 if it is calibrated
    logarithmic: bool  # the variance was read as exp(input[1]), since input[1] has negatives
    deviation: float  # nats saved if what was given is a standard deviation


@dataclass(frozen=True)
class Pairs:
    """Pairs with labels: how well distance and angle tell those that belong together."""

    positive: float  # share of pairs labelled 1
    zeros: bool  # labels are 0 and 1
    ordered: float  # share of pairs whose scores are in the order that the label says
    by_angle: float  # area under the ROC curve of the cosine
    by_distance: float  # of the negated distance
    cosine: float  # median of the pairs labelled -1
    distance: float  # median of the pairs labelled -1
    lengths: float  # standard deviation of the vectors' lengths over their mean
    spread: float  # MAD of the difference of scores, as a sigma


@dataclass(frozen=True)
class Triplets:
    """Triplets: how far apart anchor, positive and negative are (Euclidean)."""

    count: int
    positive: float  # median distance to the positive
    negative: float  # median distance to the negative
    violated: float  # share of triplets whose negative is closer
    spread: float  # MAD of the difference of the distances, as a sigma
    unit: bool  # every vector has length 1
    lengths: float  # standard deviation of the vectors' lengths over their mean


@dataclass(frozen=True)
class Signs:
    """Everything measured; None where it does not apply."""

    target: Values
    inputs: Inputs
    noise: Noise | None
    counting: Counting | None
    labels: Labels | None
    rows: Rows | None
    rates: Rates | None
    variance: Variance | None
    pairs: Pairs | None
    triplets: Triplets | None
    notes: tuple[str, ...]
