"""One harness, one table: onepass against its rivals, interleaved, with the floor beside them.

`python -m benchmarks run` measures and writes `results/NAME.json`; `python -m benchmarks table`
prints that file into the README. Every rival runs in a process of its own.
"""
