"""Losses in which a whole row decides the value, with kernels written by hand: a folder each."""

from onepass.rowwise import cosine_embedding as cosine_embedding
from onepass.rowwise import cross_entropy as cross_entropy
from onepass.rowwise import linear_cross_entropy as linear_cross_entropy
from onepass.rowwise import multi_margin as multi_margin
from onepass.rowwise import multilabel_soft_margin as multilabel_soft_margin
from onepass.rowwise import nll as nll
from onepass.rowwise import triplet_margin as triplet_margin
from onepass.rowwise import triplet_margin_with_distance as triplet_margin_with_distance
