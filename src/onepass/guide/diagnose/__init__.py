"""What is wrong with a batch, told from its tensors alone.

finding.py        what is said, and the table of patterns
batch.py          the call as patterns look at it; values.py: the numbers that count
distributions.py  whether rows are probabilities; gradient.py: how a gradient is spread
classes.py        patterns of one class out of many
binary.py         of yes and no, and of labels -1 and 1
likelihood.py     of distributions, counts and variances
pairs.py          of pairs and triplets
everywhere.py     of any loss; symptoms.py: what shows where no pattern knows why
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from onepass.guide.diagnose import binary, classes, everywhere, likelihood, pairs
from onepass.guide.diagnose.batch import Batch
from onepass.guide.diagnose.finding import PATTERNS, SEVERITIES, Finding
from onepass.guide.diagnose.symptoms import unexplained
from onepass.guide.names import arguments_of, loss_named

__all__ = ["Finding", "diagnose", "examine"]
_FAMILIES = [family.__name__ for family in (classes, binary, likelihood, pairs, everywhere)]
_ORDERED = sorted(PATTERNS, key=lambda pattern: _FAMILIES.index(pattern.find.__module__))


def diagnose(loss: Any, *tensors: Any, **options: Any) -> list[Finding]:
    """What is wrong with this call of a loss, worst first; an empty list if nothing is.

    `loss` is a name, a loss, or a function, class or module of onepass or torch.nn; a module brings
    what it was built with. `tensors` and `options` are those of its function in
    onepass.functional, of any shape, dtype and device, also such as the function refuses: that is
    a finding, too. The tensors are only read. Of those with more than 1e7 numbers every so
    many-th row is looked at, and the evidence says so.

    Raises ParameterError for an unknown loss or option, too many tensors, or too few.
    """
    return examine(Batch(loss_named(loss), arguments_of(loss, tensors, options)))


def examine(batch: Batch) -> list[Finding]:
    """The findings of all patterns, worst first."""
    found: list[Finding] = []
    explained: tuple[type[Exception], ...] = ()
    for pattern in _ORDERED:
        findings = pattern.found(batch)
        found += findings
        explained += pattern.explains if findings else ()
    symptom = unexplained(batch, explained)
    found += [symptom] if symptom else []
    order = {severity: place for place, severity in enumerate(SEVERITIES)}
    return [_sampled(batch, f) for f in sorted(found, key=lambda f: order[f.severity])]


def _sampled(batch: Batch, finding: Finding) -> Finding:
    axis, step = batch.thinned
    if step == 1:
        return finding
    seen = f" (of every {step}th entry along axis {axis} of the rows)"
    return replace(finding, evidence=finding.evidence + seen)
