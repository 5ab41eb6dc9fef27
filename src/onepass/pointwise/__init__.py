"""Formulas only, by family."""
