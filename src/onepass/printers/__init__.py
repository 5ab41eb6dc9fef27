"""Formulas as text. Nothing here executes anything.

infix.py    what a person writes
kernel.py   what every kernel printer shares
cpu.py      kernels of pointwise losses for the CPU
rows.py     hand-written kernels of row-wise losses for the CPU
"""
