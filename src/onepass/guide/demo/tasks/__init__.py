"""A task for every loss of the catalogue, by family.

regression.py    spreads, progressions, boxes
likelihood.py    a spread, counts, the opinion of a teacher
binary.py        two classes, several labels
classes.py       one class of many
comparisons.py   pairs and triplets
parts.py         models and measures that several of them share
"""

from onepass.guide.demo.task import TASKS, prepare
from onepass.guide.demo.tasks import binary, classes, comparisons, likelihood, regression

__all__ = ["TASKS", "binary", "classes", "comparisons", "likelihood", "prepare", "regression"]
