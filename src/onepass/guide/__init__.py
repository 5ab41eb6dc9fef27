"""Choosing, seeing and diagnosing losses."""
